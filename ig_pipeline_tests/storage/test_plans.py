"""What is asked on every page, tick and request is answered from an index: a year of a thousand accounts is a million
rows of ledger, and a scan of it takes a tenth of a second."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from ig_pipeline.storage import connections, daily_metrics, insights, media, sync_logs, sync_requests, timeline, tokens
from ig_pipeline.storage.connections import Connection
from ig_pipeline_tests.storage.test_connections import connect

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LAST = date(2026, 11, 19)
FIRST = LAST - timedelta(days=29)

Question = Callable[[sa.Connection, Connection], object]

QUESTIONS: dict[str, Question] = {
    "a timeline": lambda db, one: timeline.account_timeline(db, one.u_id, one.account_id, first=FIRST, last=LAST),
    "whether there is history": lambda db, one: daily_metrics.has_any(db, one.u_id, one.account_id),
    "a day's insights": lambda db, one: insights.values_of(db, one.u_id, one.account_id, LAST),
    "a day's posts": lambda db, one: media.posts_of(db, one.u_id, one.account_id, LAST),
    "a cell's last entry": lambda db, one: sync_logs.last_written(db, one, "daily_metrics", LAST),
    "an account's days": lambda db, one: sync_logs.days_written(db, one, "daily_metrics", first=FIRST, last=LAST),
    "everybody's days": lambda db, _: sync_logs.days_written_by_account(db, "daily_metrics", first=LAST, last=LAST),
    "recent failures": lambda db, _: sync_logs.recent_failures(db),
    "due requests": lambda db, _: sync_requests.due(db, now=NOW),
    "an account by its key": lambda db, one: connections.by_account_key(db, one.account_key),
    "a token": lambda db, one: tokens.read(db, one.account_key),
}


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_no_table_is_scanned_for(db: sa.Connection, question: Question) -> None:
    one = connect(db)
    asked: list[tuple[str, Any]] = []

    def listen(_db: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        asked.append((statement, parameters))

    sa.event.listen(db, "before_cursor_execute", listen)
    question(db, one)
    sa.event.remove(db, "before_cursor_execute", listen)
    assert asked
    for statement, parameters in asked:
        assert scans(db, statement, parameters) == []


def scans(db: sa.Connection, statement: str, parameters: Any) -> list[str]:
    """The steps of the statement's plan that read a whole table."""
    if db.dialect.name == "sqlite":
        plan = db.exec_driver_sql(f"explain query plan {statement}", parameters)
        return [row.detail for row in plan if row.detail.startswith("SCAN") and "USING" not in row.detail]
    # In an empty table the planner would scan whatever indexes there are.
    db.execute(sa.text("set local enable_seqscan = off"))
    return [line for line in db.exec_driver_sql(f"explain {statement}", parameters).scalars() if "Seq Scan" in line]
