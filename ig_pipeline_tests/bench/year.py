"""A deployment of a year's standing, filled by the database itself: connections, days on the chart, a ledger of cells.

Used by the benches, and small by tests. What Meta would have said does not matter here; how many rows there are does.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import sqlalchemy as sa
from pydantic import SecretStr

from ig_pipeline.settings import Settings
from ig_pipeline.storage.connections import mark_initial_backfill_requested
from ig_pipeline.storage.database import migrate, open_engine
from ig_pipeline.sync.registry import grid
from ig_pipeline.vault.cipher import KeyRing
from ig_pipeline.vault.token_vault import TokenVault

# Night by night, as they came: the oldest day first.
_SERIES = "with recursive days(n) as (select 0 union all select n + 1 from days where n + 1 < :days) "
_METRICS = """
insert into metrics (u_id, account_id, date, source, reach, engagement, observed_at)
select u_id, account_id, {day}, 'instagram', 1000 + n, n, {written} from days, user_tokens order by n desc, id
"""
_LEDGER = """
insert into instagram_sync_logs (u_id, account_id, account_key, asset, date, run_id, status, rows, calls, absences,
                                 started_at, finished_at)
select u_id, account_id, account_key, :asset, {day}, 'night-' || n, 'complete', 1, 1, '{{}}', {written}, {written}
from days, user_tokens order by n desc, id
"""
_COUNTS = """
insert into cell_counts (u_id, account_id, account_key, asset, status, cells, rows, last_at)
select u_id, account_id, account_key, asset, status, count(*), sum(rows), max(finished_at)
from instagram_sync_logs group by u_id, account_id, account_key, asset, status
"""
_WORDS = {
    "sqlite": {"day": "date(:last, '-' || n || ' days')", "written": "datetime(:now, '-' || n || ' days')"},
    "postgresql": {
        "day": "cast(:last as date) - n",
        "written": "cast(:now as timestamptz) - n * interval '1 day'",
    },
}


def fill_year(
    settings: Settings, accounts: Sequence[dict[str, str]], *, days: int, last: date, now: datetime
) -> sa.Engine:
    """`days` of every account up to `last`, as nights up to `now` (UTC) left them; the engine, to go on with.

    `accounts`: id, username and token of each. Every one has a user of its own, `user0@bench.example` and so on.
    """
    engine = open_engine(settings.effective_database_url)
    migrate(engine)
    vault = TokenVault(engine, KeyRing.from_settings(settings), None, clock=lambda: now)  # type: ignore[arg-type]  # stores only
    with engine.begin() as db:
        for number, account in enumerate(accounts):
            made = vault.store(
                db,
                email=email_of(number),
                login="facebook",
                account_id=account["id"],
                username=account["username"],
                token=SecretStr(account["token"]),
                expires_at=now + timedelta(days=50),
            )
            mark_initial_backfill_requested(db, made.id, first=last - timedelta(days=29), last=last, now=now)
        words = _WORDS[db.dialect.name]
        given = {"last": last.isoformat(), "now": now.strftime("%Y-%m-%d %H:%M:%S"), "days": days}
        db.execute(sa.text(_SERIES + _METRICS.format(**words)), given)
        for asset in grid():
            db.execute(sa.text(_SERIES + _LEDGER.format(**words)), given | {"asset": asset})
        db.execute(sa.text(_COUNTS))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.execute(sa.text("vacuum analyze" if db.dialect.name == "postgresql" else "analyze"))
    return engine


def email_of(number: int) -> str:
    """The user of the account at `number`."""
    return f"user{number}@bench.example"
