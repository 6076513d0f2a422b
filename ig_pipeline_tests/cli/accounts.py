"""A small Instagram and the environment that points a command at it."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from ig_pipeline.settings import Settings, load_settings
from ig_pipeline.simulator.server import RunningSimulator
from ig_pipeline.simulator.tokens import USUAL_SCOPES, Grant
from ig_pipeline_tests.cli.conftest import Run

EMAIL = "a@b.example"


def environment(meta: RunningSimulator, **more: str) -> dict[str, str]:
    """Variables for a command whose Meta is the simulator; `more` are settings without prefix."""
    return {
        "IG_PIPELINE_GRAPH_URL": meta.url,
        "IG_PIPELINE_APP_ID": meta.world.app_id,
        "IG_PIPELINE_APP_SECRET": meta.world.app_secret,
        **{f"IG_PIPELINE_{name}": value for name, value in more.items()},
    }


def settings_in(folder: Path, env: Mapping[str, str]) -> Settings:
    """The settings a command in `folder` has."""
    return load_settings({"IG_PIPELINE_DATA_DIR": str(folder / ".ig_pipeline"), **env}, env_file=None)


def connect(run: Run, meta: RunningSimulator, username: str, *options: str, email: str = EMAIL) -> str:
    """Connect an account by the command line; its token."""
    token = token_after_consent(meta, username)
    result = run("connections", "add", "--email", email, *options, env=environment(meta), stdin=token)
    assert result.exit_code == 0, result.output
    return token


def token_after_consent(meta: RunningSimulator, username: str) -> str:
    """The owner's token, also after an earlier one was ended."""
    book, subject = meta.simulation.book, meta.simulation.subject_of(username, "facebook")
    generation, scopes = book.generation_of("facebook", subject), frozenset(USUAL_SCOPES["facebook"])
    return book.issue(Grant("facebook", "user", subject, generation, None, None, scopes))


def database_url(folder: Path) -> SecretStr:
    return SecretStr(f"sqlite:///{folder / '.ig_pipeline' / 'ig_pipeline.db'}")
