"""Answers of any size: made in pieces, so that memory does not grow with them and no one else waits."""

import asyncio
import gc
import json
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from starlette.types import ASGIApp, Message

from ig_pipeline.storage import connections, tables
from ig_pipeline.storage.user_data import export
from ig_pipeline.web.app import create_app
from ig_pipeline.web.routes import people
from ig_pipeline_tests.sync.harness import SmallWorld
from ig_pipeline_tests.web.front_door import API_TOKEN

pytestmark = pytest.mark.anyio
EMAIL = "much@b.example"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
# In one piece 60,000 rows are 13 MB.
MANY = 60_000
LONGEST_GAP = 0.1
LARGEST_PIECE = 256 * 1024


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def fill(engine: sa.Engine, rows: int) -> None:
    """A user with `rows` values of insights."""
    with engine.begin() as db:
        made = connect(db, "17841400000000001", "much.studio")
        db.execute(sa.update(tables.user_tokens).values(access_token=None))  # it is under no key
        db.execute(
            sa.insert(tables.instagram_insights),
            [
                {
                    "u_id": made.u_id,
                    "account_id": made.account_id,
                    "date": date(2020, 1, 1) + timedelta(days=number % 2000),
                    "metric": f"metric_{number // 2000}",
                    "metric_type": "time_series",
                    "value": number,
                    "end_time": NOW - timedelta(days=number % 2000),
                    "observed_at": NOW,
                }
                for number in range(rows)
            ],
        )


def connect(db: sa.Connection, account_id: str, username: str) -> connections.Connection:
    return connections.connect(
        db,
        email=EMAIL,
        login="facebook",
        account_id=account_id,
        username=username,
        encrypt=lambda _: "sealed",
        expires_at=None,
        scopes="",
        now=NOW,
    )


@asynccontextmanager
async def running(small: SmallWorld) -> AsyncIterator[ASGIApp]:
    settings = small.settings.model_copy(update={"api_token": SecretStr(API_TOKEN)})
    app = create_app(settings, clock=small.clock)
    async with app.router.lifespan_context(app):
        gc.collect()
        gc.freeze()  # as the command does: else what the tests have loaded is gone through again and again
        yield app
        gc.unfreeze()


async def ask(app: ASGIApp, path: str, *, accept: str = "application/json", **query: Any) -> AsyncIterator[Message]:
    """The messages of an answer, as they are sent."""
    headers = {"host": "127.0.0.1", "authorization": f"Bearer {API_TOKEN}", "accept": accept}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": urlencode(query).encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    sent: asyncio.Queue[Message] = asyncio.Queue(1)
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def answer() -> None:
        await app(scope, receive, sent.put)

    task = asyncio.create_task(answer())
    try:
        while True:
            message = await sent.get()
            yield message
            if message["type"] == "http.response.body" and not message.get("more_body"):
                break
        await task
    finally:
        task.cancel()


async def longest_gap(done: asyncio.Event) -> float:
    """The most CPU time this process spent while its event loop could not run; the machine's load does not count."""
    longest, last = 0.0, time.process_time()
    while not done.is_set():
        await asyncio.sleep(0.001)
        now = time.process_time()
        longest, last = max(longest, now - last), now
    return longest


QUESTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "export": ("/v1/users/export", {"email": EMAIL}),
    "metrics": ("/metrics", {}),
    "timeline": ("/v1/metrics/timeline/month", {"email": EMAIL, "days": 366}),
    "table": ("/v1/metrics/timeline/month", {"email": EMAIL, "days": 366, "accept": "text/csv"}),
    "status": ("/v1/connections/status", {"email": EMAIL}),
}


@pytest.mark.parametrize("name", QUESTIONS)
async def test_no_one_waits_for_a_large_answer(small_on_sqlite: SmallWorld, name: str) -> None:
    if name == "export":
        fill(small_on_sqlite.engine, MANY)
    else:
        with small_on_sqlite.engine.begin() as db:
            for number in range({"metrics": 4000, "status": 1000}.get(name, 300)):
                connect(db, f"178414{number:011d}", f"studio.{number}")
    path, query = QUESTIONS[name]
    async with running(small_on_sqlite) as app:
        done = asyncio.Event()
        watching = asyncio.create_task(longest_gap(done))
        await asyncio.sleep(0.01)
        pieces = [len(message.get("body", b"")) async for message in ask(app, path, **query)]
        done.set()
        assert await watching < LONGEST_GAP
    assert sum(pieces) > LARGEST_PIECE
    assert max(pieces) < LARGEST_PIECE


async def test_memory_does_not_grow_with_an_export(small: SmallWorld) -> None:
    peaks = []
    for rows in (4_000, 16_000):
        with small.engine.begin() as db:
            db.execute(sa.delete(tables.instagram_insights))
        fill(small.engine, rows)
        async with running(small) as app:
            tracemalloc.start()
            size = sum([len(message.get("body", b"")) async for message in ask(app, "/v1/users/export", email=EMAIL)])
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert size > 150 * rows
    assert peaks[1] < 1.5 * peaks[0]


def test_an_export_is_whole_and_of_one_moment(small: SmallWorld) -> None:
    fill(small.engine, 1_000)
    pieces = export(small.engine, EMAIL)
    assert pieces is not None
    begun = "".join(islice(pieces, 3))
    with small.engine.begin() as db:
        db.execute(sa.delete(tables.instagram_insights))
    rows = json.loads(begun + "".join(pieces))["tables"]["instagram_insights"]
    assert [row["value"] for row in rows] == list(range(1_000))


async def test_exports_whose_callers_stop_reading_take_no_more_than_their_places(small: SmallWorld) -> None:
    fill(small.engine, 4_000)
    async with running(small) as app:
        stopped = [ask(app, "/v1/users/export", email=EMAIL) for _ in range(people.EXPORTS_AT_ONCE)]
        for one in stopped:
            assert (await anext(one))["status"] == 200
        refused = await anext(ask(app, "/v1/users/export", email=EMAIL))
        assert refused["status"] == 503
        assert (b"retry-after", b"60") in refused["headers"]
        assert (await anext(ask(app, "/readyz")))["status"] == 200
        for one in stopped:
            await one.aclose()  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        whole = [message async for message in ask(app, "/v1/users/export", email=EMAIL)]
    assert json.loads(b"".join(message.get("body", b"") for message in whole))["email"] == EMAIL


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("ig_pipeline.web.large_answers._TAKES_WITHIN", 0.05)
    yield


@pytest.mark.usefixtures("impatient")
async def test_who_stops_reading_is_given_up(small_on_sqlite: SmallWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    given_up = asyncio.Event()
    monkeypatch.setattr("ig_pipeline.web.large_answers.log.info", lambda _: given_up.set())
    fill(small_on_sqlite.engine, 4_000)
    async with running(small_on_sqlite) as app:
        asked = ask(app, "/v1/users/export", email=EMAIL)
        await anext(asked)
        await asyncio.wait_for(given_up.wait(), 60)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):  # what was on its way, and no end
                while True:
                    await anext(asked)
