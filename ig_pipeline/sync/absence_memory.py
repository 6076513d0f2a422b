"""What an account or a post cannot give, kept over runs: not asked for again until there is a reason to.

Kept are refusals that name their rule, each for a time after which the data can still be fetched; never a silence.
A refusal without a rule is noted with its time, and counts as a rule only once it was repeated over hours.
Reading and writing the table is `storage.absences`'.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from ig_pipeline.graph_api.absences import Absence, AbsenceReason
from ig_pipeline.graph_api.catalogue import FOLLOWS, FOLLOWS_AND_UNFOLLOWS
from ig_pipeline.storage import absences
from ig_pipeline.storage.absences import RememberedAbsence
from ig_pipeline.storage.connections import Connection

SUBJECT = "account"

TTL: Mapping[AbsenceReason, timedelta] = {
    "too_few_followers": timedelta(days=7),
    "too_few_people": timedelta(days=7),
    "not_supported": timedelta(days=30),
    "not_shared_to_facebook": timedelta(days=30),
    "refused_repeatedly": timedelta(days=7),
}
"""How long an absence is taken as given. Followers are gained within a week, and Meta keeps thirty days of what depends
on them; a metric that is refused may come with the next release of the API, and has two years of history. Reasons not
named are about single days and never kept. A post has a row for each metric it refuses: a few, nothing to prune.
"""

# A refusal without a rule is noted and asked about again; repeated after so long, it is taken as one.
REPEATED_AFTER = timedelta(hours=8)
# A first refusal that lies further back is of another trouble.
_FORGOTTEN_AFTER = timedelta(days=4)
_NOTED: AbsenceReason = "refused"


@dataclass(frozen=True)
class Memory:
    """What earlier runs learnt of one subject, or of many by their id.

    `known`: metric → absence, not asked for. `refused`: metric → when it was first refused without a rule (UTC).
    """

    known: dict[str, Absence] = field(default_factory=dict)
    refused: dict[str, datetime] = field(default_factory=dict)


NOTHING = Memory()


def recall(db: sa.Connection, connection: Connection, *, now: datetime) -> Memory:
    """What is kept of the account at `now` (UTC)."""
    memory = Memory()
    for row in absences.of_subject(db, connection.u_id, connection.account_id, SUBJECT):
        _add(memory, row, now)
    if FOLLOWS in memory.known:
        # The call is one, its parts are two; the client knows it by its own name.
        memory.known[FOLLOWS_AND_UNFOLLOWS] = memory.known[FOLLOWS]
    return memory


def recall_posts(
    db: sa.Connection, connection: Connection, *, first: date, last: date, now: datetime
) -> dict[str, Memory]:
    """What is kept of the posts of these Instagram days at `now` (UTC), by media id."""
    found: dict[str, Memory] = {}
    for row in absences.of_posts(db, connection.u_id, connection.account_id, first=first, last=last):
        _add(found.setdefault(row.subject, Memory()), row, now)
    return found


def judged(found: Mapping[str, Absence], memory: Memory, *, now: datetime) -> dict[str, Absence]:
    """The absences `found` as they are to be believed: a refusal repeated over hours has become a rule."""
    return {metric: _judged(absence, memory.refused.get(metric), now) for metric, absence in found.items()}


def remember(
    db: sa.Connection,
    connection: Connection,
    found: Mapping[str, Absence],
    *,
    memory: Memory,
    now: datetime,
    given: Iterable[str] = (),
    subject: str = SUBJECT,
) -> None:
    """Keep what is worth keeping of the absences `found` of `subject`; those known before keep their date.

    `given`: metrics that had a value: what was noted against them is void.
    """
    u_id, account_id = connection.u_id, connection.account_id
    void = sorted(memory.refused.keys() & set(given))
    if void:
        absences.forget(db, u_id=u_id, account_id=account_id, subject=subject, metrics=void)
    kept = [
        {
            "u_id": u_id,
            "account_id": account_id,
            "subject": subject,
            "metric": metric,
            "reason": absence.reason,
            "detail": absence.detail,
            "recorded_at": now,
            "recheck_after": now + TTL.get(absence.reason, timedelta()),
        }
        for metric, absence in sorted(found.items())
        if _is_new(metric, absence, memory, now)
    ]
    absences.save(db, kept)


def _add(memory: Memory, row: RememberedAbsence, now: datetime) -> None:
    if row.reason == _NOTED:
        memory.refused[row.metric] = row.recorded_at
    elif row.reason in TTL and (row.recheck_after is None or row.recheck_after > now):
        memory.known[row.metric] = Absence(_reason(row.reason), row.detail)


def _judged(absence: Absence, first_refused: datetime | None, now: datetime) -> Absence:
    if absence.reason != _NOTED or first_refused is None:
        return absence
    repeated = REPEATED_AFTER <= now - first_refused <= _FORGOTTEN_AFTER
    return Absence("refused_repeatedly", f"{absence.detail} It was repeated over hours.") if repeated else absence


def _is_new(metric: str, absence: Absence, memory: Memory, now: datetime) -> bool:
    if absence.reason == _NOTED:
        since = memory.refused.get(metric)
        return since is None or now - since > _FORGOTTEN_AFTER
    return absence.reason in TTL and metric not in memory.known


def _reason(text: str) -> AbsenceReason:
    return next(reason for reason in TTL if reason == text)
