"""Telegram's Bot API, as much of it as a bot needs that answers in a few chats.

Telegram takes its token in the path and nowhere else: no address is logged, and no error carries one.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import httpx
from pydantic import SecretStr

from ig_pipeline.bounded_answers import ACCEPT, UnusableAnswerError, parse_json, read
from ig_pipeline.retrying import Retry, Retryable, RetryPolicy

log = logging.getLogger(__name__)

T = TypeVar("T")

# How long Telegram may keep a question for news open; its own limit is 50 s.
POLL_S = 45
# Telegram asks to wait a few seconds after a burst; a longer wait is too long for a message.
_BURST = RetryPolicy("Telegram after a burst", attempts=2, longest=60.0)
_LONGEST_REASON = 500
_LONGEST_ID = 2**63


class TelegramError(Retryable, Exception):
    """Telegram did not do it; the message has no address and no token."""

    retry: ClassVar[Retry] = "now"


class TelegramTokenError(TelegramError):
    """Telegram does not know this bot."""

    retry = "never"


@dataclass(frozen=True)
class Message:
    """A text that somebody wrote in a chat."""

    chat: int
    text: str


class BotApi:
    """One bot. `http` has no base address; its timeouts are this class's."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        url: str,
        token: SecretStr,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._http, self._url, self._token, self._sleep = http, url.rstrip("/"), token, sleep
        self._offset = 0

    async def name(self) -> str:
        """The bot's own username. Raises `TelegramError`."""
        return str(_field(await self._call("getMe"), "username", str))

    async def news(self) -> list[Message]:
        """Texts written since the last call; waits up to 45 s for the first. Raises `TelegramError`."""
        updates = await self._call("getUpdates", offset=self._offset, timeout=POLL_S, allowed_updates=["message"])
        messages = []
        for update in updates if isinstance(updates, list) else []:
            try:
                self._offset = max(self._offset, _field(update, "update_id", int) + 1)
                message = _field(update, "message", dict)
                messages.append(Message(_field(_field(message, "chat", dict), "id", int), _field(message, "text", str)))
            except TelegramError:
                continue  # a picture, a chat's new name, or nothing anyone knows
        return messages

    async def send(self, chat: int, text: str) -> int:
        """Write a message; its id. Raises `TelegramError`."""
        return _field(await self._call("sendMessage", chat_id=chat, text=text), "message_id", int)

    async def edit(self, chat: int, message_id: int, text: str) -> None:
        """Write a message of ours anew. The same text again is no error. Raises `TelegramError`."""
        try:
            await self._call("editMessageText", chat_id=chat, message_id=message_id, text=text)
        except TelegramError as error:
            if "message is not modified" not in str(error):
                raise

    async def _call(self, method: str, **arguments: object) -> object:
        def asked_to_wait(error: Exception) -> bool:
            return isinstance(error, TelegramError) and error.retry_after is not None

        return await _BURST.call(lambda: self._call_once(method, arguments), helps=asked_to_wait, sleep=self._sleep)

    async def _call_once(self, method: str, arguments: dict[str, object]) -> object:
        answer = await self._post(method, arguments)
        if answer.get("ok"):
            return answer.get("result")
        said = str(answer.get("description", "no reason given"))[:_LONGEST_REASON]
        if answer.get("error_code") in (401, 404):
            raise TelegramTokenError(f"Telegram does not know this bot ({said}). Check IG_PIPELINE_TELEGRAM_TOKEN.")
        refused = TelegramError(f"Telegram refused {method}: {said}")
        parameters = answer.get("parameters")
        wait = parameters.get("retry_after") if isinstance(parameters, dict) else None
        refused.retry_after = wait if isinstance(wait, int) else None
        raise refused

    async def _post(self, method: str, arguments: dict[str, object]) -> dict[str, Any]:
        address = f"{self._url}/bot{self._token.get_secret_value()}/{method}"
        try:
            async with (
                asyncio.timeout(POLL_S + 30),
                self._http.stream(
                    "POST", address, json=arguments, headers=ACCEPT, timeout=httpx.Timeout(20, read=POLL_S + 15)
                ) as response,
            ):
                answer = parse_json((await read(response)).body)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, UnusableAnswerError, ValueError) as error:
            # `from None`: the cause knows the address, and the address is the token.
            raise TelegramError(f"Telegram did not answer {method} ({type(error).__name__}).") from None
        return answer if isinstance(answer, dict) else {}


def _field(holder: object, name: str, kind: type[T]) -> T:
    """A field of an answer. Raises `TelegramError` when it is not there, or is something else."""
    value = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, int) and abs(value) >= _LONGEST_ID):
        raise TelegramError(f"Telegram answered without a usable {name}.")
    return value
