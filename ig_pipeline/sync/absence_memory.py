"""What an account or a post cannot give, remembered over runs: not asked for again until there is a reason to.

Knows for which reasons it is worth remembering, and for how long. Reading and writing the table is `storage.absences`'.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from ig_pipeline.graph_api.absences import Absence, AbsenceReason
from ig_pipeline.graph_api.catalogue import FOLLOWS, FOLLOWS_AND_UNFOLLOWS
from ig_pipeline.storage import absences
from ig_pipeline.storage.connections import Connection

SUBJECT = "account"

# How long an absence is believed. Followers are gained within a week; a metric that is refused or left out may come
# with the next release of the API; a post may be shared to Facebook later. Reasons not named are about single days and
# never kept. A post has a row for each metric it refuses, so there are never more than a few a post, and nothing to
# prune.
BELIEVED: Mapping[AbsenceReason, timedelta] = {
    "too_few_followers": timedelta(days=7),
    "too_few_people": timedelta(days=7),
    "not_supported": timedelta(days=30),
    "not_shared_to_facebook": timedelta(days=30),
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


def known_of_posts(
    db: sa.Connection, connection: Connection, *, first: date, last: date, now: datetime
) -> dict[str, dict[str, Absence]]:
    """What posts of these Instagram days refused and need not be asked for at `now` (UTC): media id → metric → why."""
    found: dict[str, dict[str, Absence]] = {}
    for row in absences.believed_of_posts(db, connection.u_id, connection.account_id, first=first, last=last, now=now):
        if row.reason in BELIEVED:
            found.setdefault(row.subject, {})[row.metric] = Absence(_reason(row.reason), row.detail)
    return found


def remember(
    db: sa.Connection,
    connection: Connection,
    found: Mapping[str, Absence],
    *,
    known: Mapping[str, Absence],
    now: datetime,
    subject: str = SUBJECT,
) -> None:
    """Keep what is worth keeping of the absences `found` of `subject`; those `known` before keep their date."""
    absences.save(
        db,
        [
            {
                "u_id": connection.u_id,
                "account_id": connection.account_id,
                "subject": subject,
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
