"""What must be refused: forged, altered, replayed, stale or foreign. Nothing is stored, Meta is not asked."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest

from ig_pipeline.storage import tables
from ig_pipeline_tests.web.front_door import ADMIN, CALLBACK, PAGE, FrontDoor, everything_stored

EMAIL = "a@b.example"
DELETION, DEAUTHORIZE = "/v1/meta/data-deletion", "/v1/meta/deauthorize"


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def sign(payload: Any, secret: str, *, digest: Callable[..., Any] = hashlib.sha256) -> str:
    """A signed request as Meta makes it."""
    body = encode(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
    return f"{encode(hmac.new(secret.encode(), body.encode(), digest).digest())}.{body}"


def payload(door: FrontDoor, person: str, **changes: Any) -> dict[str, Any]:
    issued = int(door.small.clock().timestamp())
    return {"algorithm": "HMAC-SHA256", "user_id": person, "issued_at": issued, **changes}


def person_of(door: FrontDoor) -> str:
    with door.small.engine.connect() as db:
        return str(db.execute(tables.meta_people.select()).first()[0])  # type: ignore[index]  # there is one


def flips(text: str) -> list[str]:
    """`text` with one character altered, at every seventh place."""
    return [f"{text[:n]}{'A' if text[n] != 'A' else 'B'}{text[n + 1 :]}" for n in range(0, len(text), 7)]


def bad_signed_requests(door: FrontDoor) -> dict[str, str]:
    secret = door.settings.app_secret
    assert secret is not None
    key = secret.get_secret_value()
    good = payload(door, person_of(door))
    signature, _, body = sign(good, key).partition(".")
    now = good["issued_at"]
    return {
        "another secret": sign(good, "another"),
        "no signature": f".{body}",
        "no payload": f"{signature}.",
        "no dot": signature + body,
        "three parts": f"{signature}.{body}.{body}",
        "algorithm none": sign({**good, "algorithm": "none"}, key),
        "algorithm sha1": sign({**good, "algorithm": "HMAC-SHA1"}, key, digest=hashlib.sha1),
        "signed with sha1": sign(good, key, digest=hashlib.sha1),
        "algorithm missing": sign({name: good[name] for name in ("user_id", "issued_at")}, key),
        "another body": f"{signature}.{encode(json.dumps({**good, 'user_id': '1'}).encode())}",
        "padding": f"{signature}=.{body}",
        "standard base64": sign(good, key).replace("-", "+").replace("_", "/") + "+",
        "loose bits": f"{signature[:-1]}{chr(ord(signature[-1]) + 1)}.{body}",
        "not json": sign(b"hello", key),
        "a list": sign([good], key),
        "not utf-8": sign(b"\xff\xfe{}", key),
        "deep": sign(b"[" * 2000, key),
        "stale": sign({**good, "issued_at": now - 25 * 3600}, key),
        "from the future": sign({**good, "issued_at": now + 3600}, key),
        "time is text": sign({**good, "issued_at": str(now)}, key),
        "time is true": sign({**good, "issued_at": True}, key),
        "time is huge": sign({**good, "issued_at": 10**30}, key),
        "nobody": sign({name: good[name] for name in ("algorithm", "issued_at")}, key),
        "person is a list": sign({**good, "user_id": ["1"]}, key),
        "person is a query": sign({**good, "user_id": "1' or '1'='1"}, key),
        "10 kB": sign({**good, "padding": "x" * 10_000}, key),
        "empty": "",
        "nul": "\0.\0",
        "unicode": "é.ü",
        **{f"flip {n}": text for n, text in enumerate(flips(f"{signature}.{body}"))},
    }


def test_no_bad_signed_request_does_anything(door: FrontDoor) -> None:
    door.connect(EMAIL, door.small.world.accounts[0].username)
    before, calls = everything_stored(door.small), door.small.simulator.calls.total
    for name, text in bad_signed_requests(door).items():
        for path in (DELETION, DEAUTHORIZE):
            answer = door.client.post(path, data={"signed_request": text})
            assert answer.status_code in (400, 422), name
            assert not text or text not in answer.text
    assert everything_stored(door.small) == before
    assert door.small.simulator.calls.total == calls


def test_a_good_signed_request_is_carried_out_once(door: FrontDoor) -> None:
    who = door.small.world.accounts[0].username
    door.connect(EMAIL, who)
    secret = door.settings.app_secret
    assert secret is not None
    text = sign(payload(door, person_of(door)), secret.get_secret_value())
    answer = door.client.post(DEAUTHORIZE, data={"signed_request": text})
    assert answer.json() == {"disconnected": [who], "tokens": []}
    replay = door.client.post(DEAUTHORIZE, data={"signed_request": text})
    assert (replay.status_code, replay.json()["type"]) == (409, "signed_request_replayed")
    text = sign(payload(door, person_of(door), nonce=1), secret.get_secret_value())
    deleted = door.client.post(DELETION, data={"signed_request": text}).json()
    assert set(deleted) == {"url", "confirmation_code"}
    page = door.client.get(deleted["url"], headers=PAGE)
    assert "being deleted" in page.text
    assert deleted["confirmation_code"] in page.text
    assert who not in page.text
    state = door.client.get("/v1/deletions", params={"code": deleted["confirmation_code"]}).json()
    assert state["status"] == "requested"
    assert door.small.rows(tables.user_tokens)[0]["access_token"] is None
    back = door.client.get(door.agree(door.start(EMAIL), who))
    assert (back.status_code, back.json()["type"]) == (409, "being_deleted")


def test_somebody_unknown_gets_a_code_too(door: FrontDoor) -> None:
    secret = door.settings.app_secret
    assert secret is not None
    text = sign(payload(door, "424242"), secret.get_secret_value())
    answer = door.client.post(DELETION, data={"signed_request": text}).json()
    assert "is deleted" in door.client.get(answer["url"], headers=PAGE).text


def test_no_bad_state_reaches_meta_or_the_database(door: FrontDoor) -> None:
    dialog = door.start(EMAIL)
    good = door.agree(dialog, door.small.world.accounts[0].username)
    state = dialog.partition("state=")[2].partition("&")[0]
    before, calls = everything_stored(door.small), door.small.simulator.calls.total
    bad = [
        "",
        "x",
        state[:-1],
        state + "A",
        state.swapcase(),
        f" {state}",
        "x" * 10_000,
        "%00",
        "\0",
        "é" * 43,
        "' or 1=1 --",
        hashlib.sha256(state.encode()).hexdigest(),
        *flips(state),
    ]
    for text in bad:
        answer = door.client.get(CALLBACK, params={"state": text, "code": "AQ" + "x" * 100})
        assert answer.status_code in (400, 414, 422), text
    assert door.client.get(f"{CALLBACK}?state={state}x&state=y&code=z").status_code == 400
    for cookie in ("", "x", "x" * 43, "y" * 9_000):
        name = f"ig_login_{hashlib.sha256(state.encode()).hexdigest()[:16]}"
        answer = door.another_browser().get(good, headers={"Cookie": f"{name}={cookie}"})
        assert answer.status_code == 403
    assert everything_stored(door.small) == before
    assert door.small.simulator.calls.total == calls
    assert door.client.get(good).status_code == 200


@pytest.mark.parametrize("number", ["0", "-1", "9" * 19, "1e3", "1;drop table users", "%00", "x" * 5_000])
def test_no_bad_id_breaks_anything(door_on_sqlite: FrontDoor, number: str) -> None:
    answer = door_on_sqlite.client.get(f"/v1/sync/requests/{number}", headers=ADMIN)
    assert answer.status_code in (404, 422)
    assert door_on_sqlite.client.get(f"/accounts/{number}", headers=PAGE).status_code == 404


def test_answers_show_no_secret(door: FrontDoor) -> None:
    who = door.small.world.accounts[0].username
    door.connect(EMAIL, who)
    stored = door.small.rows(tables.user_tokens)[0]["access_token"]
    assert door.settings.app_secret is not None
    secrets = [stored, door.settings.app_secret.get_secret_value(), "EAAG", "IGAA"]
    paths = ["/v1/connections/status", "/v1/metrics/timeline/month", "/v1/users/export", "/metrics", "/", "/readyz"]
    for path in [*paths, f"/accounts/{who}", "/connected", "/openapi.json"]:
        answer = door.client.get(path, params={"email": EMAIL}, headers=PAGE)
        assert answer.status_code == 200, path
        assert not [secret for secret in secrets if secret in answer.text], path
