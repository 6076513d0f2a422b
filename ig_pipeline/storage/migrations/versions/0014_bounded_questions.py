"""Indexes for what every run and every check asks, and a snapshot of a post stands under Instagram's day.

It stood under the UTC day. Two snapshots of a post that were taken on one Pacific day are one; the newer stays.
"""

import sqlite3
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_NEGATIVE = {
    "instagram_insights": ["value"],
    "metrics": ["reach", "engagement"],
    "media_engagement": ["like_count", "comments_count", "saved", "engagement"],
}
_TABLE = "media_engagement_snapshots"
# Moved so far first, for on its way a row would meet the one that is still to leave its day.
_FAR = 400_000


def upgrade() -> None:
    """Apply."""
    for table, columns in _NEGATIVE.items():
        negative = sa.text(" or ".join(f"{column} < 0" for column in columns))
        op.create_index(f"ix_{table}_negative", table, columns, postgresql_where=negative, sqlite_where=negative)
    op.create_index(
        "ix_media_engagement_converted",
        "media_engagement",
        ["u_id", "account_id", "posted_at"],
        postgresql_where=sa.text("absences ->> 'insights' = 'before_conversion'"),
        sqlite_where=sa.text("json_extract(absences, '$.insights') = 'before_conversion'"),
    )
    _date_snapshots("America/Los_Angeles")


def downgrade() -> None:
    """Take back."""
    _date_snapshots("UTC")
    op.drop_index("ix_media_engagement_converted", "media_engagement")
    for table in _NEGATIVE:
        op.drop_index(f"ix_{table}_negative", table)


def _date_snapshots(zone: str) -> None:
    """Put each snapshot under the day, in `zone`, of its observation."""
    driver = op.get_bind().connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        driver.create_function("day_of", 1, lambda text: _day(text, ZoneInfo(zone)), deterministic=True)
        day, away, back = "day_of(observed_at)", f"date({{}}, '-{_FAR} days')", f"date({{}}, '+{_FAR} days')"
    else:
        day, away, back = f"(observed_at at time zone '{zone}')::date", f"{{}} - {_FAR}", f"{{}} + {_FAR}"
    op.execute(
        f"delete from {_TABLE} where id in (select id from (select id, row_number() over ("  # noqa: S608  # constants
        f"partition by u_id, account_id, media_id, {day} order by observed_at desc, id desc) as place from {_TABLE}"
        ") as placed where place > 1)"
    )
    op.execute(f"update {_TABLE} set observed_on = {away.format(day)} where observed_on <> {day}")  # noqa: S608  # as above
    op.execute(f"update {_TABLE} set observed_on = {back.format('observed_on')} where observed_on < '1500-01-01'")  # noqa: S608  # as above


def _day(text: str, zone: ZoneInfo) -> str:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).astimezone(zone).date().isoformat()
