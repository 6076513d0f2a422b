"""The month that stands on a chart, as JSON or CSV."""

import csv
import io
from collections.abc import Iterator
from datetime import timedelta

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from ig_pipeline.graph_api.days import PACIFIC, last_complete_day
from ig_pipeline.storage.connections import list_connections
from ig_pipeline.storage.database import reading
from ig_pipeline.storage.day_rows import DayRow, day_rows, total
from ig_pipeline.web.answers import as_json, day_of
from ig_pipeline.web.gates import reader
from ig_pipeline.web.negotiation import wants_csv
from ig_pipeline.web.openapi import refusals
from ig_pipeline.web.services import Services
from ig_pipeline.web.shapes import AccountTimeline, Days, Email, Timeline

router = APIRouter(tags=["metrics"])


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
        rows = day_rows(db, connections, first=first, last=last)
    empty = [DayRow(first + timedelta(days=offset), None, None) for offset in range(days)]
    together = total(list(rows.values())) if rows else empty
    accounts = {connection.account_key: rows[connection.id] for connection in connections}
    if wants_csv(request):
        return Response(_csv(together, accounts), media_type="text/csv; charset=utf-8", headers={"Vary": "Accept"})
    answer = Timeline(
        email=email,
        provider="instagram",
        timezone=PACIFIC.key,
        first=first,
        last=last,
        timeline=[day_of(row) for row in together],
        accounts=[
            AccountTimeline(
                account=connection.account_key,
                username=connection.username,
                timeline=[day_of(row) for row in rows[connection.id]],
            )
            for connection in connections
        ],
    )
    return as_json(answer)


def _csv(together: list[DayRow], accounts: dict[str, list[DayRow]]) -> str:
    """`scope` tells the total from an account that is called so."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(["date", "scope", "account", "reach", "engagement"])
    writer.writerows(_lines("total", "", together))
    for key, rows in accounts.items():
        writer.writerows(_lines("account", key, rows))
    return text.getvalue()


def _lines(scope: str, account: str, rows: list[DayRow]) -> Iterator[list[object]]:
    for row in rows:
        yield [row.date.isoformat(), scope, account, _cell(row.reach), _cell(row.engagement)]


def _cell(value: int | None) -> object:
    return "" if value is None else value
