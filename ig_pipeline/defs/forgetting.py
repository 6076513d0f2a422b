"""Takes accounts out of Dagster's own storage: cells, runs, backfills, ticks, logs and the keys themselves.

A run of no one else goes whole. One that other accounts share stays, without these: what the grid shows of those who
stay is not touched, be it green or red. Only what such a run logged in words goes for all of them. Public calls do what
they can; the rest is `dagster_internals`', and is left, and said to be left, by a Dagster that it does not know.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from ig_pipeline.dagster_internals import daemon_records, tables, versions
from ig_pipeline.dagster_internals.event_log import EventLog
from ig_pipeline.dagster_internals.names import Names
from ig_pipeline.defs.partitions import ACCOUNT, ACCOUNT_TAG, ACCOUNTS, RANGE_END, RANGE_START
from ig_pipeline.defs.run_requests import UNFINISHED, runs_matching

_DIMENSION = str(ACCOUNTS.name)
_PARTITION, _OF_ACCOUNT = "dagster/partition", f"dagster/partition/{ACCOUNT}"
_CELL_TAGS, _KEY_TAGS = (RANGE_START, RANGE_END, _PARTITION), (ACCOUNT_TAG, _OF_ACCOUNT)
# Repository and sensor: the only one whose ticks log whom they are about, and Dagster keeps logs longer than ticks.
_TICK_LOGS = ["__repository__", "new_connections"]
_CHUNK = 500


@dataclass(frozen=True)
class Ours:
    """What of an instance is this project's: assets on the grid, assets beside it, sensors and schedules."""

    grid: Sequence[dg.AssetKey]
    beside: Sequence[dg.AssetKey]
    instigators: Collection[str]


@dataclass(frozen=True)
class Forgotten:
    """How many runs and cells went; what is left in a Dagster that is not known, in a sentence that names no one."""

    gone: int
    left: str | None = None


def names_of(keys: Collection[str], words: Collection[str]) -> Names:
    """Account keys, and the words that mean these accounts and no others."""
    return Names(keys, words, dimension=_DIMENSION, tags=(*_CELL_TAGS, *_KEY_TAGS))


def under_way(instance: dg.DagsterInstance, names: Names, ours: Ours) -> bool:
    """Whether an unfinished run or backfill could still write what is being removed.

    Runs over other accounts could not. Runs of our assets without partitions could: they write about everyone.
    """
    known = instance.get_dynamic_partitions(_DIMENSION)
    for run in runs_matching(instance, dg.RunsFilter(statuses=UNFINISHED)):
        if _accounts_in(run, known) & names.keys or (not _is_partitioned(run) and _touches(run, ours)):
            return True
    assets = [*ours.grid, *ours.beside]
    return versions.is_tested() and daemon_records.unfinished_backfills(instance, names, ours=assets) > 0


def forget(instance: dg.DagsterInstance, names: Names, run_ids: Collection[str], ours: Ours) -> Forgotten:
    """Remove the accounts from the instance. `run_ids`: runs that the ledger knows to have written about them.

    Safe to be called again after a crash. Raises `ScrubbingWaitsError`.
    """
    log = EventLog(instance, names, grid=ours.grid, beside=ours.beside, account_tag=_OF_ACCOUNT)
    known = versions.is_tested()
    naming = {*run_ids, *_tagged(instance, names), *(log.runs() if known else ())}
    cells = log.accounts_of(naming) if known else {}
    order = instance.get_dynamic_partitions(_DIMENSION)
    deleted, shared = set(), set()
    for run in _by_id(instance, naming):
        accounts = cells.get(run.run_id) or _accounts_in(run, order)
        instance.compute_log_manager.delete_logs(prefix=[run.run_id])
        if accounts and accounts <= names.keys:
            instance.delete_run(run.run_id)
            deleted.add(run.run_id)
        else:
            shared.add(run.run_id)
            _clean_tags(instance, run, names, [key for key in order if key in accounts - names.keys])
    count = 0
    if known:
        for run_id in naming - shared - {""}:
            log.remove_file(run_id)
        count = log.clean(naming - deleted)
        daemon_records.clean_backfills(instance, names, ours=[*ours.grid, *ours.beside])
        daemon_records.clean_ticks(instance, names, ours=ours.instigators)
        daemon_records.clean_heartbeats(instance, names)
    instance.compute_log_manager.delete_logs(prefix=_TICK_LOGS)
    for key in names.keys:
        instance.delete_dynamic_partition(_DIMENSION, key)
    return Forgotten(len(deleted) + count, left=None if known else _left(len(shared)))


def _left(runs: int) -> str:
    return (
        f"This release does not know Dagster {dg.__version__}: cells and messages in {runs} runs that others share, "
        "backfills, ticks and the files of Dagster's database keep what they hold of the accounts. Install a Dagster "
        "within the bounds of ig-pipeline's requirements, or a newer ig-pipeline; it does the rest by itself."
    )


def scrub_dagster(instance: dg.DagsterInstance, *, rewrite: bool) -> None:
    """Vacuum Dagster's databases, where they are known. Raises `ScrubbingWaitsError`."""
    if versions.is_tested():
        tables.scrub(instance, rewrite=rewrite)


def _tagged(instance: dg.DagsterInstance, names: Names) -> set[str]:
    """Ids of the runs whose tags name the accounts, by the index over tags."""
    found: set[str] = set()
    for key in names.keys:
        filters: list[Mapping[str, str | Sequence[str]]] = [{tag: key} for tag in _KEY_TAGS]
        for tag, values in instance.get_run_tags(tag_keys=list(_CELL_TAGS), value_prefix=f"{key}|"):
            filters.append({tag: sorted(filter(names.is_cell, values))})
        for tags in filters:
            found |= {run.run_id for run in runs_matching(instance, dg.RunsFilter(tags=tags))}
    return found


def _by_id(instance: dg.DagsterInstance, run_ids: Collection[str]) -> Iterator[dg.DagsterRun]:
    """Those of the runs that are there."""
    ordered = sorted(run_ids)
    for start in range(0, len(ordered), _CHUNK):
        chunk = ordered[start : start + _CHUNK]
        yield from list(runs_matching(instance, dg.RunsFilter(run_ids=chunk)))


def _is_partitioned(run: dg.DagsterRun) -> bool:
    return any(name in run.tags for name in _CELL_TAGS)


def _touches(run: dg.DagsterRun, ours: Ours) -> bool:
    checks = {check.asset_key for check in run.asset_check_selection or ()}
    return not checks.union(run.asset_selection or ()).isdisjoint([*ours.grid, *ours.beside])


def _accounts_in(run: dg.DagsterRun, order: Sequence[str]) -> set[str]:
    """The accounts that a run's tags name, and those that stand between the ends of its range."""
    ends = [run.tags[tag].rpartition("|")[0] for tag in _CELL_TAGS if tag in run.tags]
    positions = [order.index(key) for key in ends if key in order]
    between = order[min(positions) : max(positions) + 1] if positions else ()
    return {*ends, *between, *(run.tags[tag] for tag in _KEY_TAGS if tag in run.tags)}


def _clean_tags(instance: dg.DagsterInstance, run: dg.DagsterRun, names: Names, stay: Sequence[str]) -> None:
    """Of a run that others share: its range shrinks to those who stay, other tags lose the name."""
    tags = names.in_tags(run.tags)
    for tag, index in ((RANGE_START, 0), (RANGE_END, -1)):
        if tag in tags and stay:
            tags[tag] = f"{stay[index]}|{run.tags[tag].rpartition('|')[2]}"
    if tags:
        instance.add_run_tags(run.run_id, tags)
