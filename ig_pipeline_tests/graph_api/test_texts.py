"""Text, names and addresses of strangers as an answer is read."""

import json
from typing import Any

import pytest

from ig_pipeline.graph_api.accounts import read_account
from ig_pipeline.graph_api.errors import MalformedAnswerError
from ig_pipeline.graph_api.media_nodes import read_media
from ig_pipeline_tests.hostile import CAPTIONS, USERNAMES, stored


def post(**fields: Any) -> dict[str, Any]:
    """As it arrives: through JSON, where half of a pair is an escape."""
    made = {"id": "17900000000000017", "timestamp": "2026-11-19T20:00:00+0000", **fields}
    found: dict[str, Any] = json.loads(json.dumps(made))
    return found


@pytest.mark.parametrize("caption", CAPTIONS.values(), ids=CAPTIONS)
def test_a_caption_is_kept_but_for_what_no_database_takes(caption: str) -> None:
    read = read_media(post(caption=caption)).caption
    assert read == stored(caption)
    assert (read or "").encode()


def test_a_caption_without_an_end_is_cut() -> None:
    assert len(read_media(post(caption="x" * 1_000_000)).caption or "") == 10_000


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "http://www.instagram.com/p/x/",
     "//evil.example", "/p/x", " https://x", "https://x\n", "https://x\u202e", "file:///etc/passwd", "vbscript:x", ""],
)  # fmt: skip
def test_a_permalink_that_is_no_https_address_is_left_out(address: str) -> None:
    assert read_media(post(permalink=address)).permalink is None


def test_a_true_permalink_stays() -> None:
    assert (
        read_media(post(permalink="https://www.instagram.com/p/Cx_1-2/")).permalink
        == "https://www.instagram.com/p/Cx_1-2/"
    )


def test_a_name_loses_what_cannot_be_seen() -> None:
    read = read_media(post(media_type="\x1b[2JIMAGE\u202e\x00", username="acme\u200b\ud83d", shortcode="x" * 5_000))
    assert (read.media_type, read.username, len(read.shortcode or "")) == ("[2JIMAGE", "acme", 100)


@pytest.mark.parametrize(
    "media_id", ["", "../1", "1/2", "1\x00", "1\n", " 1", "\uff11", "1" * 5_000, "1_", "-1", "1.jpg"]
)
def test_an_id_that_is_no_id_is_refused(media_id: str) -> None:
    with pytest.raises(MalformedAnswerError):
        read_media(post(id=media_id))
    with pytest.raises(MalformedAnswerError):
        read_account({"id": media_id, "username": "acme"}, "facebook")


@pytest.mark.parametrize("username", USERNAMES)
def test_a_username_is_one_line_that_a_terminal_shows_as_it_is(username: str) -> None:
    read = read_account({"id": "178", "username": username}, "facebook").username
    assert read and read.isprintable() and len(read) <= 100
    assert read.encode()
