"""What errors of Meta's say of our settings, and what the settings make of the client."""

import pytest
from pydantic import SecretStr

from ig_pipeline.graph_api.errors import AppFaultError, BadRequestError, UnreachableError
from ig_pipeline.graph_api.oauth import NoAppError
from ig_pipeline.meta import app_of, hosts, sentence_of
from ig_pipeline.settings import load_settings


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (UnreachableError("Away."), "Away. (IG_PIPELINE_GRAPH_URL)"),
        (AppFaultError("Wrong.", cause="credentials"), "Wrong. (IG_PIPELINE_APP_ID, IG_PIPELINE_APP_SECRET)"),
        (AppFaultError("No proof.", cause="secret_proof"), "No proof. (IG_PIPELINE_APP_SECRET)"),
        (AppFaultError("Off.", cause="switched_off"), "Off."),
        (BadRequestError("Bad."), "Bad."),
        (ValueError("not Meta's"), "not Meta's"),
    ],
)
def test_a_sentence_names_the_settings_it_is_about(error: Exception, sentence: str) -> None:
    assert sentence_of(error) == sentence


def test_a_login_without_an_app_names_the_settings() -> None:
    assert app_of(load_settings({}, env_file=None)) is None
    assert "IG_PIPELINE_APP_ID, IG_PIPELINE_APP_SECRET" in sentence_of(NoAppError())


def test_the_app_and_the_hosts_are_those_of_the_settings() -> None:
    names = {"APP_ID": "1234", "APP_SECRET": "app-secret", "GRAPH_URL": "http://127.0.0.1:9", "GRAPH_VERSION": "v26.0"}
    settings = load_settings({f"IG_PIPELINE_{name}": value for name, value in names.items()}, env_file=None)
    app = app_of(settings)
    assert app is not None
    assert (app.app_id, app.secret) == ("1234", SecretStr("app-secret"))
    assert hosts(settings).graph("instagram", "me") == "http://127.0.0.1:9/v26.0/me"
