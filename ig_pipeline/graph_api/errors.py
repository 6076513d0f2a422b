"""What can go wrong between us and Meta, as types: raised here once, mapped once (docs/architecture.md#errors).

                                     actor
    GraphError                       operator
    ├── TransientError               no one    try again
    │   ├── UnreachableError         no one    no answer: DNS, connection, timeout
    │   ├── MalformedAnswerError     no one    not what was promised: HTML, half a body, nothing
    │   └── AmbiguousRefusalError    no one    a refusal, without a rule, of something that is known to exist
    ├── RateLimitedError             no one    stop; not before `retry_at`
    ├── AppFaultError                operator  the app itself: switched off, deleted, wrong secret
    ├── TokenDeadError               owner     has to connect again
    ├── PermissionMissingError       owner     has to grant a scope
    ├── ObjectGoneError              owner     deleted, or not to be seen any more
    ├── NoDataError                  no one    the API has no value here by rule
    ├── BadRequestError              operator  our own mistake, or a metric this account cannot give
    │   └── LoginCodeError           owner     a login code that was used before, is too old or forged
    └── PolicyBlockedError           operator  Meta blocks the app or the account


`actor` is who must act before the same call can succeed: the app's operator, the account's owner, or no one (wait).
`retry` (see `retrying`) is whether another try can help: now for `TransientError`, later for `AppFaultError`.
Which answer is which error is decided in `classify.py`; what to do about it, elsewhere.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal

from ig_pipeline.graph_api.absences import AbsenceReason
from ig_pipeline.redaction import redact
from ig_pipeline.retrying import Retryable

Actor = Literal["operator", "owner", "no_one"]
RateLimitScope = Literal["account", "app"]
AppFaultCause = Literal[
    "switched_off", "deleted", "not_active", "development_mode", "capability", "credentials", "secret_proof"
]
Parameter = Literal["app_id", "app_secret", "graph_url"]
DeadCause = Literal[
    "expired",
    "invalid",
    "app_removed",
    "password_changed",
    "checkpoint",
    "unconfirmed",
    "lost_page_role",
    "data_access",
    "session",
]
BadRequestRule = Literal[
    "unknown_metric",
    "metric_type",
    "history_limit",
    "range_too_long",
    "product_type",
    "breakdown",
    "unknown_field",
    "other",
]


@dataclass(frozen=True)
class Origin:
    """The numbers Meta sent with an error; None where it sent none. `trace` is what its support asks for."""

    code: int | None = None
    subcode: int | None = None
    status: int | None = None
    trace: str | None = None


NOWHERE = Origin()


class GraphError(Retryable, Exception):
    """Base of all. The message is a sentence without secrets that says what to do; `origin` holds Meta's numbers."""

    actor: ClassVar[Actor] = "operator"
    about: tuple[Parameter, ...] = ()
    """What of the client's or the app's parameters has to be looked at; whoever sets them knows their names."""

    def __init__(self, message: str, *, origin: Origin = NOWHERE) -> None:
        super().__init__(redact(message))
        self.origin = origin


class TransientError(GraphError):
    """May succeed when tried again. `reduce`: Meta may mean "ask for less" (code 1)."""

    retry = "now"
    actor = "no_one"

    def __init__(self, message: str, *, reduce: bool = False, origin: Origin = NOWHERE) -> None:
        super().__init__(message, origin=origin)
        self.reduce = reduce


class UnreachableError(TransientError):
    """No answer at all: name, connection or time-out. Check the network and the Graph API's address."""

    about = ("graph_url",)


class MalformedAnswerError(TransientError):
    """An answer without the promised content: HTML, a cut body, an empty 200, a shape nobody documented."""


class AmbiguousRefusalError(TransientError):
    """Meta refuses something that is known to exist, or everything, and names no rule.

    Now and then that is a rate limit in disguise (100/33 on a connected account): it is believed only after it was
    repeated over hours.
    """


class RateLimitedError(GraphError):
    """The budget is spent. Calling on lengthens the block: wait until `retry_at` (UTC).

    `scope` tells whether one account or the whole app has to stop.
    """

    actor = "no_one"

    def __init__(
        self,
        message: str,
        *,
        retry_at: datetime,
        scope: RateLimitScope,
        origin: Origin = NOWHERE,
    ) -> None:
        super().__init__(message, origin=origin)
        self.retry_at = retry_at
        self.scope: RateLimitScope = scope


class AppFaultError(GraphError):
    """Meta refuses the app itself: no account is at fault, and no owner can help. The text has Meta's own words.

    `whole_app`: whether it holds for every account of the login, so that asking for another one is pointless. An app
    in development mode still reads the accounts of those who have a role on it; a wrong id or secret of the app ends
    no token. Not tried again in the call, but later: its operator may have acted.
    """

    retry = "later"

    def __init__(self, message: str, *, cause: AppFaultCause, origin: Origin = NOWHERE) -> None:
        super().__init__(message, origin=origin)
        self.cause: AppFaultCause = cause
        if cause in {"deleted", "credentials"}:
            self.about = ("app_id", "app_secret")
        elif cause == "secret_proof":
            self.about = ("app_secret",)

    @property
    def whole_app(self) -> bool:
        """Whether every account of the login is refused for the same reason."""
        return self.cause not in {"development_mode", "capability", "credentials"}


class TokenDeadError(GraphError):
    """The token works no more. `cause` for programs; `advice`: the sentence to show the account's owner.

    Its text is `message` and the advice.
    """

    actor = "owner"

    def __init__(
        self,
        message: str,
        *,
        cause: DeadCause,
        advice: str,
        origin: Origin = NOWHERE,
    ) -> None:
        super().__init__(f"{message} {advice}", origin=origin)
        self.cause: DeadCause = cause
        self.advice = advice


class PermissionMissingError(GraphError):
    """The token lacks a permission. `scope`: its name, None when Meta does not say."""

    actor = "owner"

    def __init__(
        self,
        message: str,
        *,
        scope: str | None,
        origin: Origin = NOWHERE,
    ) -> None:
        super().__init__(message, origin=origin)
        self.scope = scope


class ObjectGoneError(GraphError):
    """The object does not exist any more, or this token may not see it (100/33)."""

    actor = "owner"


class NoDataError(GraphError):
    """The API has no value here by rule, and never an error of ours: record `reason` and go on."""

    actor = "no_one"

    def __init__(
        self,
        message: str,
        *,
        reason: AbsenceReason,
        origin: Origin = NOWHERE,
    ) -> None:
        super().__init__(message, origin=origin)
        self.reason: AbsenceReason = reason


class BadRequestError(GraphError):
    """The request cannot succeed as it is. `culprits`: the metrics the message names; `allowed`: what it would accept.

    `position` is the index Meta names in `metric[n]`, None when it names none.
    """

    def __init__(
        self,
        message: str,
        *,
        culprits: tuple[str, ...] = (),
        rule: BadRequestRule = "other",
        allowed: tuple[str, ...] = (),
        position: int | None = None,
        origin: Origin = NOWHERE,
    ) -> None:
        super().__init__(message, origin=origin)
        self.culprits = culprits
        self.rule: BadRequestRule = rule
        self.allowed = allowed
        self.position = position

    def culprits_among(self, asked: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the metrics `asked` that the refusal is about; empty when the message does not tell.

        `metric[n] must be one of` names one position, but its list condemns every other name it lacks as well.
        """
        named = tuple(name for name in asked if name in self.culprits)
        if named:
            return named
        if self.allowed:
            unknown = tuple(name for name in asked if name not in self.allowed)
            if unknown:
                return unknown
        if self.position is not None and self.position < len(asked):
            return (asked[self.position],)
        return ()


class LoginCodeError(BadRequestError):
    """The code of a login was used before, has expired or belongs to another redirect: start connecting again."""

    actor = "owner"


class PolicyBlockedError(GraphError):
    """Meta blocks this action for policy reasons (368): stop, and look at the app's dashboard."""
