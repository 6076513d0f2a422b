"""Captions as strangers write them: kept as they are in both databases, obeyed nowhere they come out."""

import asyncio
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from ig_pipeline.bot import messages
from ig_pipeline.cli.main import cli
from ig_pipeline.defs.cell_events import event_of
from ig_pipeline.simulator.accounts import Account
from ig_pipeline.storage import tables
from ig_pipeline_tests.hostile import CAPTIONS, EVIL, stored
from ig_pipeline_tests.sync.harness import SmallWorld, sqlite_only
from ig_pipeline_tests.sync.media_files.conftest import Library, Make
from ig_pipeline_tests.sync.media_files.worlds import NEWEST, archive_account
from ig_pipeline_tests.web.front_door import PAGE, front_door

pytestmark = pytest.mark.anyio

# What only a hostile caption contains; a mark of each kind that would be seen where one leaks.
MARKS = (EVIL, "drop table", "onerror", "calc", "Set-Cookie", "javascript", "etc/passwd", "\x1b", "\x9b", "\u202e")


def hostile_account(*, harmless: bool = False) -> Account:
    """A post and an album for each caption, the most dangerous ones with the most likes."""
    account = archive_account(["image", "album 2"] * len(CAPTIONS))
    captions = [caption for caption in CAPTIONS.values() for _ in range(2)]
    archive = tuple(
        replace(post, caption="harmless" if harmless else caption)
        for post, caption in zip(account.archive or (), captions, strict=True)
    )
    return replace(account, archive=archive)


def captions_of(media: Library) -> dict[str, str]:
    """Media id → caption as it should be stored, of posts and of albums' children."""
    found = {}
    for post in media.account.archive or ():
        for item in post.children or (post,):
            found[item.id] = stored(post.caption or "")
    return found


def day_count(media: Library) -> int:
    return len({post.day for post in media.account.archive or ()}) + 1


async def test_a_hostile_caption_is_stored_as_it_is_and_steers_no_path(library: Make, tmp_path: Path) -> None:
    media = library(accounts=[hostile_account()])
    await media.backfill()
    results = await media.small.sync([media.key], days=day_count(media))
    assert {result.status for result in results} == {"complete"}
    media.check_whole()
    expected = captions_of(media)
    assert {row["instagram_media_id"]: row["caption"] for row in media.rows()} == expected
    posts = {row["media_id"]: row["caption"] for row in media.small.rows(tables.media_engagement)}
    assert posts == {post.id: stored(post.caption or "") for post in media.account.archive or ()}
    home, names = media.small.settings.home, re.compile(r"\d{8}_\d{6}_\d+\.jpg|token\.key|test\.db(-wal|-shm)?")
    everything = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in everything if not names.fullmatch(path.name)]
    outside = [path for path in everything if path.suffix == ".jpg" and not path.is_relative_to(home / "media")]
    assert not outside


class _Tags(HTMLParser):
    """The tags of a page with the names of their attributes: what text must not be able to add to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, ...]] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, *(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]


async def page_of(small: SmallWorld, key: str, days: int) -> str:
    await small.sync([key], days=days)
    with front_door(small) as door:
        answer = door.client.get(f"/accounts/{key}", headers=PAGE)
        assert answer.status_code == 200
        timeline = {"email": f"{key}@b.example"}
        for accept in ("application/json", "text/csv"):
            told = door.client.get("/v1/metrics/timeline/month", params=timeline, headers={"Accept": accept}).text
            assert not [mark for mark in MARKS if mark in told]
        return answer.text


@sqlite_only
@pytest.mark.parametrize("media_files", [False, True])
async def test_a_page_with_hostile_captions_has_the_tags_of_one_without(library: Make, media_files: bool) -> None:
    hostile, harmless = (library(accounts=[hostile_account(harmless=harmless)]) for harmless in (False, True))
    pages = []
    for media in (hostile, harmless):
        if media_files:
            await media.backfill()
        pages.append(await page_of(media.small, media.key, day_count(media)))
    assert "&lt;iframe" in pages[0]
    first, second = _Tags(pages[0]), _Tags(pages[1])
    assert first.found == second.found
    assert not [
        link for link in first.links if EVIL in link or not link.startswith(("/", "https://www.instagram.com/", "#"))
    ]


@sqlite_only
async def test_no_command_message_or_cell_repeats_a_caption(library: Make) -> None:
    media = library(accounts=[hostile_account()])
    result = await media.backfill(limit=5)
    cells = [*await media.small.sync([media.key], days=day_count(media)), *await media.fill_days([NEWEST.date()])]
    told = [messages.outcome([result], dry_run=False), *(repr(event_of(cell)) for cell in cells)]
    told += [await run(media, *command) for command in (
        ("backfill-instagram",), ("backfill-instagram", "--dry-run", "--json"), ("backfill-status",),
        ("timeline", "--account", media.key), ("connections", "list"),
    )]  # fmt: skip
    assert not [(mark, text) for text in told for mark in MARKS if mark in text]


@sqlite_only
async def test_an_export_gives_captions_back_and_moves_no_cursor(library: Make) -> None:
    media = library(accounts=[hostile_account()])
    await media.backfill()
    shown = await run(media, "connections", "export", "--email", f"{media.key}@b.example")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", shown)
    rows = json.loads(shown)["tables"]["media_items"]
    assert {row["instagram_media_id"]: row["caption"] for row in rows} == captions_of(media)


async def run(media: Library, *command: str) -> str:
    """What a command prints, on both streams."""
    settings = media.small.settings
    assert settings.database_url is not None
    environment = {
        "IG_PIPELINE_DATA_DIR": str(settings.data_dir),
        "IG_PIPELINE_DATABASE_URL": settings.database_url.get_secret_value(),
        "IG_PIPELINE_GRAPH_URL": settings.graph_url or "",
    }
    result = await asyncio.to_thread(CliRunner().invoke, cli, list(command), env=environment)
    assert result.exit_code == 0, result.output
    return result.output
