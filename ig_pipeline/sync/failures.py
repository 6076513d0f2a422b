"""What an error means for the cells of the grid: failed with a sentence, or deferred. The one mapping of this layer.

Which HTTP answer is which error is `graph_api.classify`'s; what Dagster makes of a failed cell is `defs`'s.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime

from ig_pipeline.graph_api.errors import (
    Actor,
    AppFaultError,
    GraphError,
    PermissionMissingError,
    PolicyBlockedError,
    RateLimitedError,
    TokenDeadError,
)
from ig_pipeline.media_store.errors import BackfillError
from ig_pipeline.meta import sentence_of
from ig_pipeline.redaction import redact
from ig_pipeline.storage.connections import Connection
from ig_pipeline.sync.results import AccountDayResult, CellStatus

STOPPING = (RateLimitedError, AppFaultError, TokenDeadError, PolicyBlockedError)
"""After one of these nothing more is asked for the account: it cannot succeed, or makes a block longer.

See docs/graph_api.md#rate-limits-and-usage-headers.
"""


class NotConnectedError(Exception):
    """The account's connection cannot be used; the message says what its owner must do."""

    actor: Actor = "owner"


@dataclass(frozen=True)
class Verdict:
    """What becomes of a cell that met an error: fields of its result."""

    status: CellStatus
    error: str
    error_type: str
    retry_at: datetime | None = None
    is_retryable: bool = False
    actor: Actor = "operator"


def is_retryable(error: Exception) -> bool:
    """Whether the failure was of the moment: asking again may help."""
    return isinstance(error, GraphError | BackfillError) and error.is_retryable


def judge(error: Exception, account_key: str) -> Verdict:
    """The verdict for a cell of `account_key`; its sentence names the account and what to do, and no secret.

    A fault of the app names no account: it is the same sentence for every cell, and for its operator.
    """
    return replace(_judged(error, account_key), is_retryable=is_retryable(error), actor=actor_of(error))


def actor_of(error: Exception) -> Actor:
    """Who must act: as the error says, and the operator for what is no error of Meta's."""
    return error.actor if isinstance(error, GraphError | NotConnectedError) else "operator"


def _judged(error: Exception, account_key: str) -> Verdict:
    kind = type(error).__name__
    match error:
        case RateLimitedError():
            at = f"{error.retry_at:%Y-%m-%d %H:%M} UTC"
            sentence = f"Instagram's rate limit for {account_key} is reached; the rest is due at {at}."
            return Verdict("deferred", sentence, kind, error.retry_at)
        case AppFaultError() | NotConnectedError():
            return Verdict("failed", sentence_of(error), kind)
        case TokenDeadError():
            return Verdict("failed", f"Access to {account_key} has ended. {error.advice}", kind)
        case PermissionMissingError():
            scope = error.scope or "a permission it needs"
            return Verdict(
                "failed", f"{account_key} has not granted {scope}. Connect the account again and grant it.", kind
            )
        case GraphError():
            return Verdict("failed", f"{account_key}: {sentence_of(error)}", kind)
        case _:
            return Verdict("failed", redact(f"{account_key}: {error}"), kind)


def lost_cells(
    error: Exception,
    *,
    asset: str,
    account_key: str,
    connection: Connection | None,
    days: Iterable[date],
) -> list[AccountDayResult]:
    """`days` of one asset as failed or deferred results; `connection` is None for an account nobody knows."""
    verdict = judge(error, account_key)
    return [
        AccountDayResult(
            asset,
            account_key,
            day,
            account_id=connection.account_id if connection else None,
            u_id=connection.u_id if connection else None,
            **asdict(verdict),
        )
        for day in days
    ]


def echo(lost: Sequence[AccountDayResult], *, asset: str) -> AccountDayResult:
    """`asset`'s result for a day whose upstream cells were `lost`: failed if one of them failed, else deferred."""
    cause = next((result for result in lost if result.status == "failed"), lost[0])
    return replace(cause, asset=asset, rows=0, calls=0, values={}, absences={}, lacking=())


def innermost(error: Exception) -> Exception:
    """The first error inside the groups that concurrent tasks raise."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
