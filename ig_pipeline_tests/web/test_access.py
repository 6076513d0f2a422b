"""Who may: the tokens, the bounds of every request, and what no answer ever shows."""

from pydantic import SecretStr

from ig_pipeline_tests.sync.harness import SmallWorld
from ig_pipeline_tests.web.front_door import ADMIN, API_TOKEN, PAGE, READER, FrontDoor, front_door

EMAIL = {"email": "a@b.example"}
READING = ["/v1/connections/status", "/v1/metrics/timeline/month", "/v1/users/export", "/metrics", "/"]


def test_with_a_token_reading_needs_it(small_on_sqlite: SmallWorld) -> None:
    with front_door(small_on_sqlite, api_token=SecretStr(API_TOKEN)) as door:
        for path in READING:
            assert door.client.get(path, params=EMAIL).status_code == 401, path
            for wrong in (API_TOKEN[:-1], API_TOKEN + "x", "x", "é", API_TOKEN.upper()):
                header = {b"Authorization": f"Bearer {wrong}".encode()}
                assert door.client.get(path, params=EMAIL, headers=header).status_code == 401, path
            assert door.client.get(path, params=EMAIL, headers=READER).status_code != 401, path
            assert door.client.get(path, params=EMAIL, headers=ADMIN).status_code != 401, path
        for path in ("/healthz", "/readyz", "/openapi.json"):
            assert door.client.get(path).status_code == 200


def test_the_admin_needs_a_token_always(small_on_sqlite: SmallWorld) -> None:
    run = ("/v1/sync/run", {**EMAIL, "provider": "instagram"})
    with front_door(small_on_sqlite) as door:
        assert door.client.post(run[0], params=run[1]).status_code == 401
        assert door.client.post(run[0], params=run[1], headers=READER).status_code == 401
        assert door.client.post(run[0], params=run[1], headers=ADMIN).status_code == 404
        assert door.client.delete("/v1/users", params=EMAIL).status_code == 401
    with front_door(small_on_sqlite, admin_token=None) as door:
        answer = door.client.post(run[0], params=run[1], headers={"Authorization": "Bearer"})
        assert (answer.status_code, answer.json()["type"]) == (403, "admin_off")


def test_every_answer_has_the_security_headers(door_on_sqlite: FrontDoor) -> None:
    for path in ("/", "/healthz", "/nowhere", "/static/style.css", "/v1/connections/status"):
        headers = door_on_sqlite.client.get(path, headers=PAGE).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
    assert "strict-transport-security" not in headers


def test_bodies_and_addresses_are_bounded(door_on_sqlite: FrontDoor) -> None:
    client = door_on_sqlite.client
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    big = b"signed_request=" + b"x" * 70_000
    assert client.post("/v1/meta/deauthorize", content=big, headers=form).status_code == 413
    pieces = (big[start : start + 9_000] for start in range(0, len(big), 9_000))
    assert client.post("/v1/meta/deauthorize", content=pieces, headers=form).status_code == 413
    assert client.get("/v1/connections/status", params={"email": "x" * 9_000}).status_code == 414


def test_a_refusal_echoes_nothing_that_was_sent(door_on_sqlite: FrontDoor) -> None:
    canary = "canary-" + "z" * 40
    answers = [
        door_on_sqlite.client.get("/v1/connections/status", params={"email": canary}),
        door_on_sqlite.client.post("/v1/meta/data-deletion", data={"signed_request": canary}),
        door_on_sqlite.client.get("/v1/connections/instagram/callback", params={"state": canary, "code": canary}),
        door_on_sqlite.client.get(f"/{canary}"),
        door_on_sqlite.client.get(f"/accounts/{canary}", headers=PAGE),
        door_on_sqlite.client.get(f"/deletions/{canary}", headers=PAGE),
    ]
    assert all(400 <= answer.status_code < 500 for answer in answers)
    assert not [answer.text for answer in answers if canary in answer.text]


def test_no_page_loads_anything_from_elsewhere(door_on_sqlite: FrontDoor) -> None:
    text = door_on_sqlite.client.get("/", headers=PAGE).text
    assert "<script>" not in text
    assert "style=" not in text
    assert 'src="http' not in text
    assert 'href="http' not in text
