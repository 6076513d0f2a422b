"""What comes from outside reaches a terminal as something to read, never as something to obey."""

import logging
from pathlib import Path

import pytest
import sqlalchemy as sa

from ig_pipeline.cli.console import configure_logging, print_json, shown, shown_in_colour
from ig_pipeline.cli.failures import ExitCode
from ig_pipeline.simulator.server import RunningSimulator
from ig_pipeline.storage.database import open_engine
from ig_pipeline.storage.tables import user_tokens, users
from ig_pipeline_tests.cli.accounts import EMAIL, connect, database_url, environment
from ig_pipeline_tests.cli.conftest import Run

# Moves the cursor, sets the window's title, turns the writing round, hides a letter.
HOSTILE = "a\x1b[s\x1b]0;x\x07\u202e\u200b\x9b@b.example"
OBEYED = set("\x1b\x07\u202e\u200b\x9b")


def test_what_a_terminal_would_obey_or_hide_is_written_out() -> None:
    assert shown("a\x1b[2Jb\u202ec\u200bd\U000e0061") == "a\\u001b[2Jb\\u202ec\\u200bd\\U000e0061"
    assert shown("two\nlines\tand a tab, jürgen@例え.example, 5\u00a0%") == (
        "two\nlines\tand a tab, jürgen@例え.example, 5\u00a0%"
    )
    assert shown_in_colour("\x1b[34minfo\x1b[0m \x1b[2Jx\u202e") == "\x1b[34minfo\x1b[0m \\u001b[2Jx\\u202e"


@pytest.mark.parametrize("email", [HOSTILE, "a\u202eb@b.example", "a\u200bb@b.example", "no address"])
def test_no_such_address_is_taken(run: Run, meta: RunningSimulator, email: str) -> None:
    token = meta.token("acme.studio")
    result = run("connections", "add", "--email", email, env=environment(meta), stdin=token)
    assert (result.exit_code, "--email" in result.stderr) == (ExitCode.USAGE, True)
    assert not OBEYED & set(result.output)
    assert "acme.studio" not in run("connections", "list").stdout


def test_one_that_is_stored_already_is_shown_and_can_be_forgotten(
    run: Run, meta: RunningSimulator, tmp_path: Path
) -> None:
    connect(run, meta, "acme.studio")
    engine = open_engine(database_url(tmp_path))
    with engine.begin() as db:
        db.execute(sa.update(users).where(users.c.email == EMAIL).values(email=HOSTILE))
        db.execute(sa.update(user_tokens).values(status="reconnect_required", status_message=f"Ask {HOSTILE}"))
    engine.dispose()
    commands: tuple[tuple[str, ...], ...] = (
        ("connections", "list"),
        ("connections", "list", "--json"),
        ("connections", "export", "--email", HOSTILE),
        ("timeline", "--email", f"x{HOSTILE}"),
        ("doctor",),
        ("doctor", "--json"),
        ("connections", "forget", "--email", HOSTILE, "--yes"),
    )
    for command in commands:
        result = run(*command, env=environment(meta))
        assert not OBEYED & set(result.output), command
        assert "b.example" in result.output or "forget" in command, command
    assert result.exit_code == 0, result.output
    assert "acme.studio" not in run("connections", "list").stdout


def test_a_log_line_is_read_not_obeyed(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(verbose=True)
    logging.getLogger("ig_pipeline.sync").info("[SYNC] for %s", HOSTILE)
    print_json({"email": HOSTILE})
    printed = capsys.readouterr()
    assert "[SYNC] for a\\u001b" in printed.err
    assert not OBEYED & set(printed.err + printed.out)
