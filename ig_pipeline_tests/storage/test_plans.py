"""What is asked on every page, tick and request is answered from an index: a year of a thousand accounts is a million
rows of ledger, and a scan of it takes a tenth of a second."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from ig_pipeline.settings import Settings
from ig_pipeline.storage import (
    absences,
    connections,
    insights,
    media,
    overview,
    sync_logs,
    sync_requests,
    token_rows,
)
from ig_pipeline.storage.connections import Connection, list_connections
from ig_pipeline.storage.day_rows import day_rows
from ig_pipeline.sync.engine import due
from ig_pipeline.sync.standing import impossible_rows, missing_by_account
from ig_pipeline.web.monitoring import families
from ig_pipeline.web.page_data import account_page, cards
from ig_pipeline_tests.storage.test_connections import connect

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LAST = date(2026, 11, 19)
FIRST = LAST - timedelta(days=29)

Question = Callable[[sa.Connection, Connection], object]

QUESTIONS: dict[str, Question] = {
    "a timeline": lambda db, one: day_rows(db, [one], first=FIRST, last=LAST),
    "a day's insights": lambda db, one: insights.values_of(db, one.u_id, one.account_id, LAST),
    "a day's posts": lambda db, one: media.posts_of(db, one.u_id, one.account_id, LAST),
    "a cell's last entry": lambda db, one: sync_logs.last_written(db, one, "daily_metrics", LAST),
    "an account's days": lambda db, one: sync_logs.days_written(db, one, "daily_metrics", first=FIRST, last=LAST),
    "everybody's days": lambda db, _: sync_logs.days_complete_by_account(db, "daily_metrics", first=LAST, last=LAST),
    "recent failures": lambda db, _: sync_logs.recent_failures(db),
    "due requests": lambda db, _: sync_requests.due(db, now=NOW, first_backfills=False),
    "an account's requests": lambda db, one: sync_requests.unfinished_of(db, one.account_key, kind="insights"),
    "a batch's requests": lambda db, one: sync_requests.note_counts(db, "b", one.account_key, counts={}, detail=None),
    "an account by its key": lambda db, one: connections.by_account_key(db, one.account_key),
    "a token": lambda db, one: token_rows.read(db, one.account_key),
    "an account's conversion": lambda db, one: media.newest_before_conversion(db, one.u_id, one.account_id),
}


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_no_table_is_scanned_for(db: sa.Connection, question: Question) -> None:
    for statement, parameters in asked_by(db, question):
        assert scans(db, statement, parameters) == []


# What grows night by night. The other tables have a row an account, or few.
GROWING = {
    "instagram_insights",
    "instagram_sync_logs",
    "media_engagement",
    "media_engagement_snapshots",
    "media_items",
    "metrics",
    "stories",
}
# Indexes of nothing but what is looked for.
PARTIAL = {
    "ix_instagram_sync_logs_failed",
    "ix_instagram_insights_negative",
    "ix_metrics_negative",
    "ix_media_engagement_negative",
}
SETTINGS = Settings()

AT_A_GLANCE: dict[str, Question] = {
    "monitoring": lambda db, _: families(db, now=NOW, window_days=3),
    "a page of connections": lambda db, _: cards(
        db, overview.standings(db, initial_days=30, limit=24), settings=SETTINGS, now=NOW
    ),
    "a user's connections": lambda db, one: overview.standings(db, initial_days=30, email=one.email),
    "an account's page": lambda db, one: account_page(
        db,
        overview.standings(db, initial_days=30, account_keys=[one.account_key])[0],
        settings=SETTINGS,
        now=NOW,
        pictures={},
    ),
    "a user's month": lambda db, one: day_rows(db, list_connections(db, email=one.email), first=FIRST, last=LAST),
    "whose demographics are due": lambda db, _: due(db, "demographics", now=NOW),
    "what cannot be true": lambda db, _: impossible_rows(db, now=NOW),
    "days missing": lambda db, _: missing_by_account(db, now=NOW, days=30, first_day=FIRST),
    "what posts refuse": lambda db, one: absences.of_posts(db, one.u_id, one.account_id, first=FIRST, last=LAST),
    "which attempts there were": lambda db, one: sync_logs.attempts(
        db, one, first=FIRST, last=LAST, failed_since=NOW, but="a run"
    ),
    "what a request lacks": lambda db, one: sync_logs.lacks(db, one, assets=("daily_metrics",), first=FIRST, last=LAST),
}


@pytest.mark.parametrize("question", AT_A_GLANCE.values(), ids=AT_A_GLANCE)
def test_no_table_that_grows_by_the_night_is_read_whole_for(db: sa.Connection, question: Question) -> None:
    for statement, parameters in asked_by(db, question):
        assert read_whole(db, statement, parameters) & GROWING == set()


def test_a_table_that_is_read_whole_by_its_index_is_noticed(db: sa.Connection) -> None:
    statement = "select account_id, max(date) from metrics group by account_id, u_id, source order by u_id"
    assert read_whole(db, statement, ()) == {"metrics"}


def test_the_newest_post_from_before_the_conversion_is_found_without_reading_the_others(db: sa.Connection) -> None:
    """An account's posts are many, and this is asked in every run."""
    for statement, parameters in asked_by(db, QUESTIONS["an account's conversion"]):
        plan = plan_of(db, statement, parameters)
        assert "ix_media_engagement_converted" in plan
        assert "sort" not in plan.lower()


def asked_by(db: sa.Connection, question: Question) -> list[tuple[str, Any]]:
    """The statements of a question about an account whose first backfill is under way, with their parameters."""
    one = connect(db)
    connections.mark_initial_backfill_requested(db, one.id, first=FIRST, last=LAST, now=NOW)
    asked: list[tuple[str, Any]] = []

    def listen(_db: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        asked.append((statement, parameters))

    sa.event.listen(db, "before_cursor_execute", listen)
    question(db, one)
    sa.event.remove(db, "before_cursor_execute", listen)
    assert asked
    return asked


def plan_of(db: sa.Connection, statement: str, parameters: Any) -> str:
    """The statement's plan, as the database tells it."""
    if db.dialect.name == "sqlite":
        return "\n".join(row.detail for row in db.exec_driver_sql(f"explain query plan {statement}", parameters))
    # In an empty table the planner would scan whatever indexes there are.
    db.execute(sa.text("set local enable_seqscan = off"))
    return "\n".join(db.exec_driver_sql(f"explain {statement}", parameters).scalars())


def read_whole(db: sa.Connection, statement: str, parameters: Any) -> set[str]:
    """Tables of which the plan looks at every row, or at every entry of an index."""
    if db.dialect.name == "sqlite":
        plan = db.exec_driver_sql(f"explain query plan {statement}", parameters)
        found = [row.detail.split() for row in plan if row.detail.startswith("SCAN")]
        return {words[1] for words in found if words[-1] not in PARTIAL}
    db.execute(sa.text("set local enable_seqscan = off"))
    (top,) = db.exec_driver_sql(f"explain (format json) {statement}", parameters).scalar_one()
    nodes, whole = [top["Plan"]], set()
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", [])
        # A bitmap's condition stands with the index below it.
        narrowed = {"Index Cond", "Recheck Cond"} & node.keys() or node.get("Index Name") in PARTIAL
        if "Relation Name" in node and not narrowed:
            whole.add(node["Relation Name"])
    return whole


def scans(db: sa.Connection, statement: str, parameters: Any) -> list[str]:
    """The steps of the statement's plan that read a whole table."""
    steps = plan_of(db, statement, parameters).splitlines()
    if db.dialect.name == "sqlite":
        return [step for step in steps if step.startswith("SCAN") and "USING" not in step]
    return [step for step in steps if "Seq Scan" in step]
