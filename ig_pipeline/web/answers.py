"""What is stored → what is answered. Pure."""

from urllib.parse import urlencode

from pydantic import BaseModel
from starlette.responses import Response

from ig_pipeline.settings import Settings
from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.day_rows import DayRow
from ig_pipeline.storage.deletion_requests import DeletionRequest
from ig_pipeline.storage.overview import Standing
from ig_pipeline.storage.sync_requests import SyncRequest
from ig_pipeline.sync.judgement import ConnectionJudgement, State
from ig_pipeline.web.shapes import (
    BackfillProgress,
    ConnectionState,
    Day,
    DeletionState,
    SyncRequestState,
    is_known_status,
)

CONNECT_PATH = "/connect"


# What the operator has to do is not the owner's business, and Meta's words about the app are not either.
_NOTES: dict[State, str] = {
    "operator": "Interrupted: the operator of this service has to act. There is nothing for you to do.",
    "waiting": "Some days are not complete yet. They are fetched by themselves.",
}


def action_of(judgement: ConnectionJudgement) -> str | None:
    """What the owner of a connection has to do, in a sentence; None when nothing."""
    if judgement.state == "disconnected":
        return "Connect the account again to carry on with its history."
    return judgement.for_owner


def note_of(judgement: ConnectionJudgement) -> str | None:
    """What the owner should know though there is nothing for them to do; None when all is well."""
    return _NOTES.get(judgement.state)


def reconnect_url(connection: Connection, settings: Settings) -> str:
    """The page on which the owner connects again: it names the address, and stays good."""
    return f"{settings.effective_public_url}{CONNECT_PATH}?{urlencode({'email': connection.email})}"


def connection_state(standing: Standing, judgement: ConnectionJudgement, settings: Settings) -> ConnectionState:
    """One connection as the status endpoint shows it."""
    connection, backfill = standing.connection, standing.backfill
    end, action = connection.token_end, action_of(judgement)
    return ConnectionState(
        provider=connection.provider,
        username=connection.username,
        account=connection.account_key,
        expires_at=end.at if end else None,
        expiry=end.expiry if end else None,
        data_access_expires_at=connection.data_access_expires_at,
        connected_at=connection.connected_at,
        status=is_known_status(connection),
        state=judgement.state,
        note=note_of(judgement),
        action=action,
        reconnect_url=reconnect_url(connection, settings) if action else None,
        last_synced_day=standing.last_day,
        backfill=BackfillProgress(
            state=backfill.state,
            days_done=backfill.done,
            days_total=backfill.total,
            days_failed=backfill.failed,
            next_try_at=backfill.next_try_at,
        ),
    )


def day_of(row: DayRow) -> Day:
    """One row of a timeline."""
    return Day(date=row.date, reach=row.reach, engagement=row.engagement)


def deletion_state(deletion: DeletionRequest, settings: Settings) -> DeletionState:
    """A deletion, by its code alone."""
    return DeletionState(
        confirmation_code=deletion.code,
        status="done" if deletion.completed_at else "requested",
        requested_at=deletion.requested_at,
        completed_at=deletion.completed_at,
        url=deletion_url(deletion, settings),
    )


def deletion_url(deletion: DeletionRequest, settings: Settings) -> str:
    """The page a person can read."""
    return f"{settings.effective_public_url}/deletions/{deletion.code}"


def request_state(request: SyncRequest, settings: Settings) -> SyncRequestState:
    """A request for work."""
    statuses = {"queued": "queued", "launched": "launched", "done": "done", "failed": "failed"}
    return SyncRequestState.model_validate(
        {
            "id": request.id,
            "kind": request.kind,
            "account": request.account_key,
            "first": request.first,
            "last": request.last,
            "options": dict(request.options),
            "counts": request.counts,
            "status": statuses[request.status],
            "detail": request.detail,
            "run_id": request.run_id,
            "url": f"{settings.effective_public_url}/v1/sync/requests/{request.id}",
        }
    )


def as_json(answer: BaseModel) -> Response:
    """The answer as it is: the framework would check and copy what the types have checked already, at 3 ms a month."""
    return Response(answer.model_dump_json(), media_type="application/json")
