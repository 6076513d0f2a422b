"""Meta's callbacks find every account the person gave us, whichever way it was connected."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ig_pipeline.cli.main import cli
from ig_pipeline.defs.erasure import carry_out
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.simulator.accounts import Account
from ig_pipeline.storage import deletion_requests
from ig_pipeline.storage.tables import meta_people
from ig_pipeline.sync.engine import open_services
from ig_pipeline_tests.web.front_door import FrontDoor, everything_stored, front_door
from ig_pipeline_tests.web.test_corpus import payload, sign

EMAIL = "a@b.example"
pytestmark = pytest.mark.anyio
LOGINS: tuple[Login, ...] = ("facebook", "instagram")


def add(door: FrontDoor, account: Account, login: Login, *, app: bool = True) -> None:
    """Connect an account as `ig-pipeline connections add` does, on the database of the web service."""
    settings = door.settings
    assert settings.app_id is not None
    assert settings.app_secret is not None
    env = {
        "IG_PIPELINE_DATA_DIR": str(settings.data_dir),
        "IG_PIPELINE_DATABASE_URL": settings.effective_database_url.get_secret_value(),
        "IG_PIPELINE_GRAPH_URL": settings.graph_url,
    }
    if app:
        env["IG_PIPELINE_APP_ID"] = settings.app_id
        env["IG_PIPELINE_APP_SECRET"] = settings.app_secret.get_secret_value()
    token = door.small.simulator.token(account.username, login)
    result = CliRunner().invoke(cli, ["connections", "add", "--email", EMAIL, "--login", login], env=env, input=token)
    assert result.exit_code == 0, result.output


def person_of(account: Account, login: Login) -> str:
    """The id by which Meta's callbacks to the app name the account's owner."""
    return account.user_id if login == "facebook" else account.app_user_id


def call_back(door: FrontDoor, path: str, person: str) -> dict[str, Any]:
    secret = door.settings.app_secret
    assert secret is not None
    signed = sign(payload(door, person), secret.get_secret_value())
    answer = door.client.post(f"/v1/meta/{path}", data={"signed_request": signed})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands read `.env` where they are started."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("login", LOGINS)
def test_the_deletion_callback_erases_what_the_command_line_connected(door: FrontDoor, login: Login) -> None:
    small, account = door.small, door.small.world.accounts[0]
    add(door, account, login)
    person = person_of(account, login)
    code = call_back(door, "data-deletion", person)["confirmation_code"]
    with small.engine.connect() as db:
        waiting = deletion_requests.waiting(db)
    assert [target.account_id for request in waiting for target in request.targets] == [account.id]
    carry_out(Pipeline(settings_of=lambda: door.settings, clock=small.clock), None, owner="a run")
    stored = everything_stored(small)
    assert code in stored
    assert [word for word in (EMAIL, account.username, account.id, person) if word in stored] == []


@pytest.mark.parametrize("login", LOGINS)
def test_removing_the_app_ends_what_the_command_line_connected(door_on_sqlite: FrontDoor, login: Login) -> None:
    account = door_on_sqlite.small.world.accounts[0]
    add(door_on_sqlite, account, login)
    told = call_back(door_on_sqlite, "deauthorize", person_of(account, login))
    assert told["disconnected"] == [account.username]


def test_a_person_is_known_without_the_app_too(door_on_sqlite: FrontDoor) -> None:
    """The command line needs no app to connect an account; the callbacks come to a web service that has it."""
    account = door_on_sqlite.small.world.accounts[0]
    add(door_on_sqlite, account, "facebook", app=False)
    told = call_back(door_on_sqlite, "deauthorize", account.user_id)
    assert told["disconnected"] == [account.username]


@pytest.mark.parametrize("login", LOGINS)
def test_both_ways_of_connecting_store_the_same(door_on_sqlite: FrontDoor, login: Login) -> None:
    small = door_on_sqlite.small
    account = small.world.accounts[1]
    add(door_on_sqlite, account, login)
    from_command_line = stored_of(door_on_sqlite, account)
    with front_door(small, login=login) as door:
        assert door.connect(EMAIL, account.username).status_code == 200
    from_web = stored_of(door_on_sqlite, account)
    assert from_command_line["people"] == from_web["people"] != []
    assert from_command_line["login"] == from_web["login"] == login
    assert bool(from_command_line["data_access"]) is bool(from_web["data_access"]) is (login == "facebook")
    if login == "facebook":  # Instagram tells the scopes with the code and never again
        assert set(from_command_line["scopes"]) >= set(from_web["scopes"]) - {"public_profile"} != set()


def stored_of(door: FrontDoor, account: Account) -> dict[str, Any]:
    connection = door.small.connection(account.username)
    with door.small.engine.connect() as db:
        people = db.execute(meta_people.select().where(meta_people.c.connection_id == connection.id)).all()
    return {
        "people": sorted(row.person_id for row in people),
        "login": connection.login,
        "data_access": connection.data_access_expires_at,
        "scopes": connection.scopes.split(","),
    }


def test_the_command_line_leaves_an_account_alone_that_is_being_erased(door_on_sqlite: FrontDoor) -> None:
    small, account = door_on_sqlite.small, door_on_sqlite.small.world.accounts[0]
    add(door_on_sqlite, account, "facebook")
    call_back(door_on_sqlite, "data-deletion", account.user_id)
    with pytest.raises(AssertionError, match="being deleted"):
        add(door_on_sqlite, account, "facebook")
    assert small.connection(account.username).status == "disconnected"


async def test_whoever_gave_an_older_connection_is_learnt_when_its_token_is_looked_at(door: FrontDoor) -> None:
    small, account = door.small, door.small.world.accounts[0]
    key = small.connect(account.username).account_key
    async with open_services(small.settings, clock=small.clock) as services:
        await services.tokens.refresh_if_due(key)
    assert call_back(door, "deauthorize", account.user_id)["disconnected"] == [key]
