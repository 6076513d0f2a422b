"""Errors of the domain as Dagster's: which fail a run and with what sentence. The only place that makes a `Failure`.

Cells that a rate limit deferred fail nothing: they stay missing until their row of `sync_requests` completes them. Only
when another account of the same run failed are they red until then, because Dagster colours what a failed run left.

Retrying is not decided here: the engine has retried what may pass and asked for another run later (`sync.requests`);
Dagster retries runs only when their process died (dagster.yaml). `Failure(allow_retries=False)` alone would not hold
back a run-level retry (docs/dagster.md#retries).
"""

from collections.abc import Iterable, Sequence

import dagster as dg

from ig_pipeline.defs.markdown import literal
from ig_pipeline.graph_api.errors import AppFaultError
from ig_pipeline.sync.results import AccountDayResult


class GridMismatchError(dg.Failure):
    """The run's range and the cells handed to its step differ; nothing was fetched."""

    def __init__(self, *, first: str, last: str, asked: int, given: int) -> None:
        super().__init__(
            f"This run was asked for {asked} cells ({first} to {last}) but Dagster handed over {given}. Nothing was "
            "fetched. Launch the backfill from the asset's own page, not from a job.",
            allow_retries=False,
        )


def failure_of(results: Sequence[AccountDayResult]) -> dg.Failure | None:
    """One failure that names what failed and why; None when nothing did. Deferred cells alone are no failure."""
    failed = [result for result in results if result.status == "failed"]
    if not failed:
        return None
    deferred = [result for result in results if result.status == "deferred"]
    metadata = {"failed": dg.MetadataValue.md(_table(failed))}
    if deferred:
        metadata["deferred, continued by itself"] = dg.MetadataValue.md(_table(deferred))
    return dg.Failure(
        f"{len(failed)} of {len(results)} cells failed. {_why(failed)}", metadata=metadata, allow_retries=False
    )


def _why(failed: Sequence[AccountDayResult]) -> str:
    """A fault of the app once, for the operator; else the first account's reason and who else failed."""
    fault = next((result for result in failed if _is_of_the_app(result)), None)
    others = [result for result in failed if not _is_of_the_app(result)]
    accounts = list(dict.fromkeys(result.account_key for result in others))
    said = [str(fault.error)] if fault else []
    if others:
        said.append(f"{accounts[0]}: {others[0].error or 'No reason given.'}")
    if len(accounts) > 1:
        said.append(f"And {len(accounts) - 1} more accounts: {', '.join(accounts[1:])}.")
    return " ".join(said)


def _is_of_the_app(result: AccountDayResult) -> bool:
    return result.error_type == AppFaultError.__name__


def _table(results: Iterable[AccountDayResult]) -> str:
    """One line per account and reason, one for all accounts where the app is at fault: which days, which assets."""
    groups: dict[tuple[str, str], list[AccountDayResult]] = {}
    for result in results:
        whose = "" if _is_of_the_app(result) else result.account_key
        groups.setdefault((whose, result.error or ""), []).append(result)
    lines = ["| account | days | assets | why |", "|---|---|---|---|"]
    for (whose, error), cells in groups.items():
        days = sorted({cell.date for cell in cells})
        span = str(days[0]) if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)})"
        assets = ", ".join(sorted({cell.asset for cell in cells}))
        accounts = whose or ", ".join(sorted({cell.account_key for cell in cells}))
        lines.append(f"| {accounts} | {span} | {assets} | {literal(error)} |")
    return "\n".join(lines)
