"""The month that stands on a chart, as JSON or CSV."""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import chain

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from ig_pipeline.graph_api.days import PACIFIC, last_complete_day
from ig_pipeline.storage.connections import Connection, list_connections
from ig_pipeline.storage.database import reading
from ig_pipeline.storage.day_rows import DayRow, day_rows, total
from ig_pipeline.web.answers import day_of
from ig_pipeline.web.gates import reader
from ig_pipeline.web.large_answers import in_pieces, with_items
from ig_pipeline.web.negotiation import wants_csv
from ig_pipeline.web.openapi import refusals
from ig_pipeline.web.services import Services
from ig_pipeline.web.shapes import AccountTimeline, Days, Email, Timeline

router = APIRouter(tags=["metrics"])

# A year of so many accounts is some 20,000 rows.
_ACCOUNTS_AT_ONCE = 50


@router.get(
    "/v1/metrics/timeline/month",
    response_model=Timeline,
    dependencies=[Depends(reader)],
    responses=refusals(401, 422, 429, 503)
    | {200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "JSON, or CSV when asked for."}},
    summary="Reach and engagement, a row a day",
)
def month(request: Request, services: Services, email: Email, days: Days = 30) -> Response:
    """As many rows as days were asked for, up to yesterday; nulls for what is not there yet."""
    last = last_complete_day(services.clock())
    first = last - timedelta(days=days - 1)
    with reading(services.engine) as db:
        connections = list_connections(db, email=email)

    def accounts() -> Iterator[tuple[Connection, list[DayRow]]]:
        for begin in range(0, len(connections), _ACCOUNTS_AT_ONCE):
            some = connections[begin : begin + _ACCOUNTS_AT_ONCE]
            with reading(services.engine) as db:
                rows = day_rows(db, some, first=first, last=last)
            yield from ((connection, rows[connection.id]) for connection in some)

    # The total comes first; most users have few accounts, which are read once for both.
    known = list(accounts()) if len(connections) <= _ACCOUNTS_AT_ONCE else None
    empty = [DayRow(first + timedelta(days=offset), None, None) for offset in range(days)]
    together = total(chain([empty], (rows for _, rows in known or accounts())))
    shown = accounts() if known is None else known
    if wants_csv(request):
        return in_pieces(_csv(together, shown), media_type="text/csv; charset=utf-8", headers={"Vary": "Accept"})
    answer = Timeline(
        email=email,
        provider="instagram",
        timezone=PACIFIC.key,
        first=first,
        last=last,
        timeline=[day_of(row) for row in together],
        accounts=[],
    )
    items = (
        AccountTimeline(
            account=connection.account_key,
            username=connection.username,
            timeline=[day_of(row) for row in rows],
        )
        for connection, rows in shown
    )
    return in_pieces(with_items(answer, items), media_type="application/json")


def _csv(together: list[DayRow], accounts: Iterable[tuple[Connection, list[DayRow]]]) -> Iterator[str]:
    """`scope` tells the total from an account that is called so."""
    yield "date,scope,account,reach,engagement\r\n"
    yield _lines("total", "", together)
    for connection, rows in accounts:
        yield _lines("account", connection.account_key, rows)


def _lines(scope: str, account: str, rows: list[DayRow]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    for row in rows:
        writer.writerow([row.date.isoformat(), scope, account, _cell(row.reach), _cell(row.engagement)])
    return text.getvalue()


def _cell(value: int | None) -> object:
    return "" if value is None else value
