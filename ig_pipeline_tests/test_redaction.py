"""What must not be readable in any line that leaves the process."""

import logging

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


def test_a_log_record_is_cleaned_arguments_included(caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.setFormatter(RedactingFormatter("%(message)s"))
    logging.getLogger("somebody").warning("called %s", "https://x/?access_token=canary-secret")
    assert "canary-secret" not in caplog.text
