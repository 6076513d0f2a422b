"""Manners of every command: help, one clear line for an error, exit codes, no secret."""

import logging
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from ig_pipeline.cli.console import configure_logging
from ig_pipeline.cli.failures import ExitCode, command_error
from ig_pipeline.cli.main import COMMANDS, cli
from ig_pipeline.graph_api.errors import GraphError, RateLimitedError, TokenDeadError, UnreachableError
from ig_pipeline.settings import SettingsError
from ig_pipeline.storage.connections import UnknownAccountError
from ig_pipeline.storage.database import check_reachable, open_engine
from ig_pipeline_tests.cli.conftest import Run
from ig_pipeline_tests.readme_blocks import first_sentence, leaf_commands

CANARY = "canary-5ecret-token"


LEAVES = list(leaf_commands())


@pytest.mark.parametrize(("name", "command"), LEAVES, ids=[name for name, _ in LEAVES])
def test_every_command_has_help_with_examples(name: str, command: click.Command, run: Run) -> None:
    result = run(*name.split(), "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert f"ig-pipeline {name}" in result.output
    assert all(option.help for option in command.params if isinstance(option, click.Option))


@pytest.mark.parametrize("group", ["connections", "tokens", "keys", "config"])
def test_a_groups_help_cuts_no_sentence(group: str, run: Run) -> None:
    shown = run(group, "--help").output
    sentences = [first_sentence(command) for name, command in LEAVES if name.startswith(f"{group} ")]
    assert sentences
    assert all(sentence in " ".join(shown.split()) for sentence in sentences)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_of_a_command_what_the_command_says_of_itself(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert COMMANDS[name].help == first_sentence(command)


def test_help_imports_neither_pandas_nor_dagster_nor_the_database() -> None:
    code = (
        "import sys\nfrom ig_pipeline.cli.main import main\ntry:\n  main(['--help'])\n"
        "except SystemExit: pass\nprint({'pandas', 'dagster', 'sqlalchemy'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip().endswith("set()")


def test_an_unknown_command_is_a_usage_error(run: Run) -> None:
    assert run("dotcor").exit_code == ExitCode.USAGE


def test_a_wrong_setting_is_one_line_and_exit_code_two(run: Run) -> None:
    result = run("config", "show", env={"IG_PIPELINE_LOGIN": "myspace"})
    assert result.exit_code == ExitCode.USAGE
    assert result.stdout == ""
    assert result.stderr.startswith("Error: IG_PIPELINE_LOGIN: ")
    assert len(result.stderr.splitlines()) == 1


NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (SettingsError("IG_PIPELINE_X: no."), ExitCode.USAGE, "IG_PIPELINE_X: no."),
        (UnknownAccountError("acme"), ExitCode.USAGE, "connections list"),
        (UnreachableError("Meta cannot be reached."), ExitCode.UNAVAILABLE, "Meta cannot be reached."),
        (
            RateLimitedError("The limit is reached.", retry_at=NOON, scope="account"),
            ExitCode.UNAVAILABLE,
            "after 2026-11-20 12:00 UTC",
        ),
        (TokenDeadError("It is dead.", cause="expired", advice="Connect again."), ExitCode.FAILED, "Connect again."),
        (GraphError("Something."), ExitCode.FAILED, "Something."),
        (PermissionError(13, "Permission denied", "/srv/x"), ExitCode.FAILED, "/srv/x: Permission denied"),
        (KeyboardInterrupt(), ExitCode.STOPPED, "Stopped."),
        (KeyError("reach"), ExitCode.FAILED, "This is a bug"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_each_error_is_one_sentence_with_its_own_exit_code(error: BaseException, code: ExitCode, says: str) -> None:
    shown = command_error(error)
    assert shown.exit_code == code
    assert shown.format_message().count(says) == 1
    assert "Traceback" not in shown.format_message()


def test_an_unreachable_database_is_one_line_without_the_password(run: Run) -> None:
    url = SecretStr(f"postgresql://someone:{CANARY}@127.0.0.1:1/nowhere")
    with pytest.raises(Exception, match="does not answer") as caught:
        check_reachable(open_engine(url))
    shown = command_error(caught.value)
    assert shown.exit_code == ExitCode.UNAVAILABLE
    assert CANARY not in shown.format_message()
    assert "\n" not in shown.format_message()


def test_an_error_of_the_database_carries_no_parameters(tmp_path: Path) -> None:
    engine = open_engine(SecretStr(f"sqlite:///{tmp_path}/some.db"))
    with pytest.raises(sa.exc.OperationalError) as caught, engine.connect() as db:
        db.execute(sa.text("select :x from nowhere"), {"x": CANARY})
    engine.dispose()
    assert CANARY not in command_error(caught.value, with_traceback=True).format_message()


def test_a_traceback_is_shown_on_request_and_redacted() -> None:
    try:
        raise RuntimeError(f"GET https://graph.facebook.com/me?access_token={CANARY}")
    except RuntimeError as error:
        message = command_error(error, with_traceback=True).format_message()
    assert "Traceback" in message
    assert CANARY not in message


def test_the_log_is_redacted_traceback_included(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(verbose=False)
    try:
        raise RuntimeError(f"https://graph.facebook.com/me?access_token={CANARY}")
    except RuntimeError:
        logging.getLogger("somebody").exception("could not fetch ?access_token=%s", CANARY)
    finally:
        logging.getLogger().handlers.pop()
    written = capsys.readouterr().err
    assert "could not fetch" in written
    assert CANARY not in written


def test_no_color_means_no_escape_sequences(run: Run) -> None:
    result = run("doctor", env={"NO_COLOR": "1", "IG_PIPELINE_GRAPH_URL": "http://127.0.0.1:1"})
    assert "\x1b[" not in result.output
