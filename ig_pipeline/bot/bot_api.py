"""Telegram's Bot API, as much of it as a bot needs that answers in a few chats.

Telegram takes its token in the path and nowhere else: no address is logged, and no error carries one.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import httpx
from pydantic import SecretStr

from ig_pipeline.retrying import Retry, Retryable, RetryPolicy

log = logging.getLogger(__name__)

# How long Telegram may keep a question for news open; its own limit is 50 s.
POLL_S = 45
# Telegram asks to wait a few seconds after a burst; a longer wait is too long for a message.
_BURST = RetryPolicy("Telegram after a burst", attempts=2, longest=60.0)


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
        return str((await self._call("getMe"))["username"])

    async def news(self) -> list[Message]:
        """Texts written since the last call; waits up to 45 s for the first. Raises `TelegramError`."""
        updates = await self._call("getUpdates", offset=self._offset, timeout=POLL_S, allowed_updates=["message"])
        messages = []
        for update in updates:
            self._offset = max(self._offset, int(update["update_id"]) + 1)
            message = update.get("message") or {}
            if isinstance(message.get("text"), str):
                messages.append(Message(int(message["chat"]["id"]), message["text"]))
        return messages

    async def send(self, chat: int, text: str) -> int:
        """Write a message; its id. Raises `TelegramError`."""
        return int((await self._call("sendMessage", chat_id=chat, text=text))["message_id"])

    async def edit(self, chat: int, message_id: int, text: str) -> None:
        """Write a message of ours anew. The same text again is no error. Raises `TelegramError`."""
        try:
            await self._call("editMessageText", chat_id=chat, message_id=message_id, text=text)
        except TelegramError as error:
            if "message is not modified" not in str(error):
                raise

    async def _call(self, method: str, **arguments: Any) -> Any:  # noqa: ANN401 - each method answers its own shape
        def asked_to_wait(error: Exception) -> bool:
            return isinstance(error, TelegramError) and error.retry_after is not None

        return await _BURST.call(lambda: self._call_once(method, arguments), helps=asked_to_wait, sleep=self._sleep)

    async def _call_once(self, method: str, arguments: dict[str, Any]) -> Any:  # noqa: ANN401 - as above
        answer = await self._post(method, arguments)
        if answer.get("ok"):
            return answer["result"]
        said = str(answer.get("description", "no reason given"))
        if answer.get("error_code") in (401, 404):
            raise TelegramTokenError(f"Telegram does not know this bot ({said}). Check IG_PIPELINE_TELEGRAM_TOKEN.")
        refused = TelegramError(f"Telegram refused {method}: {said}")
        wait = (answer.get("parameters") or {}).get("retry_after")
        refused.retry_after = wait if isinstance(wait, int) else None
        raise refused

    async def _post(self, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
        address = f"{self._url}/bot{self._token.get_secret_value()}/{method}"
        try:
            response = await self._http.post(address, json=arguments, timeout=httpx.Timeout(20, read=POLL_S + 15))
            answer = response.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            # `from None`: the cause knows the address, and the address is the token.
            raise TelegramError(f"Telegram did not answer {method} ({type(error).__name__}).") from None
        return answer if isinstance(answer, dict) else {}
