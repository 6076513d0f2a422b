"""What must not be readable in any line that leaves the process."""

import logging
import time

import pytest

from ig_pipeline.redaction import RedactingFormatter, redact


@pytest.mark.parametrize(
    "text",
    [
        "GET https://graph.facebook.com/v25.0/me?access_token=canary-secret&fields=id",
        "appsecret_proof=canary-secret",
        '{"access_token": "canary-secret", "expires_in": 1}',
        "Authorization: Bearer canary-secret",
        "postgresql://user:canary-secret@db.example/name",
        "client_secret=canary-secret&grant_type=ig_exchange_token",
        "https://my.app/callback?code=canary-secret#_",
        "token EAAGcanary-secret0123456789",
        "first https://a:b/c then postgresql+psycopg2://user:canary-secret@db.example/name",
        "http://a.example:80,redis://:canary-secret@cache.example/0",
    ],
)
def test_a_secret_is_hidden(text: str) -> None:
    assert "canary-secret" not in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "status code: 400 for account acme.studio",
        "https://graph.facebook.com/v25.0/17841400000000001/insights?metric=reach&period=day",
        "postgresql://db.example/name",
    ],
)
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


HOSTILE = {
    "schemes": "a.",
    "addresses": "a://a:",
    "addresses with slashes": "a://a:/",
    "parameters": " code=",
    "parameters without a value": "code code:'",
    "spaces": "Bearer ",
    "spaces after a name": "code" + " " * 50,
    "bots": "/bot1",
    "digits": "/bot" + "1" * 50,
    "tokens": "EAA.",
    "quotes": '"code"',
}


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_costs_what_its_length_costs(piece: str) -> None:
    def cost(length: int) -> float:
        text = piece * (length // len(piece))
        runs = []
        for _ in range(3):
            began = time.process_time()
            redact(text)
            runs.append(time.process_time() - began)
        return min(runs)

    short, long = cost(20_000), cost(160_000)
    assert long < 0.02 or long < 24 * short, f"{short:.3f} s, and {long:.3f} s for eight times as much"


def test_a_log_record_is_cleaned_arguments_included(caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.setFormatter(RedactingFormatter("%(message)s"))
    logging.getLogger("somebody").warning("called %s", "https://x/?access_token=canary-secret")
    assert "canary-secret" not in caplog.text
