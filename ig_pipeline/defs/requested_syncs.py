"""The sensor that turns rows of `sync_requests` into runs, once each, and notes how they ended.

A row is marked only when a run with its tag exists: a crash anywhere between is mended by the next tick.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256

import dagster as dg
import sqlalchemy as sa

from ig_pipeline.defs.first_backfills import INTERVAL_SECONDS, RUNS_A_TICK
from ig_pipeline.defs.insights import GRID_ASSETS
from ig_pipeline.defs.media_files import MEDIA_FILES
from ig_pipeline.defs.partitions import ACCOUNTS
from ig_pipeline.defs.resources import Pipeline
from ig_pipeline.defs.run_requests import (
    OPTIONS_TAG,
    PERSON_TAG,
    request_tag,
    run_request,
    runs_answering,
    starts_again,
)
from ig_pipeline.graph_api.days import instagram_day
from ig_pipeline.storage import connections, sync_logs, sync_requests
from ig_pipeline.storage.connections import CONNECTED, Connection
from ig_pipeline.storage.sync_requests import BY_A_PERSON, SyncRequest
from ig_pipeline.sync.ledger import RETRY
from ig_pipeline.sync.plan import DayRequest, plan_requests

ASSETS_OF: dict[str, list[dg.AssetKey]] = {"insights": GRID_ASSETS, "media_files": [MEDIA_FILES]}
"""Kind of request → the assets it fills."""


@dg.sensor(
    asset_selection=[key for keys in ASSETS_OF.values() for key in keys],
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Rows of `sync_requests` become runs, once each: what the web service, Telegram or a reconnect asked for, and "
        "what a rate limit deferred or an outage spoilt, when its time has come."
    ),
)
def requested_syncs(
    context: dg.SensorEvaluationContext, pipeline: dg.ResourceParam[Pipeline]
) -> dg.SensorResult | dg.SkipReason:
    """Settle rows whose run has ended, mark those whose run exists, ask for the rest."""
    with pipeline.reading() as db:
        under_way = sync_requests.launched(db)
        due = sync_requests.due(db, now=pipeline.clock())
        connected = {item.account_key: item for item in connections.list_connections(db, statuses=[CONNECTED])}
        healed = {request.id for request in due if _is_healed(db, request, connected)}
    settle(context.instance, pipeline, under_way)
    known = context.instance.get_dynamic_partitions(str(ACCOUNTS.name))
    launched = runs_answering(context.instance, [request.id for request in due])
    left = [request for request in due if request.id not in launched]
    refused = {request.id: reason for request in left if (reason := _refusal(request, connected))}
    if launched or refused or healed:
        with pipeline.writing() as db:
            for request_id, run in launched.items():
                sync_requests.mark_launched(db, request_id, run_id=run.run_id, now=pipeline.clock())
            for request_id, reason in refused.items():
                sync_requests.mark_failed(db, request_id, detail=reason)
            for request_id in healed - launched.keys():
                sync_requests.mark_done(db, request_id, detail="Another run has filled these days meanwhile.")
    settled = refused.keys() | healed
    # An account that is not in the grid yet is added within seconds by the sensor of new connections.
    new = [request for request in left if request.id not in settled and request.account_key in known]
    runs = ask_for(context.instance, pipeline, new, known)
    if not runs:
        return dg.SkipReason(f"Nothing new is due; {len(under_way)} requests are under way.")
    return dg.SensorResult(run_requests=runs[:RUNS_A_TICK])


def settle(instance: dg.DagsterInstance, pipeline: Pipeline, requests: Sequence[SyncRequest]) -> None:
    """Note the end of the runs that have ended. A run deleted in the UI ends its requests too."""
    runs = runs_answering(instance, [request.id for request in requests])
    for request in requests:
        run = runs.get(request.id)
        if run is not None and not run.is_finished:
            continue
        with pipeline.writing() as db:
            if run is None:
                sync_requests.mark_failed(db, request.id, detail="Its run was deleted in Dagster. Ask again.")
            elif run.status == dg.DagsterRunStatus.SUCCESS:
                sync_requests.mark_done(db, request.id, run_id=run.run_id)
            elif not starts_again(run):
                detail = f"Run {run.run_id} ended as {run.status.value}; its page in Dagster names the reasons."
                sync_requests.mark_failed(db, request.id, detail=detail)


def ask_for(
    instance: dg.DagsterInstance, pipeline: Pipeline, requests: Sequence[SyncRequest], known: Sequence[str]
) -> list[dg.RunRequest]:
    """Run requests for `requests`; those that can never run are marked failed with the reason."""
    settings, runs = pipeline.settings, []
    groups: dict[tuple[tuple[dg.AssetKey, ...], str, bool], list[SyncRequest]] = {}
    for request in requests:
        others = {name: value for name, value in request.options.items() if name != "assets"}
        options = json.dumps(others, sort_keys=True) if others else ""
        by_a_person = request.requested_by in BY_A_PERSON
        groups.setdefault((_assets_of(request), options, by_a_person), []).append(request)
    for (assets, options, by_a_person), group in groups.items():
        shared = {**({OPTIONS_TAG: options} if options else {}), **({PERSON_TAG: "1"} if by_a_person else {})}
        plan = plan_requests(
            [DayRequest(request.id, request.account_key, request.first, request.last) for request in group],
            ordered_keys=known,
            today=instagram_day(pipeline.clock()),
            first_day=settings.first_day,
            per_run=settings.accounts_per_run,
        )
        for request_id, reason in plan.refused.items():
            with pipeline.writing() as db:
                sync_requests.mark_failed(db, request_id, detail=reason)
        for planned in plan.rectangles:
            tags = {request_tag(request_id): "1" for request_id in planned.request_ids}
            # A hash: a thousand ids would not fit the index PostgreSQL keeps of a run's tags.
            ids = "-".join(map(str, planned.request_ids))
            run_key = f"requests/{planned.request_ids[0]}-{sha256(ids.encode()).hexdigest()[:16]}"
            runs.append(
                run_request(
                    planned.rectangle,
                    assets=assets,
                    run_key=run_key,
                    tags={**tags, **shared},
                )
            )
    return runs


def _is_healed(db: sa.Connection, request: SyncRequest, connected: Mapping[str, Connection]) -> bool:
    """Whether the days of another attempt are whole already: another run was faster."""
    connection = connected.get(request.account_key)
    if request.requested_by != RETRY or connection is None:
        return False
    assets, first, last = request.options["assets"], request.first, request.last
    return not sync_logs.lacks(db, connection, assets=assets, first=first, last=last)


def _refusal(request: SyncRequest, connected: Collection[str]) -> str | None:
    """Why this request can never become a run; None when it can."""
    if request.kind not in ASSETS_OF:
        return f"No asset fills requests of the kind {request.kind}."
    if request.account_key not in connected:
        return f"{request.account_key} is not connected. Connect it again, then ask again."
    return None


def _assets_of(request: SyncRequest) -> tuple[dg.AssetKey, ...]:
    """The assets of the request's kind; of these only the ones its option `assets` names, when it has one."""
    named = request.options.get("assets")
    keys = ASSETS_OF[request.kind]
    return tuple(key for key in keys if named is None or key.to_user_string() in named) or tuple(keys)
