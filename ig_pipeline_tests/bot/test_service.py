"""The bot in a chat: a backfill from the first word to the last, and everybody it does not serve."""

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from ig_pipeline.bot.bot_api import BotApi, TelegramError, TelegramTokenError
from ig_pipeline.bot.service import Bot
from ig_pipeline.cli.dagster_stack import prepare_home
from ig_pipeline.cli.stores import tell_grid
from ig_pipeline.simulator.world import World
from ig_pipeline.storage import tables
from ig_pipeline.storage.database import migrate, open_engine
from ig_pipeline_tests.bot.telegram_server import TOKEN, Telegram, running_telegram
from ig_pipeline_tests.media_grid import Grid
from ig_pipeline_tests.sync.harness import SmallWorld, small_world
from ig_pipeline_tests.sync.media_files.worlds import NEWEST, archive_account

pytestmark = pytest.mark.anyio
FRIEND, STRANGER = 7, 666


@pytest.fixture
def telegram() -> Iterator[Telegram]:
    with running_telegram() as server:
        yield server


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallWorld]:
    """One account with six files."""
    url = SecretStr(f"sqlite:///{tmp_path / 'test.db'}")
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()
    world = World(given=[archive_account(["image"] * 6)])
    with small_world(url, tmp_path / "data", world=world, first_day=NEWEST.date()) as small:
        small.connect_all()
        yield small


@pytest.fixture
async def bot(telegram: Telegram, small: SmallWorld) -> AsyncIterator[Bot]:
    settings = small.settings.model_copy(update={"telegram_chats": (FRIEND,)})
    async with httpx.AsyncClient() as http:
        api = BotApi(http, url=telegram.url, token=SecretStr(TOKEN))
        yield Bot(settings, small.engine, api, clock=small.clock, tell_grid=tell_grid)


async def idle(bot: Bot) -> None:
    """Wait until no backfill is under way."""
    if bot._working is not None:
        await bot._working


async def test_a_backfill_is_one_message_that_ends_as_the_result(
    bot: Bot, telegram: Telegram, small: SmallWorld
) -> None:
    telegram.write(FRIEND, "/backfill")
    await bot.listen_once()
    await idle(bot)
    (message,) = telegram.seen_in(FRIEND)
    assert message.startswith(
        "acme.library: complete\nDownloaded 6 · duplicates 0 · unsupported 0 · failed 0 · API items 6"
    )
    assert "24 hours" in message
    assert telegram.edits[-1] == message
    assert len(small.rows(tables.media_items)) == 6
    (run,) = small.rows(tables.media_backfills)
    assert run["triggered_by"] == f"telegram:{FRIEND}"


async def test_a_dry_backfill_counts_and_writes_nothing(bot: Bot, telegram: Telegram, small: SmallWorld) -> None:
    telegram.write(FRIEND, "/backfill dry")
    await bot.listen_once()
    await idle(bot)
    assert "Would download 6" in telegram.seen_in(FRIEND)[0]
    assert not small.rows(tables.media_items)


async def test_a_limit_is_a_limit(bot: Bot, telegram: Telegram, small: SmallWorld) -> None:
    telegram.write(FRIEND, "/backfill 2")
    await bot.listen_once()
    await idle(bot)
    assert "Downloaded 2" in telegram.seen_in(FRIEND)[0]
    assert len(small.rows(tables.media_items)) == 2


async def test_dagsters_grid_shows_what_the_bot_filled_and_nothing_of_a_count_or_a_part(
    bot: Bot, telegram: Telegram, small: SmallWorld
) -> None:
    prepare_home(small.settings)
    grid, last = Grid(small), NEWEST.date()
    for text, files in (("/backfill dry", {}), ("/backfill 2", {}), ("/backfill", {last: 4})):
        telegram.write(FRIEND, text)
        await bot.listen_once()
        await idle(bot)
        assert grid.files() == files, text
    (row,) = small.rows(tables.instagram_sync_logs)
    assert (row["asset"], row["date"], row["status"], row["rows"]) == ("media_files", last, "complete", 4)
    assert row["run_id"].startswith("telegram-")


async def test_a_second_backfill_waits_for_nobody_and_is_not_begun(
    bot: Bot, telegram: Telegram, small: SmallWorld
) -> None:
    telegram.write(FRIEND, "/backfill")
    telegram.write(FRIEND, "/backfill")
    await bot.listen_once()
    await idle(bot)
    assert any("under way" in text for text in telegram.seen_in(FRIEND))
    assert len(small.rows(tables.media_backfills)) == 1


async def test_status_tells_what_the_library_has(bot: Bot, telegram: Telegram) -> None:
    telegram.write(FRIEND, "/backfill 3")
    await bot.listen_once()
    await idle(bot)
    telegram.write(FRIEND, "/status")
    await bot.listen_once()
    status = telegram.seen_in(FRIEND)[-1]
    assert status.startswith("3 media items in the library: 3 files")
    assert f"by telegram:{FRIEND}: complete, downloaded 3, failed 0" in status


async def test_a_chat_that_is_not_served_gets_no_answer_and_starts_nothing(
    bot: Bot, telegram: Telegram, small: SmallWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="ig_pipeline")
    telegram.write(STRANGER, "/backfill")
    telegram.write(STRANGER, "/status")
    await bot.listen_once()
    await idle(bot)
    assert telegram.seen_in(STRANGER) == []
    assert not small.rows(tables.media_backfills)
    assert str(STRANGER) in caplog.text


async def test_a_message_is_answered_once(bot: Bot, telegram: Telegram) -> None:
    telegram.write(FRIEND, "/help")
    await bot.listen_once()
    await bot.listen_once()
    assert len(telegram.seen_in(FRIEND)) == 1


async def test_a_burst_waits_as_long_as_telegram_asks(telegram: Telegram) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    telegram.refusals.append(
        {"ok": False, "error_code": 429, "description": "Too Many", "parameters": {"retry_after": 3}}
    )
    async with httpx.AsyncClient() as http:
        await BotApi(http, url=telegram.url, token=SecretStr(TOKEN), sleep=sleep).send(FRIEND, "hello")
    assert (waited, telegram.seen_in(FRIEND)) == ([3], ["hello"])


async def test_a_bot_telegram_does_not_know_says_which_setting_is_wrong(telegram: Telegram) -> None:
    async with httpx.AsyncClient() as http:
        with pytest.raises(TelegramTokenError, match="IG_PIPELINE_TELEGRAM_TOKEN"):
            await BotApi(http, url=telegram.url, token=SecretStr("1:wrong")).name()


async def test_no_error_and_no_log_line_shows_the_bots_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    transport = httpx.MockTransport(lambda request: httpx.Response(502, text=f"no route to {request.url}"))
    async with httpx.AsyncClient(transport=transport) as http:
        with pytest.raises(TelegramError) as caught:
            await BotApi(http, url="https://telegram.example", token=SecretStr(TOKEN)).name()
    assert "canary" not in f"{caught.value!r} {caught.value.__cause__!r}"
