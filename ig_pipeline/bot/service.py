"""The bot at work: listens, answers the chats it knows, and runs one backfill at a time.

What a backfill does is decided in `sync.media_files`, what the chat reads in `messages`. A message is edited while the
backfill runs.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence

import sqlalchemy as sa

from ig_pipeline.bot import messages
from ig_pipeline.bot.bot_api import BotApi, Message, TelegramError
from ig_pipeline.bot.messages import HELP, Backfill, Command, Help, Status, read_command
from ig_pipeline.clock import Clock, utc_now
from ig_pipeline.graph_api.errors import GraphError
from ig_pipeline.media_store.errors import StoreError
from ig_pipeline.meta import sentence_of
from ig_pipeline.redaction import redact
from ig_pipeline.retrying import RetryPolicy
from ig_pipeline.settings import Settings
from ig_pipeline.storage import media_backfills, media_items
from ig_pipeline.storage.connections import CONNECTED, list_connections
from ig_pipeline.storage.database import DatabaseError, reading
from ig_pipeline.storage.waiting import in_thread
from ig_pipeline.sync.engine import open_services
from ig_pipeline.sync.failures import NotConnectedError
from ig_pipeline.sync.media_files.results import BackfillOptions, BackfillResult, Watcher
from ig_pipeline.sync.media_files.runs import backfill_account
from ig_pipeline.sync.media_files.services import open_media
from ig_pipeline.sync.results import AccountDayResult
from ig_pipeline.sync.session import SyncRun, cancelled

log = logging.getLogger(__name__)

# Telegram allows about one message a second in a chat and asks bots to stay well below.
EDIT_EVERY_S = 3.0
# After Telegram was away: soon enough for a person, seldom enough for a night.
_POLLING = RetryPolicy("Telegram", first=5.0, longest=5.0, jitter=0.0)
_EXPECTED = (GraphError, StoreError, DatabaseError, NotConnectedError, sa.exc.SQLAlchemyError, OSError)


class Bot:
    """Answers `settings.telegram_chats` and no one else. `tell_grid` gets the days that a backfill completed."""

    def __init__(
        self,
        settings: Settings,
        engine: sa.Engine,
        api: BotApi,
        *,
        tell_grid: Callable[[Settings, Sequence[AccountDayResult]], None],
        clock: Clock = utc_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings, self._engine, self._api = settings, engine, api
        self._tell_grid, self._clock, self._sleep = tell_grid, clock, sleep
        self._working: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Listen until cancelled. Raises `TelegramTokenError` when Telegram does not know the bot."""
        try:
            while True:
                await self.listen_once()
        finally:
            if self._working is not None:
                await cancelled(self._working)

    async def listen_once(self) -> None:
        """Read new messages and answer them; tried again while Telegram is unavailable. Raises `TelegramTokenError`."""

        async def listen() -> None:
            for message in await self._api.news():
                await self._answer(message)

        await _POLLING.call(listen, failed=lambda error, _: log.warning("%s Trying again.", error), sleep=self._sleep)

    async def _answer(self, message: Message) -> None:
        if message.chat not in self._settings.telegram_chats:
            log.info("Chat %d is not served; IG_PIPELINE_TELEGRAM_CHATS lists those that are.", message.chat)
            return
        command = read_command(message.text)
        if command is not None:
            await self._obey(message.chat, command)

    async def _obey(self, chat: int, command: Command) -> None:
        match command:
            case Backfill() if self._working is not None and not self._working.done():
                await self._api.send(chat, "A backfill is under way. /status shows the last ones.")
            case Backfill():
                self._working = asyncio.create_task(self._backfill(chat, command))
            case Status():
                await self._api.send(chat, await asyncio.to_thread(self._status))
            case Help(why):
                await self._api.send(chat, f"{why}\n\n{HELP}" if why else HELP)

    def _status(self) -> str:
        try:
            with reading(self._engine) as db:
                return messages.library(media_items.size(db), media_backfills.recent(db, limit=5))
        except (DatabaseError, sa.exc.SQLAlchemyError) as error:
            return redact(f"The database does not answer ({type(error).__name__}). `ig-pipeline doctor` says more.")

    async def _backfill(self, chat: int, command: Backfill) -> None:
        """One message, edited as it goes on, that ends as the result."""
        try:
            message_id = await self._api.send(chat, "Looking at the accounts …")
            try:
                text = await self._run_backfill(chat, message_id, command)
            except _EXPECTED as error:
                log.warning("A backfill asked for over Telegram failed: %s", redact(str(error)))
                text = redact(f"That did not work: {sentence_of(error)}")
            await self._api.edit(chat, message_id, text)
        except TelegramError as error:
            log.warning("The result of a backfill could not be told: %s", error)

    async def _run_backfill(self, chat: int, message_id: int, command: Backfill) -> str:
        with reading(self._engine) as db:
            keys = [item.account_key for item in list_connections(db, statuses=[CONNECTED])]
        if not keys:
            return "No account is connected. `ig-pipeline connections add` connects one."
        options = BackfillOptions("both", command.limit, None, None, command.dry_run)
        results: list[BackfillResult] = []
        days: list[AccountDayResult] = []
        async with open_services(self._settings, clock=self._clock) as services, open_media(self._settings) as media:
            run, by = SyncRun(services, f"telegram-{uuid.uuid4()}", timeout=media.timeout), f"telegram:{chat}"
            for key in keys:
                if (left := options.left_after(results)) is None:
                    break
                watcher = Watcher()
                telling = asyncio.create_task(self._tell(chat, message_id, key, watcher, dry_run=command.dry_run))
                try:
                    done = await backfill_account(run, media, key, left, watcher, triggered_by=by, emit=days.append)
                    results.append(done)
                finally:
                    await cancelled(telling)
        await in_thread(lambda: self._tell_grid(self._settings, days))
        return messages.outcome(results, dry_run=command.dry_run)

    async def _tell(self, chat: int, message_id: int, account_key: str, watcher: Watcher, *, dry_run: bool) -> None:
        """Edit the message whenever there is something new to say."""
        said = ""
        while True:
            text = messages.progress(account_key, watcher.tally, dry_run=dry_run)
            if text != said:
                try:
                    await self._api.edit(chat, message_id, text)
                    said = text
                except TelegramError as error:
                    log.info("Progress was not told: %s", error)
            await self._sleep(EDIT_EVERY_S)
