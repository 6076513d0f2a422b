"""`metric_absences`: what an account or a post cannot give, so that nobody asks Meta for it again in vain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from ig_pipeline.storage.tables import media_engagement
from ig_pipeline.storage.tables import metric_absences as table
from ig_pipeline.storage.upsert import Written, upsert

KEY = ("u_id", "account_id", "subject", "metric")


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
    return upsert(db, table, rows, key=KEY, observed="recorded_at")


def believed(
    db: sa.Connection, u_id: int, account_id: str, *, now: datetime, subject: str | None = None
) -> list[RememberedAbsence]:
    """Absences that need not be checked again yet."""
    conditions = [
        table.c.u_id == u_id,
        table.c.account_id == account_id,
        sa.or_(table.c.recheck_after.is_(None), table.c.recheck_after > now),
    ]
    if subject is not None:
        conditions.append(table.c.subject == subject)
    rows = db.execute(sa.select(*(table.c[name] for name in _FIELDS)).where(*conditions).order_by(table.c.id))
    return [RememberedAbsence(**row._mapping) for row in rows]


def believed_of_posts(
    db: sa.Connection, u_id: int, account_id: str, *, first: date, last: date, now: datetime
) -> list[RememberedAbsence]:
    """What posts of these Instagram days cannot give and need not be asked for again yet."""
    posts = media_engagement.c
    rows = db.execute(
        sa.select(*(table.c[name] for name in _FIELDS))
        .join(
            media_engagement,
            sa.and_(
                posts.u_id == table.c.u_id, posts.account_id == table.c.account_id, posts.media_id == table.c.subject
            ),
        )
        .where(
            posts.u_id == u_id,
            posts.account_id == account_id,
            posts.date.between(first, last),
            sa.or_(table.c.recheck_after.is_(None), table.c.recheck_after > now),
        )
        .order_by(table.c.id)
    )
    return [RememberedAbsence(**row._mapping) for row in rows]
