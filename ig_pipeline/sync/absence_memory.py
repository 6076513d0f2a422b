"""What an account cannot give, remembered over runs: not asked for again until there is a reason to.

Knows for which reasons it is worth remembering, and for how long. Reading and writing the table is `storage.absences`'.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import sqlalchemy as sa

from ig_pipeline.graph_api.absences import Absence, AbsenceReason
from ig_pipeline.graph_api.catalogue import FOLLOWS, FOLLOWS_AND_UNFOLLOWS
from ig_pipeline.storage import absences
from ig_pipeline.storage.connections import Connection

SUBJECT = "account"

# How long an absence of an account's metric is believed. Followers are gained within a week; a metric that is refused
# or left out may come with the next release of the API. Reasons not named are about single days and never kept.
BELIEVED: Mapping[AbsenceReason, timedelta] = {
    "too_few_followers": timedelta(days=7),
    "too_few_people": timedelta(days=7),
    "not_supported": timedelta(days=30),
    "silently_missing": timedelta(days=7),
}


def known(db: sa.Connection, connection: Connection, *, now: datetime) -> dict[str, Absence]:
    """What need not be asked for at `now` (UTC): metric → why."""
    found = {
        row.metric: Absence(_reason(row.reason), row.detail)
        for row in absences.believed(db, connection.u_id, connection.account_id, now=now, subject=SUBJECT)
        if row.reason in BELIEVED
    }
    if FOLLOWS in found:
        # The call is one, its parts are two; the client knows it by its own name.
        found[FOLLOWS_AND_UNFOLLOWS] = found[FOLLOWS]
    return found


def remember(
    db: sa.Connection,
    connection: Connection,
    found: Mapping[str, Absence],
    *,
    known: Mapping[str, Absence],
    now: datetime,
) -> None:
    """Keep what is worth keeping of the absences `found`; those `known` before keep their date."""
    absences.save(
        db,
        [
            {
                "u_id": connection.u_id,
                "account_id": connection.account_id,
                "subject": SUBJECT,
                "metric": metric,
                "reason": absence.reason,
                "detail": absence.detail,
                "recorded_at": now,
                "recheck_after": now + BELIEVED[absence.reason],
            }
            for metric, absence in sorted(found.items())
            if absence.reason in BELIEVED and metric not in known
        ],
    )


def _reason(text: str) -> AbsenceReason:
    return next(reason for reason in BELIEVED if reason == text)
