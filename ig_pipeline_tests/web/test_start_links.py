"""For whom a login is started: an address the app has signed, or one the person has seen on a page of ours."""

import hashlib
import hmac
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from ig_pipeline.storage import tables
from ig_pipeline_tests.sync.harness import SmallWorld
from ig_pipeline_tests.web.front_door import (
    PAGE,
    START,
    START_LINK_KEY,
    FrontDoor,
    agree,
    front_door,
    signed_link,
)

EMAIL, ATTACKER = "a@b.example", "attacker@evil.example"
LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
PAGE_OF_THE_SERVICE = Path(__file__).parent.parent.parent / "docs" / "web_service.md"


def link(door: FrontDoor, email: str = EMAIL, **how: Any) -> str:
    return signed_link(email, now=door.small.clock().timestamp(), **how)


def test_a_link_the_app_has_signed_leads_to_the_dialog_at_once(door: FrontDoor) -> None:
    who = door.small.world.accounts[0].username
    answer = door.client.get(link(door), headers=PAGE | LINK)
    assert answer.status_code == 303
    back = door.client.get(agree(answer.headers["location"], who), headers=PAGE, follow_redirects=True)
    assert (back.status_code, back.url.path) == (200, "/connected")
    assert f"For <strong>{EMAIL}</strong>" in back.text
    assert door.small.connection(who).email == EMAIL


def test_without_a_signature_no_one_is_led_into_the_dialog_for_an_address_they_have_not_seen(door: FrontDoor) -> None:
    """A foreign page's link, image, frame or form bound the account of whoever consented to the attacker's address."""
    visitor = door.client
    led = visitor.get(START, params={"email": ATTACKER}, headers=PAGE | LINK)
    assert (led.status_code, led.headers["location"]) == (303, "/connect?email=attacker%40evil.example")
    page = visitor.get(led.headers["location"], headers=PAGE | LINK)
    assert page.status_code == 200
    assert ATTACKER in page.text
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    foreign = [
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "same-site"},
        {},
    ]
    for headers in foreign:
        answer = visitor.post(START, data={"email": ATTACKER}, headers=headers)
        assert (answer.status_code, answer.headers.get("location")) == (403, None), headers
        for sent in ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, headers):
            answer = visitor.get(START, params={"email": ATTACKER}, headers=sent)
            assert "/dialog/" not in answer.headers.get("location", "")
    assert door.small.rows(tables.oauth_states) == []


def test_on_our_page_the_person_reads_the_address_and_goes_on(door: FrontDoor) -> None:
    who = door.small.world.accounts[0].username
    page = door.client.get("/connect", params={"email": EMAIL}, headers=PAGE)
    (form,) = re.findall(r'<form action="([^"]+)" method="post">', page.text)
    assert re.findall(r'name="email" value="([^"]+)"', page.text) == [EMAIL]
    same_origin = {"Sec-Fetch-Site": "same-origin", "Origin": "null"}
    answer = door.client.post(form, data={"email": EMAIL}, headers=same_origin)
    assert answer.status_code == 303
    assert door.client.get(agree(answer.headers["location"], who)).status_code == 200
    assert door.small.connection(who).email == EMAIL


def test_a_link_that_was_altered_is_refused(door_on_sqlite: FrontDoor) -> None:
    door = door_on_sqlite
    good = {name: values[0] for name, values in parse_qs(urlsplit(link(door)).query).items()}
    bad: list[tuple[dict[str, str], int]] = [
        ({**good, "email": ATTACKER}, 403),
        ({**good, "expires": str(int(good["expires"]) + 1)}, 403),
        ({**good, "signature": good["signature"][:-1] + ("0" if good["signature"][-1] != "0" else "1")}, 403),
        ({**good, "signature": good["signature"].upper()}, 403),
        ({**good, "signature": ""}, 403),
        ({**good, "signature": "é" * 64}, 403),
        ({**good, "signature": "0" * 500}, 422),
        ({**good, "expires": "soon"}, 422),
        ({**good, "expires": "-1"}, 422),
        ({**good, "expires": str(2**70)}, 422),
    ]
    for params, status in bad:
        answer = door.client.get(START, params=params)
        assert answer.status_code == status, params
        assert good["signature"] not in answer.text
    assert door.client.get(link(door, key="another" * 10)).json()["type"] == "start_link_refused"
    assert door.small.rows(tables.oauth_states) == []


def test_a_link_is_good_for_a_short_time(door_on_sqlite: FrontDoor) -> None:
    door = door_on_sqlite
    for good_for, status, kind in ((3601, 403, "start_link_refused"), (0, 410, "start_link_expired")):
        answer = door.client.get(link(door, good_for=good_for))
        assert (answer.status_code, answer.json()["type"]) == (status, kind)
    mine = link(door, good_for=3600)
    assert door.client.get(mine).status_code == 303
    door.small.clock.advance(timedelta(hours=1))
    expired = door.client.get(mine, headers=PAGE)
    assert (expired.status_code, "Go back to the app" in expired.text) == (410, True)


def test_an_address_is_signed_as_the_app_writes_it(door_on_sqlite: FrontDoor) -> None:
    answer = door_on_sqlite.client.get(link(door_on_sqlite, email=" A@B.Example"))
    assert answer.status_code == 303
    assert [row["email"] for row in door_on_sqlite.small.rows(tables.oauth_states)] == [EMAIL]


def test_without_a_key_there_are_no_signed_links_and_the_page_remains(small_on_sqlite: SmallWorld) -> None:
    with front_door(small_on_sqlite, start_link_key=None) as door:
        assert door.client.get(link(door)).json()["type"] == "start_link_refused"
        assert door.client.get(link(door, key="")).json()["type"] == "start_link_refused"
        assert door.start(EMAIL).startswith(small_on_sqlite.simulator.url)


def test_the_three_lines_of_the_readme_make_a_link(door_on_sqlite: FrontDoor) -> None:
    (lines,) = re.findall(r"```python\n(.*?start.*?)```", PAGE_OF_THE_SERVICE.read_text(), re.S)
    now = door_on_sqlite.small.clock().timestamp()
    names: dict[str, Any] = {"KEY": START_LINK_KEY, "SERVICE": "", "email": EMAIL}
    exec(lines.replace("time.time()", str(now)), names)
    assert door_on_sqlite.client.get(names["link"]).status_code == 303
    expected = hmac.new(START_LINK_KEY.encode(), f"start:{EMAIL}:{int(now) + 600}".encode(), hashlib.sha256)
    assert expected.hexdigest() in names["link"]


@pytest.mark.parametrize("key", [None, SecretStr("k" * 32)])
def test_the_home_pages_forms_are_posted(small_on_sqlite: SmallWorld, key: SecretStr | None) -> None:
    with front_door(small_on_sqlite, start_link_key=key) as door:
        page = door.client.get("/", headers=PAGE).text
    assert f'action="{START}" method="post"' in page
    assert 'content="same-origin"' in page, "a form without a referrer would be a stranger's"
