"""Requests for media files that carry the command line's flags: how a run reads them, and how it answers.

What the flags do is `sync.media_files`'; which cells turn green or red is the asset's.
"""

import json
from collections.abc import Iterator, Mapping, Sequence

import dagster as dg

from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.defs.run_requests import BATCH_TAG, OPTIONS_TAG
from ig_pipeline.sync.media_files.results import BackfillOptions, BackfillResult
from ig_pipeline.sync.requests import ending
from ig_pipeline.sync.results import AccountDayResult


def options_of(run: dg.DagsterRun) -> BackfillOptions | None:
    """The flags in the run's tag; None without one. Raises `Failure` for flags that cannot be used."""
    text = run.tags.get(OPTIONS_TAG)
    if text is None:
        return None
    try:
        return BackfillOptions.from_flags(json.loads(text))
    except ValueError as error:
        raise dg.Failure(
            f"The tag {OPTIONS_TAG} cannot be used: {error}. Nothing was fetched.", allow_retries=False
        ) from None


def tell_requests(
    context: dg.AssetExecutionContext,
    pipeline: Pipeline,
    ended: Sequence[BackfillResult],
    results: Sequence[AccountDayResult],
) -> Iterator[dg.AssetObservation]:
    """Tell the rows the run answers how each account's backfill `ended`; the log and an observation say the same.

    A backfill that did not bring everything fails its request, except where a rate limit put off the rest: that has a
    request of its own. `results` tell why a backfill did not even begin.
    """
    batch = context.run.tags.get(BATCH_TAG)

    def tell(key: str, *, counts: Mapping[str, int], detail: str | None, has_failed: bool) -> None:
        if batch is None:
            return
        with pipeline.writing() as db:
            ending.tell(
                db,
                batch,
                key,
                counts=counts,
                detail=detail,
                run_id=context.run.run_id,
                has_failed=has_failed,
                now=pipeline.clock(),
            )

    for outcome in ended:
        counts = {**outcome.tally.as_dict(), "calls": outcome.calls}
        words = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items() if count)
        sentence = f"{outcome.account_key}: {outcome.status} ({words or 'nothing'}). {outcome.sentence or ''}".strip()
        (context.log.warning if outcome.sentence else context.log.info)(f"[MEDIA] {sentence}")
        has_failed = bool(outcome.sentence) and not outcome.continued
        tell(outcome.account_key, counts=counts, detail=outcome.sentence, has_failed=has_failed)
        numbers = {name: dg.MetadataValue.int(count) for name, count in counts.items()}
        yield dg.AssetObservation("media_files", description=sentence, metadata=numbers)
    begun = {outcome.account_key for outcome in ended}
    refused = {result.account_key: result.error for result in results if result.account_key not in begun}
    for key, error in refused.items():
        tell(key, counts={}, detail=error, has_failed=True)
