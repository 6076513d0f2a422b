"""`metric_absences`: what an account or a post cannot give, so that nobody asks Meta for it again in vain."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from ig_pipeline.storage.tables import media_engagement
from ig_pipeline.storage.tables import metric_absences as table
from ig_pipeline.storage.upsert import Written, upsert


@dataclass(frozen=True)
class RememberedAbsence:
    """Why `metric` of `subject` (the account, or a media id) is not there; asked again after `recheck_after` (UTC)."""

    subject: str
    metric: str
    reason: str
    detail: str
    recorded_at: datetime
    recheck_after: datetime | None


_FIELDS = tuple(RememberedAbsence.__dataclass_fields__)


def save(db: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> Written:
    """Write absences: u_id, account_id, subject, metric, reason, detail, recorded_at, recheck_after."""
    return upsert(db, table, rows, observed="recorded_at")


def of_subject(db: sa.Connection, u_id: int, account_id: str, subject: str) -> list[RememberedAbsence]:
    """All that is kept of the account, or of one post."""
    statement = sa.select(*(table.c[name] for name in _FIELDS)).where(
        table.c.u_id == u_id, table.c.account_id == account_id, table.c.subject == subject
    )
    return [RememberedAbsence(**row._mapping) for row in db.execute(statement.order_by(table.c.id))]


def of_posts(db: sa.Connection, u_id: int, account_id: str, *, first: date, last: date) -> list[RememberedAbsence]:
    """All that is kept of the posts of these Instagram days, ends included."""
    posts = media_engagement.c
    same = [
        posts.u_id == table.c.u_id,
        posts.account_id == table.c.account_id,
        posts.media_id == table.c.subject,
    ]
    statement = (
        sa.select(*(table.c[name] for name in _FIELDS))
        .join(media_engagement, sa.and_(*same))
        .where(posts.u_id == u_id, posts.account_id == account_id, posts.date.between(first, last))
        .order_by(table.c.id)
    )
    return [RememberedAbsence(**row._mapping) for row in db.execute(statement)]


def subjects_lacking(db: sa.Connection, u_id: int, account_id: str, metric: str, *, now: datetime) -> set[str]:
    """The posts that are known at `now` (UTC) not to have `metric`."""
    statement = sa.select(table.c.subject).where(
        table.c.u_id == u_id,
        table.c.account_id == account_id,
        table.c.metric == metric,
        sa.or_(table.c.recheck_after.is_(None), table.c.recheck_after > now),
    )
    return set(db.execute(statement).scalars())


def forget(db: sa.Connection, *, u_id: int, account_id: str, subject: str, metrics: Collection[str]) -> None:
    """Drop what is kept of these metrics of the account or post."""
    db.execute(
        sa.delete(table).where(
            table.c.u_id == u_id,
            table.c.account_id == account_id,
            table.c.subject == subject,
            table.c.metric.in_(list(metrics)),
        )
    )
