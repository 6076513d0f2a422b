"""What Dagster's UI shows for one cell: its values, what it cost and what the API could not give.

Numbers are metadata of their own so that the UI plots them over the days. No secrets ever reach a result
(docs/architecture.md#secrets).
"""

from collections.abc import Mapping
from typing import TypeAlias

import dagster as dg

from ig_pipeline.defs.markdown import literal
from ig_pipeline.defs.partitions import ACCOUNT, DATE, cell_key
from ig_pipeline.sync.results import AccountDayResult

Metadata: TypeAlias = Mapping[str, dg.MetadataValue]
CellEvent: TypeAlias = dg.AssetMaterialization | dg.AssetObservation


def event_of(result: AccountDayResult) -> CellEvent:
    """A materialization for a complete cell, which turns it green.

    For others an observation with the reason: the page of a cell shows observations, not the run's failure.
    """
    partition, shown = str(cell_key(result.account_key, result.date)), _metadata(result)
    if not result.is_complete:
        return dg.AssetObservation(result.asset, description=_sentence(result), partition=partition, metadata=shown)
    # Dagster adds these by itself only to outputs; without them the UI cannot filter by dimension.
    tags = {f"dagster/partition/{ACCOUNT}": result.account_key, f"dagster/partition/{DATE}": result.date.isoformat()}
    return dg.AssetMaterialization(
        result.asset, description=_sentence(result), partition=partition, metadata=shown, tags=tags
    )


def _sentence(result: AccountDayResult) -> str:
    if result.error:
        return f"{result.status.capitalize()}: {result.error}"
    values = ", ".join(f"{name} {value:,}" for name, value in list(result.values.items())[:3] if value is not None)
    told = f"{result.rows} rows{f' ({values})' if values else ''}"
    if result.lacking:
        again = f"; asked for again at {result.retry_at:%Y-%m-%d %H:%M} UTC" if result.retry_at else ""
        return f"Partial: {told}; Instagram left out {', '.join(result.lacking)} without a reason{again}"
    return f"{told}; not available: {', '.join(result.absences)}" if result.absences else told


def _metadata(result: AccountDayResult) -> Metadata:
    # The UI keeps this order: what the day brought before what it cost.
    numbers: dict[str, dg.MetadataValue] = {
        name: dg.MetadataValue.int(value) if isinstance(value, int) else dg.MetadataValue.float(value)
        for name, value in {**result.values, "rows": result.rows, "calls": result.calls}.items()
        if value is not None
    }
    texts = {
        "status": result.status,
        "error": result.error,
        "error type": result.error_type,
        "continued at": result.retry_at.isoformat(timespec="minutes") if result.retry_at else None,
    }
    shown: dict[str, dg.MetadataValue] = {name: dg.MetadataValue.text(text) for name, text in texts.items() if text}
    if result.absences:
        lines = "\n".join(
            f"- **{literal(metric)}**: {literal(reason)}" for metric, reason in sorted(result.absences.items())
        )
        shown["not available"] = dg.MetadataValue.md(lines)
    return {**shown, **numbers}
