"""Without a token the service is for this machine alone: where it listens, what it is called, what it stands behind."""

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import SecretStr
from starlette.datastructures import Headers

from ig_pipeline.cli.main import cli
from ig_pipeline.settings import Settings, SettingsError, is_loopback, load_settings
from ig_pipeline.web.access import AddressRefusedError, check_exposure
from ig_pipeline.web.app import create_app
from ig_pipeline.web.origins import FORWARDING_HEADERS, Names, name_of
from ig_pipeline_tests.sync.harness import SmallWorld
from ig_pipeline_tests.web.front_door import ADMIN, API_TOKEN, READER, FrontDoor, front_door

PUBLIC = "https://insights.example.com"
TOKEN = SecretStr(API_TOKEN)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.com"])
def test_without_a_token_no_address_but_loopback_is_listened_on(host: str) -> None:
    with pytest.raises(AddressRefusedError, match="IG_PIPELINE_API_TOKEN"):
        check_exposure(Settings(web_host=host))
    check_exposure(Settings(web_host=host, api_token=TOKEN))


@pytest.mark.parametrize("exposed", [{"public_url": PUBLIC}, {"proxy_addresses": "127.0.0.1"}])
def test_without_a_token_neither_a_public_address_nor_a_proxy_is_served(exposed: dict[str, str]) -> None:
    """On loopback behind a reverse proxy, everyone's data was open to everyone the proxy lets in."""
    with pytest.raises(AddressRefusedError, match=r"IG_PIPELINE_API_TOKEN.*openssl"):
        create_app(Settings.model_validate(exposed))
    create_app(Settings.model_validate({**exposed, "api_token": TOKEN}))
    check_exposure(Settings(public_url="http://localhost:8080"))


@pytest.mark.parametrize("command", [("web",), ("up",), ("up", "--host", "0.0.0.0")])
def test_the_commands_say_so_and_start_nothing(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    env = {"IG_PIPELINE_PUBLIC_URL": PUBLIC, "IG_PIPELINE_WEB_PORT": "0"}
    result = CliRunner().invoke(cli, [*command], env=env)
    assert result.exit_code == 2, result.output
    assert "_TOKEN" in result.stderr
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FORWARDING_HEADERS)
def test_without_a_token_what_a_proxy_passed_on_is_refused(door_on_sqlite: FrontDoor, name: str) -> None:
    """A proxy that nothing in the settings tells of: a tunnel, a container's port, a rule of someone else's."""
    params = {"email": "a@b.example"}
    for method, path in (("GET", "/v1/users/export"), ("DELETE", "/v1/connections/instagram"), ("GET", "/")):
        answer = door_on_sqlite.client.request(method, path, params=params, headers={name: "203.0.113.9"})
        assert (answer.status_code, answer.json()["type"]) == (403, "behind_a_proxy")
    assert "IG_PIPELINE_API_TOKEN" in answer.json()["detail"]


def test_with_a_token_a_proxy_is_served(small_on_sqlite: SmallWorld) -> None:
    with front_door(small_on_sqlite, api_token=TOKEN, public_url=PUBLIC) as door:
        through = {"Host": "insights.example.com", "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
        params = {"email": "a@b.example"}
        assert door.client.get("/v1/connections/status", params=params, headers=through).status_code == 401
        assert door.client.get("/v1/connections/status", params=params, headers=through | READER).status_code == 200


NO_HOSTS = ("", "[", "]", "[::1", "[x]", "a b", "a:b", "a:1:2", "a/b", "a@b", "::1", "é", "a:")


def test_loopback_is_what_stays_on_this_machine() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "", "localhost.example", "10.0.0.1", "127.0.0.1.example"))


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Insights.Example.com:443", "insights.example.com"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]:80", "::1"),
        ("[0:0::1]", "::1"),
        *((nonsense, None) for nonsense in NO_HOSTS),
    ],
)
def test_what_a_host_header_names(host: str, name: str | None) -> None:
    assert name_of(host) == name


@pytest.mark.parametrize("token", [None, TOKEN], ids=["open", "with a token"])
def test_only_configured_names_are_answered(small_on_sqlite: SmallWorld, token: SecretStr | None) -> None:
    """By DNS rebinding a page's own name leads to this machine, and the browser takes what we answer for its own."""
    foreign = ["evil.example", "127.0.0.1.evil.example", "testserver", "web", "localhost.", "[", "[::1", "", "10.0.0.1"]
    with front_door(small_on_sqlite, api_token=token, allowed_hosts=("pipeline",)) as door:
        for host in foreign:
            for path in ("/healthz", "/", "/v1/connections/status", "/static/style.css", "/nowhere"):
                answer = door.client.get(path, headers={"Host": host} | ADMIN)
                assert (answer.status_code, answer.json()["type"]) == (400, "foreign_host"), (host, path)
        for host in ("localhost:1", "[::1]:80", "127.0.0.1"):
            assert door.client.get("/healthz", headers={"Host": host}).status_code == 200, host
        inside = door.client.get("/healthz", headers={"Host": "pipeline:8080"})
        assert inside.status_code == (200 if token else 400)
        assert with_two_names(door.port).startswith("HTTP/1.1 400")


def with_two_names(port: int) -> str:
    """The answer to a request with two Host headers, which no client of ours would send."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        return raw.recv(4096).decode()


def test_no_spelling_of_a_path_is_redirected_to_a_callers_name(small_on_sqlite: SmallWorld) -> None:
    with front_door(small_on_sqlite, api_token=TOKEN) as door:
        for path in ("/healthz/", "/connected/", "/v1/connections/status/", "/static", "/sign-in/"):
            answer = door.client.get(path, headers={"Host": "localhost"})
            assert (answer.status_code, answer.headers.get("location")) == (404, None), path


def test_which_origins_are_ones_own() -> None:
    names = Names.of(PUBLIC, "127.0.0.1", ["pipeline"])
    at = Headers({"host": "insights.example.com"})
    inside = Headers({"host": "127.0.0.1:8080"})
    assert names.is_own(PUBLIC, at)
    assert names.is_own(f"{PUBLIC}:443", at)
    assert names.is_own(PUBLIC, inside), "the proxy calls us by where we listen"
    assert names.is_own("http://127.0.0.1:8080", inside)
    foreigners = ("http://insights.example.com", f"{PUBLIC}:8443", f"{PUBLIC}.evil.example", f"{PUBLIC}/", "null", "[")
    for foreign in foreigners:
        assert not names.is_own(foreign, at), foreign
    assert not names.is_own("http://127.0.0.1:3000", inside), "another service of this machine"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("API_TOKEN", "x" * 21, "too short"),
        ("ADMIN_TOKEN", "short", "openssl"),
        ("START_LINK_KEY", "x" * 31, "too short"),
        ("ALLOWED_HOSTS", "https://a.example", "without scheme"),
        ("PUBLIC_URL", "https://[", "http"),
        ("UI_URL", "dagster.example.com", "http"),
    ],
)
def test_a_weak_secret_or_a_wrong_name_is_refused_by_name(name: str, value: str, says: str) -> None:
    with pytest.raises(SettingsError, match=f"IG_PIPELINE_{name}: .*{says}") as refused:
        load_settings({f"IG_PIPELINE_{name}": value}, env_file=None)
    assert value not in str(refused.value) or len(value) < 22


def test_readers_and_admins_do_not_share_a_token() -> None:
    with pytest.raises(SettingsError, match="same as IG_PIPELINE_API_TOKEN"):
        load_settings({"IG_PIPELINE_API_TOKEN": "x" * 40, "IG_PIPELINE_ADMIN_TOKEN": "x" * 40}, env_file=None)
