"""What stands in Telegram's place may answer anything; the bot goes on listening."""

import json
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from ig_pipeline.bot.bot_api import BotApi, TelegramError
from ig_pipeline_tests.bot.telegram_server import TOKEN
from ig_pipeline_tests.graph_api.test_hostile_answers import BODIES
from ig_pipeline_tests.raw_server import raw_server, sending

pytestmark = pytest.mark.anyio
GOOD = {"update_id": 7, "message": {"chat": {"id": 1}, "text": "/status"}}
ODD: tuple[Any, ...] = (None, True, [], {}, "", "1", "\ud800", 10**30, -1, 1e400, [[]], {"id": []})


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def bot_that_hears(answer: object) -> BotApi:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=json.dumps(answer)))
    return BotApi(httpx.AsyncClient(transport=transport), url="http://telegram.example", token=SecretStr(TOKEN))


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_an_answer_is_bounded(body: bytes) -> None:
    with raw_server(sending(body)) as url:
        async with httpx.AsyncClient() as http:
            with pytest.raises(TelegramError) as caught:
                await BotApi(http, url=url, token=SecretStr(TOKEN)).news()
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("odd", ODD, ids=repr)
async def test_whatever_comes_is_read_or_refused(odd: Any) -> None:
    good = GOOD["message"]
    assert isinstance(good, dict)
    for answer in (
        odd,
        {"ok": True, "result": odd},
        {"ok": False, "description": odd, "parameters": odd},
        {"ok": False, "error_code": odd, "parameters": {"retry_after": "1"}},
        {"ok": True, "result": [odd, {"update_id": odd}, {"update_id": 1, "message": odd}, GOOD]},
        {"ok": True, "result": [{"update_id": 1, "message": {**good, "chat": odd, "text": odd}}, GOOD]},
    ):
        bot = bot_that_hears(answer)
        for call in (bot.news, bot.name, lambda bot=bot: bot.send(1, "a"), lambda bot=bot: bot.edit(1, 1, "a")):
            try:
                await call()
            except TelegramError as error:
                str(error).encode()


async def test_a_message_beside_an_odd_one_is_heard() -> None:
    bot = bot_that_hears({"ok": True, "result": [{"update_id": 6, "message": {"chat": 5}}, 3, GOOD]})
    assert [message.text for message in await bot.news()] == ["/status"]
