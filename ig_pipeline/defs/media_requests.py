"""Requests for media files that carry the command line's flags: how a run reads them, and how it answers.

What the flags do is `sync.media_files`'; which cells turn green or red is the asset's.
"""

import json
from collections.abc import Iterator, Sequence

import dagster as dg

from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.defs.run_requests import OPTIONS_TAG, requests_of
from ig_pipeline.storage import sync_requests
from ig_pipeline.sync.media_files.results import BackfillOptions, BackfillResult
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
    requests = requests_of(context.run)
    for outcome in ended:
        counts = {**outcome.tally.as_dict(), "calls": outcome.calls}
        words = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items() if count)
        sentence = f"{outcome.account_key}: {outcome.status} ({words or 'nothing'}). {outcome.sentence or ''}".strip()
        (context.log.warning if outcome.sentence else context.log.info)(f"[MEDIA] {sentence}")
        with pipeline.writing() as db:
            mine = sync_requests.note_counts(db, requests, outcome.account_key, counts=counts, detail=outcome.sentence)
            for request_id in mine if outcome.sentence and not outcome.continued else ():
                sync_requests.mark_failed(db, request_id, detail=outcome.sentence or "", run_id=context.run.run_id)
        numbers = {name: dg.MetadataValue.int(count) for name, count in counts.items()}
        yield dg.AssetObservation("media_files", description=sentence, metadata=numbers)
    begun = {outcome.account_key for outcome in ended}
    refused = {result.account_key: result.error for result in results if result.account_key not in begun}
    for key, error in refused.items():
        with pipeline.writing() as db:
            for request_id in sync_requests.note_counts(db, requests, key, counts={}, detail=error):
                sync_requests.mark_failed(db, request_id, detail=error or "", run_id=context.run.run_id)
