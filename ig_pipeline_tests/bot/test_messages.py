"""What a chat may say, and what it may not."""

import pytest

from ig_pipeline.bot.messages import Backfill, Help, Status, read_command


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/backfill", Backfill()),
        ("/backfill 20", Backfill(limit=20)),
        ("/backfill dry", Backfill(dry_run=True)),
        ("/backfill 20 dry", Backfill(limit=20, dry_run=True)),
        ("/backfill DRY 5", Backfill(limit=5, dry_run=True)),
        ("/backfill@library_bot 5", Backfill(limit=5)),
        ("  /status  ", Status()),
        ("/help", Help()),
        ("/start", Help()),
    ],
)
def test_commands_are_understood_as_they_are_written(text: str, command: object) -> None:
    assert read_command(text) == command


@pytest.mark.parametrize(
    "text", ["/backfill 0", "/backfill -5", "/backfill all", "/backfill 5 6", "/backfill 9999999", "/rm"]
)
def test_what_cannot_be_meant_is_answered_with_what_can(text: str) -> None:
    command = read_command(text)
    assert isinstance(command, Help)
    assert command.why


@pytest.mark.parametrize("text", ["", "hello", "backfill 5", "see /status"])
def test_talk_among_people_is_none_of_the_bots_business(text: str) -> None:
    assert read_command(text) is None
