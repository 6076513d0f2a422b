"""From an HTTP answer to the one error it means: by code, subcode and message, never by status alone.

See docs/graph_api.md#errors-and-what-to-do.

Statuses are unreliable (a rate limit comes as 400, 403 or 429) and codes may be missing, then the message's `(#100)`
tells. Pure; what to do about an error is decided by those who catch it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from ig_pipeline.graph_api.absences import AbsenceReason
from ig_pipeline.graph_api.errors import (
    AppFaultCause,
    AppFaultError,
    BadRequestError,
    BadRequestRule,
    DeadCause,
    GraphError,
    LoginCodeError,
    MalformedAnswerError,
    NoDataError,
    ObjectGoneError,
    Origin,
    PermissionMissingError,
    PolicyBlockedError,
    RateLimitedError,
    TokenDeadError,
    TransientError,
)
from ig_pipeline.graph_api.usage import regain_time

# Without a regain time Meta means "5 to 60 minutes" (docs/graph_api.md#errors-and-what-to-do): a deferred sync costs
# nothing, a longer block does.
DEFAULT_BLOCK = timedelta(minutes=15)

_LONGEST_WAIT = 7 * 24 * 3600

# Retries wait longer than this in sum; a gateway that asks for more than that means it.
_SHORT_WAIT = 60

_RATE_LIMIT_CODES = frozenset({4, 17, 32, 341, 613, *range(80000, 80015)})
_APP_WIDE_CODES = frozenset({4})
_TOKEN_CODES = frozenset({102, 104, 190})
_TRANSIENT_CODES = frozenset({1, 2})
_BEFORE_CONVERSION, _OBJECT_GONE, _TOO_FEW_PEOPLE, _NOT_SHARED = 2108006, 33, 2874010, 2207086
_CODE_USED_SUBCODES = frozenset({36007, 36008, 36009})  # expired, for another redirect, used before

_RECONNECT = "Please connect Instagram again."
_DEAD: dict[int, tuple[DeadCause, str]] = {
    458: ("app_removed", f"Access was removed in the account's settings. {_RECONNECT}"),
    459: ("checkpoint", "Instagram asks for a security check. Log in to Instagram, confirm it, then connect again."),
    460: ("password_changed", f"The password was changed, which ends all access. {_RECONNECT}"),
    463: ("expired", f"Access has expired. {_RECONNECT}"),
    464: ("unconfirmed", "The account is not confirmed. Confirm it in Instagram, then connect again."),
    467: ("invalid", f"Access is no longer valid. {_RECONNECT}"),
    492: (
        "lost_page_role",
        "The role on the Facebook Page was lost; connecting again alone does not help. "
        "Ask for the role on the Page back, then connect again.",
    ),
    # The token itself lives; exchanging it moves nothing (docs/graph_api.md#facebook-login).
    493: (
        "data_access",
        "Meta lets an app read for 90 days after its user last used it, and they are over. "
        "Please connect Instagram again: that counts as using it.",
    ),
}

_CHECK_CREDENTIALS = "Check the app's id and secret."
_DASHBOARD = "Its operator has to act in the app's dashboard, developers.facebook.com/apps; no account is at fault."
# Meta says it with codes 3, 10, 101, 190, 200 and others, HTTP 200 included: the wording alone decides.
_APP_FAULTS: tuple[tuple[AppFaultCause, re.Pattern[str], str], ...] = (
    (
        "switched_off",
        re.compile(r"\bAPI access (?:is |was |has been )?(?:deactivated|blocked|disabled|disrupted|revoked)", re.I),
        _DASHBOARD,
    ),
    (
        "deleted",
        re.compile(r"\bapp(?:lication)? (?:has been|was) deleted", re.I),
        "Set id and secret to those of an app that exists; then every account has to be connected again.",
    ),
    (
        "not_active",
        re.compile(
            r"\bapp(?:lication)? (?:is )?(?:not active|inactive|not currently accessible)"
            r"|\bapp(?:lication)? (?:is|was|has been) (?:disabled|deactivated|suspended)",
            re.I,
        ),
        _DASHBOARD,
    ),
    (
        "development_mode",
        re.compile(r"\b(?:development|sandbox) mode|insufficient developer role|\bapp (?:is )?not live", re.I),
        "Its operator has to switch the app live in its dashboard, or give the account's owner a role on it.",
    ),
    (
        "capability",
        re.compile(r"\bapp(?:lication)? does not have the capability", re.I),
        "Its operator has to ask for the feature in the app's dashboard, under App Review.",
    ),
    (
        "credentials",
        re.compile(r"validating (?:client secret|application)|invalid (?:platform app|app(?:lication)? ?id)", re.I),
        _CHECK_CREDENTIALS,
    ),
    (
        "secret_proof",
        re.compile(r"app ?secret[ _]proof", re.I),
        "Set the secret to that of the Meta app.",
    ),
)

_NO_DATA: Mapping[AbsenceReason, str] = {
    "before_conversion": "Posted before the account became professional: Instagram never has insights for it.",
    "too_few_people": "Fewer than 100 people: Instagram gives no demographics yet.",
    "not_shared_to_facebook": "Not shared to Facebook: Instagram has no views of it there.",
    "too_few_viewers": "Too few viewers: Instagram shows no insights for it.",
    "history_limit": "Instagram keeps an account's insights for the last two years only.",
}

_GONE_WORDING = re.compile(r"Unsupported get request\. Object with ID|Object does not exist, cannot be loaded due to")
_CODE_PREFIX = re.compile(r"^\s*\(#(-?[0-9]{1,9})\)")
_INTEGER = re.compile(r"-?[0-9]{1,18}")
# Meta's longest list the names of all metrics, in some thousand characters; messages stand in logs, cells and rows.
_LONGEST_MESSAGE = 4_000
_TWO_YEARS = re.compile(r"available for the last (?:2|two) years", re.I)
_SCOPE_NAME = re.compile(r"\b((?:instagram|pages|business|ads)_[a-z_]+)\b")
_ALLOWED = re.compile(r"metric\[([0-9]{1,9})\] must be one of the following values: ([a-z_, ]+)")
_BAD_REQUESTS: tuple[tuple[BadRequestRule, re.Pattern[str]], ...] = (
    (
        "metric_type",
        re.compile(r"following metrics? \((?P<names>[^)]*)\) (?:should be specified|is incompatible|are incom)"),
    ),
    ("history_limit", re.compile(r"\((?P<names>[^)]*)\) metric only supports querying data for the last")),
    ("product_type", re.compile(r"does not support the (?P<names>\w+) metric for this media product type")),
    ("breakdown", re.compile(r"Incompatible breakdowns? \([^)]*\) for metrics? \((?P<names>[^)]*)\)", re.I)),
    ("unknown_metric", re.compile(r"the (?P<names>\w+) metric is no longer supported")),
    ("range_too_long", re.compile(r"cannot be more than 30 days")),
    ("unknown_field", re.compile(r"Tried accessing nonexisting field \((?P<names>[^)]*)\)")),
)


@dataclass(frozen=True)
class _Answer:
    """An error envelope with its numbers read, whatever form they came in."""

    message: str
    origin: Origin
    transient: bool
    title: str
    headers: Mapping[str, str]
    now: datetime
    account_id: str

    @property
    def code(self) -> int | None:
        return self.origin.code

    @property
    def subcode(self) -> int | None:
        return self.origin.subcode


def classify(
    status: int, headers: Mapping[str, str], body: object, *, now: datetime, account_id: str = ""
) -> GraphError:
    """The error an answer means; it is returned, not raised.

    `body` is the parsed JSON, or None (or text) when there was none; `headers` are read without regard to case;
    `now` (UTC) is what a regain time in minutes counts from; `account_id`: the account the call
    was about, "" before one is known.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    if not isinstance(body, Mapping):
        return _without_envelope(status, lowered, now, account_id)
    if "error_message" in body:
        return _login_error(status, body)
    envelope = body.get("error")
    if not isinstance(envelope, Mapping):
        return _without_envelope(status, lowered, now, account_id)
    answer = _read(status, lowered, envelope, now, account_id)
    if not answer.message and answer.code is None and answer.subcode is None:
        return _without_envelope(status, lowered, now, account_id)
    for decide in (_rate_limited, _of_the_app, _token_dead, _no_data, _by_subcode, _by_code):
        error = decide(answer)
        if error is not None:
            return error
    return _bad_request(answer)


def _read(
    status: int, headers: Mapping[str, str], envelope: Mapping[str, object], now: datetime, account_id: str
) -> _Answer:
    message = _words(envelope.get("message"))
    title = _words(envelope.get("error_user_title"))
    prefix = _CODE_PREFIX.match(message)
    code = _integer(envelope.get("code"))
    if code is None:
        code = int(prefix[1]) if prefix else _code_by_wording(message)
    return _Answer(
        message=message,
        origin=Origin(
            code=code,
            subcode=_integer(envelope.get("error_subcode")),
            status=status,
            trace=_words(envelope.get("fbtrace_id")) or None,
        ),
        transient=envelope.get("is_transient") is True,
        title=title,
        headers=headers,
        now=now,
        account_id=account_id,
    )


def _code_by_wording(message: str) -> int | None:
    wordings = (
        ("validating access token", 190),
        ("reduce the amount of data", 1),
        ("unknown error", 1),
        ("retry your request later", 2),
        ("request limit reached", 17),
        ("too many calls", 80002),
    )
    return next((code for words, code in wordings if words in message.lower()), None)


def _rate_limited(answer: _Answer) -> GraphError | None:
    if answer.code not in _RATE_LIMIT_CODES and answer.origin.status != 429:
        return None
    return RateLimitedError(
        f"Meta's rate limit is reached: {answer.message} Nothing more is asked until access returns.",
        retry_at=_retry_at(answer.headers, answer.now, answer.account_id, answer.code),
        scope="app" if answer.code in _APP_WIDE_CODES else "account",
        origin=answer.origin,
    )


def _token_dead(answer: _Answer) -> GraphError | None:
    if answer.code not in _TOKEN_CODES:
        return None
    cause, advice = _DEAD.get(answer.subcode or 0, ("invalid", f"Access is no longer valid. {_RECONNECT}"))
    if answer.subcode not in _DEAD:
        if "data access" in answer.message.lower():
            cause, advice = _DEAD[493]
        elif "expired" in answer.message:
            cause, advice = _DEAD[463]
        elif answer.code == 102:
            cause, advice = "session", f"The session has ended. {_RECONNECT}"
    # Without Meta's "Error validating access token: ", which reads like a secret to the redaction.
    reason = answer.message.partition("access token: ")[2] or answer.message
    said = f"The token is refused: {reason.rstrip('.')}."
    return TokenDeadError(said, cause=cause, advice=advice, origin=answer.origin)


def _of_the_app(answer: _Answer) -> GraphError | None:
    return _app_fault(answer.message, answer.origin)


def _app_fault(message: str, origin: Origin) -> AppFaultError | None:
    """A refusal of the app itself, whatever its code: a wrong secret comes with 1, and no second try makes it right."""
    found = next(((cause, advice) for cause, pattern, advice in _APP_FAULTS if pattern.search(message)), None)
    if found is None and origin.code == 101:
        found = "credentials", _CHECK_CREDENTIALS
    if found is None:
        return None
    said = message.strip().rstrip(".")
    return AppFaultError(f"Meta refuses the app itself: {said}. {found[1]}", cause=found[0], origin=origin)


def _no_data(answer: _Answer) -> GraphError | None:
    """Refusals that name a rule by which there is no value."""
    code, subcode, message = answer.code, answer.subcode, answer.message
    before = subcode == _BEFORE_CONVERSION or answer.title.startswith("Media posted before business account")
    rules: tuple[tuple[bool, AbsenceReason], ...] = (
        (before, "before_conversion"),
        (subcode == _TOO_FEW_PEOPLE or message == "Not enough users", "too_few_people"),
        # "Fatal" is all Meta says; the metric is among those the catalogue calls `only_if_shared`.
        (subcode == _NOT_SHARED, "not_shared_to_facebook"),
        (code == 10 and "Not enough viewers" in message, "too_few_viewers"),
        (code == 100 and _TWO_YEARS.search(message) is not None, "history_limit"),
    )
    reason = next((reason for holds, reason in rules if holds), None)
    return None if reason is None else NoDataError(_NO_DATA[reason], reason=reason, origin=answer.origin)


def _by_subcode(answer: _Answer) -> GraphError | None:
    if answer.subcode == _OBJECT_GONE or _GONE_WORDING.search(answer.message):
        return ObjectGoneError(
            f"{answer.message} It was deleted, or this connection may not see it.", origin=answer.origin
        )
    if answer.subcode in _CODE_USED_SUBCODES or "verification code" in answer.message:
        return LoginCodeError(f"{answer.message} Start connecting again from the beginning.", origin=answer.origin)
    return None


def _by_code(answer: _Answer) -> GraphError | None:
    code, message = answer.code, answer.message
    if code in {3, 10} or (code is not None and 200 <= code <= 299):
        return _permission_missing(answer, None)
    if "Unsupported request - method type" in message:
        # graph.instagram.com says so when a token lacks its basic scope (docs/graph_api.md#instagram-login).
        return _permission_missing(answer, "instagram_business_basic")
    if code == 368:
        return PolicyBlockedError(
            f"Meta blocks this for policy reasons: {message} See the app's dashboard.", origin=answer.origin
        )
    if code in _TRANSIENT_CODES or answer.transient or (answer.origin.status or 0) >= 500:
        return TransientError(f"Meta has a temporary problem: {message}", reduce=code == 1, origin=answer.origin)
    return None


def _permission_missing(answer: _Answer, scope: str | None) -> GraphError:
    named = _SCOPE_NAME.search(answer.message)
    scope = named[1] if named else scope
    what = f"the permission {scope}" if scope else "every permission the app asks for"
    return PermissionMissingError(
        f"A permission is missing: {answer.message} Connect again and grant {what}.", scope=scope, origin=answer.origin
    )


def _bad_request(answer: _Answer) -> GraphError:
    sentence = f"Meta refuses the request: {answer.message}"
    listed = _ALLOWED.search(answer.message)
    if listed:
        return BadRequestError(
            sentence,
            rule="unknown_metric",
            position=int(listed[1]),
            allowed=tuple(name.strip() for name in listed[2].split(",") if name.strip()),
            origin=answer.origin,
        )
    for rule, pattern in _BAD_REQUESTS:
        found = pattern.search(answer.message)
        if found:
            names = found.groupdict().get("names") or ""
            culprits = tuple(name.strip() for name in names.split(",") if name.strip())
            return BadRequestError(sentence, rule=rule, culprits=culprits, origin=answer.origin)
    return BadRequestError(sentence, origin=answer.origin)


def _login_error(status: int, body: Mapping[str, object]) -> GraphError:
    """The other envelope, of api.instagram.com: error_type, code, error_message (docs/graph_api.md#instagram-login)."""
    message = _words(body.get("error_message"))
    origin = Origin(code=_integer(body.get("code")), status=status)
    if status >= 500:
        return TransientError(f"Instagram's login has a temporary problem: {message}", origin=origin)
    if fault := _app_fault(message, origin):
        return fault
    if "code" in message.lower():
        return LoginCodeError(f"{message}. Start connecting again from the beginning.", origin=origin)
    return BadRequestError(f"Instagram's login refuses the request: {message}", origin=origin)


def _without_envelope(status: int, headers: Mapping[str, str], now: datetime, account_id: str) -> GraphError:
    """Not the Graph API's own words. Its limits always come with a code: a bare 429 is a gateway's, of the moment."""
    origin = Origin(status=status)
    wait = _seconds(headers.get("retry-after"))
    named = regain_time(headers, now, account_id=account_id)
    if status == 429 and (named is not None or (wait or 0) > _SHORT_WAIT):
        return RateLimitedError(
            "Meta's rate limit is reached. Nothing more is asked until access returns.",
            retry_at=_retry_at(headers, now, account_id, None),
            scope="account",
            origin=origin,
        )
    if status == 429:
        return TransientError("A gateway of Meta asks to slow down (HTTP 429).", origin=origin)
    kind = headers.get("content-type", "no content type")
    return MalformedAnswerError(f"The answer (HTTP {status}, {kind}) is not what the Graph API sends.", origin=origin)


def _retry_at(headers: Mapping[str, str], now: datetime, account_id: str, code: int | None) -> datetime:
    named = regain_time(headers, now, account_id=account_id, code=code)
    if named is not None:
        return named
    seconds = _seconds(headers.get("retry-after"))
    return now + (DEFAULT_BLOCK if seconds is None else timedelta(seconds=seconds))


def _seconds(header: str | None) -> int | None:
    """`Retry-After`, a week at most: a longer time is a number gone wrong."""
    return min(int(header), _LONGEST_WAIT) if header and _INTEGER.fullmatch(header) and int(header) >= 0 else None


def _words(value: object) -> str:
    return str(value)[:_LONGEST_MESSAGE] if value else ""


def _integer(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and _INTEGER.fullmatch(value) else None
