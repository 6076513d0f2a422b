"""Carries deletions out: files, Dagster's records, what is left of the rows, the databases' files, then the tombstone.

For the run of `defs.deletions` and for the command line; a lease lets one process at a time do it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import dagster as dg

from ig_pipeline.dagster_internals.names import Names
from ig_pipeline.defs.forgetting import Forgotten, Ours, forget, names_of, scrub_dagster, under_way
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.defs.schedules import stream_schedules
from ig_pipeline.defs.tokens import access_tokens
from ig_pipeline.media_store.opening import open_store
from ig_pipeline.storage import deletion_requests, leases, user_data
from ig_pipeline.storage.deletion_requests import DeletionRequest
from ig_pipeline.storage.scrubbing import ScrubbingWaitsError
from ig_pipeline.sync.media_files.erasing import erase_files
from ig_pipeline.sync.registry import snapshots, streams

# A table in use, or a store that is out of reach, is not tried again and again.
_AGAIN = timedelta(minutes=5)
# Nothing but another release of ours helps with a Dagster that it does not know.
_UNKNOWN_AGAIN = timedelta(days=1)

OURS = Ours(
    grid=[dg.AssetKey(stream.name) for stream in streams() if stream.grain == "account-day"],
    beside=[access_tokens.key, *(dg.AssetKey(stream.name) for stream in snapshots())],
    instigators=frozenset(
        {
            *("new_connections", "requested_syncs", "deletions", "token_refresh", "grid_checks"),
            *(schedule.name for schedule in stream_schedules()),
        }
    ),
)
"""What of the instance may name accounts; a test compares it with the definitions."""


@dataclass(frozen=True)
class Outcome:
    """What became of the deletions that were due. `held_up`: why files wait; `left`: what is left in Dagster."""

    done: int = 0
    waiting: int = 0
    held_up: str | None = None
    left: str | None = None

    @property
    def sentence(self) -> str:
        """For the operator. Names no one."""
        said = [f"{self.done} deletions are done, {self.waiting} wait for runs of their accounts."]
        if self.held_up:
            said.append(f"The rest is done later: {self.held_up}")
        if self.left:
            said.append(self.left)
        return " ".join(said)


def carry_out(
    pipeline: Pipeline, instance: dg.DagsterInstance | None, *, owner: str, code: str | None = None
) -> Outcome | None:
    """Erase and scrub what is due (the request with this `code` alone, if given); None when another process is at it.

    Those with a run of their accounts under way are left for later. Files first, while rows still lead to them; then
    Dagster; then the rows, and with them the names in the request. At last the files of the databases, where deleted
    rows lie on. Each step may be repeated after a crash. Raises `StoreError`, `DatabaseError`.
    """
    with leases.held(pipeline.writing, leases.DELETIONS, owner=owner, clock=pipeline.clock) as mine:
        if not mine:
            return None
        with pipeline.reading() as db:
            due = deletion_requests.due(db, now=pipeline.clock())
        due = [deletion for deletion in due if code in (None, deletion.code)]
        try:
            return _carry_out(pipeline, instance, due)
        except Exception:  # whatever it is, it is raised again: no tick may find the same deletions due at once
            _defer(pipeline, due, _AGAIN)
            raise


def _carry_out(pipeline: Pipeline, instance: dg.DagsterInstance | None, due: list[DeletionRequest]) -> Outcome:
    free = [deletion for deletion in due if not is_in_use(pipeline, instance, deletion)]
    waiting, left = len(due) - len(free), None
    erased: list[DeletionRequest] = []
    try:
        for deletion in free:
            if kept := _erase(pipeline, instance, deletion) if deletion.targets else None:
                left = kept
                _defer(pipeline, [deletion], _UNKNOWN_AGAIN)
            else:
                erased.append(deletion)
        if erased:
            _scrub(pipeline, instance)
    except ScrubbingWaitsError as error:
        _defer(pipeline, free, _AGAIN)
        return Outcome(0, waiting, held_up=str(error), left=left)
    with pipeline.writing() as db:
        for deletion in erased:
            deletion_requests.done(db, deletion, now=pipeline.clock())
    return Outcome(len(erased), waiting, left=left)


def is_in_use(pipeline: Pipeline, instance: dg.DagsterInstance | None, deletion: DeletionRequest) -> bool:
    """Whether a run that is under way could still write what `deletion` would remove."""
    if instance is None or not deletion.targets:
        return False
    return under_way(instance, _names_in(pipeline, deletion), OURS)


def _erase(pipeline: Pipeline, instance: dg.DagsterInstance | None, deletion: DeletionRequest) -> str | None:
    """Erase all but the bytes in the databases' files; what is left in a Dagster that is not known, in a sentence."""
    erased: dict[str, int] = {}
    store = open_store(pipeline.settings)
    for target in deletion.targets:
        erased["files"] = erased.get("files", 0) + erase_files(pipeline.writing, store, target.u_id, target.account_id)
    gone = Forgotten(0)
    if instance is not None:
        run_ids = {run_id for target in deletion.targets for run_id in target.run_ids}
        gone = forget(instance, _names_in(pipeline, deletion), run_ids, OURS)
        erased["cells"] = gone.gone
    with pipeline.writing() as db:
        for target in deletion.targets:
            rows = user_data.erase_known(db, target.u_id, target.account_id, target.account_key, target.email)
            for name, count in rows.items():
                erased[name] = erased.get(name, 0) + count
        if not gone.left:
            deletion_requests.unname(db, deletion, erased)
    return gone.left


def _scrub(pipeline: Pipeline, instance: dg.DagsterInstance | None) -> None:
    rewrite = pipeline.settings.rewrite_after_deletion
    if instance is not None:
        scrub_dagster(instance, rewrite=rewrite)
    pipeline.scrub(rewrite=rewrite)


def _names_in(pipeline: Pipeline, deletion: DeletionRequest) -> Names:
    with pipeline.reading() as db:
        words = deletion_requests.names_of(db, deletion)
    return names_of({target.account_key for target in deletion.targets}, words)


def _defer(pipeline: Pipeline, due: Iterable[DeletionRequest], pause: timedelta) -> None:
    with pipeline.writing() as db:
        deletion_requests.defer(db, list(due), until=pipeline.clock() + pause)
