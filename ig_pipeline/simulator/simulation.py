"""One running Instagram: a world, a clock and all that changes (tokens, limits, counts), answering call by call.

Free of HTTP: `server` brings the bytes, `control` the levers for tests.
"""

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ig_pipeline.simulator import refusals
from ig_pipeline.simulator.accounts import Account
from ig_pipeline.simulator.cdn import Cdn
from ig_pipeline.simulator.consent import DIALOGS, Codes, Dialogs
from ig_pipeline.simulator.draws import opaque
from ig_pipeline.simulator.faults import FaultPlan, Faults, instead, spoiled
from ig_pipeline.simulator.graph import Graph, find
from ig_pipeline.simulator.limits import APP, NO_ACCOUNT, CallCounts, Limits
from ig_pipeline.simulator.logins import Logins
from ig_pipeline.simulator.oddities import Oddities
from ig_pipeline.simulator.refusals import CodeRefusalError, Envelope, RefusalError
from ig_pipeline.simulator.requests import Answer, Call, Caller, Json, is_version, names_in, split_version
from ig_pipeline.simulator.tokens import Login, TokenBook
from ig_pipeline.simulator.world import World

Clock = Callable[[], datetime]
"""Returns the current instant, zone-aware, in UTC."""


def utc_now() -> datetime:
    """The system's clock, zone-aware, in UTC."""
    return datetime.now(UTC)


class OffsetClock:
    """`base` plus an offset that can be changed while running."""

    def __init__(self, base: Clock) -> None:
        self._base = base
        self.offset = timedelta()

    def __call__(self) -> datetime:
        """The simulated instant, UTC."""
        return self._base() + self.offset

    def set(self, instant: datetime) -> None:
        """Make it `instant` now (zone-aware); it runs on from there."""
        self.offset = instant - self._base()


# ---- batches -------------------------------------------------------------------------------------------------------

_MOST_CALLS = 50


def _run_batch(call: Call, answer: Callable[[Call], Answer]) -> list[dict[str, Any] | None]:
    """Each part's `{"code", "headers", "body"}`, in order; None for one that timed out. Raises RefusalError."""
    try:
        parts = json.loads(call.params["batch"])
    except ValueError:
        parts = None
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise RefusalError("Invalid parameter: batch must be a JSON array", code=100)
    if len(parts) > _MOST_CALLS:
        raise RefusalError(f"Too many requests in batch message. Maximum batch size is {_MOST_CALLS}", code=100)
    with_headers = call.params.get("include_headers", "true").lower() not in {"false", "0"}
    return [_part_answer(answer(_part(call, part)), with_headers=with_headers) for part in parts]


def _part(call: Call, part: Mapping[str, Any]) -> Call:
    url = urlsplit(str(part.get("relative_url", "")))
    if not part.get("relative_url") and "method" not in part:
        raise refusals.parameter_missing("relative_url")
    _, path = split_version(url.path.strip("/"))
    params = {**dict(parse_qsl(url.query)), **dict(parse_qsl(str(part.get("body", ""))))}
    token = params.pop("access_token", None) or call.token
    return replace(call, method=str(part.get("method", "GET")).upper(), path=path, params=params, token=token)


def _part_answer(answer: Answer, *, with_headers: bool) -> dict[str, Any] | None:
    if answer.delivery != "whole":
        return None
    shown: dict[str, Any] = {"code": answer.status, "body": answer.encoded().decode()}
    if with_headers:
        headers = {**answer.headers, "Content-Type": answer.content_type}
        shown["headers"] = [{"name": name, "value": value} for name, value in headers.items()]
    return shown


# ---- the simulation ------------------------------------------------------------------------------------------------

# Large enough that one backfill is a percent of it, small enough that the headers move; no real number is known.
CALLS_A_DAY = 20_000


@dataclass(frozen=True)
class _About:
    """What is known of a call before it is answered.

    `counted`: the usernames it is counted to, one entry per call (a multi-read is several). `caller` None: `refusal`
    says why, or it is a token endpoint.
    """

    endpoint: str
    account: Account | None
    username: str
    counted: tuple[str, ...]
    envelope: Envelope
    caller: Caller | None = None
    refusal: RefusalError | None = None
    token_endpoint: Callable[[Call], Json] | None = None


class Simulation:
    """A world in motion."""

    def __init__(
        self,
        world: World,
        *,
        clock: Clock,
        calls_a_day: int = CALLS_A_DAY,
        require_proof: bool = False,
        faults: FaultPlan | None = None,
    ) -> None:
        self.world = world
        self.clock = OffsetClock(clock)
        self.book = TokenBook(secret=world.app_secret, app_id=world.app_id, started_at=self.clock())
        self.graph = Graph(world, self.book)
        self.limits = Limits(calls_a_day=calls_a_day, app_calls_a_day=10 * calls_a_day)
        self.calls = CallCounts()
        self.cdn = Cdn(clock=self.clock)
        self.codes = Codes(world.seed)
        self.oddities = Oddities()
        self.logins = Logins(world, self.book, self.codes, self.oddities)
        self.dialogs = Dialogs(world, self.codes)
        self.faults = Faults(faults or FaultPlan())
        self.require_proof = require_proof
        self._traces = count()

    # ---- for tests and control ---------------------------------------------------------------------------------

    def subject_of(self, username: str, login: Login) -> str:
        """Whose id a login's tokens carry: the person's on Facebook, the account's on Instagram."""
        account = self.world.account(username)
        return account.user_id if login == "facebook" else account.id

    def token(self, username: str, login: Login = "facebook") -> str:
        """The long-lived token the account's owner has since the start; the same after a restart."""
        return self.book.initial(login, self.subject_of(username, login))

    # ---- calls -------------------------------------------------------------------------------------------------

    def answer(self, call: Call) -> Answer:
        """Answer one request; never raises. A consent dialog is no call, a batch is as many as it holds."""
        if call.path in DIALOGS:
            return self.dialogs.answer(call)
        if not call.segments and "batch" in call.params:
            try:
                return Answer(200, _run_batch(call, self._answer))
            except RefusalError as refusal:
                return self.refused(refusal, "OAuthException")
        return self._answer(call)

    def _answer(self, call: Call) -> Answer:
        """Answer one call: counted, metered, and spoiled when the fault plan says so."""
        about = self._about(call)
        for username in about.counted:
            self.calls.add(username, about.endpoint)
        fault = self.faults.draw(call, endpoint=about.endpoint, account=about.username)
        if fault is None or fault.kind == "slow":
            answer = self._honest(call, about)
            return replace(answer, delay=fault.rule.seconds) if fault else answer
        if not fault.spoils:
            self.faults.note(fault)
            answer = instead(fault)
            # An error of the Graph API itself tells of usage like any answer of its; a gateway's does not.
            return replace(answer, headers=self._usage(call, about)) if fault.kind == "error" else answer
        good = self._honest(call, about)
        answer = spoiled(fault, good, call)
        if answer is not good:
            self.faults.note(fault)
        return answer

    def _honest(self, call: Call, about: _About) -> Answer:
        """The answer the rules give."""
        subject = _metered(about)
        try:
            for _ in about.counted:
                self.limits.count(subject, call.now)
            if subject != APP:
                self.limits.check_app(call.now)
            self.oddities.check_app()
            answer = Answer(200, self._body(call, about))
        except CodeRefusalError as refusal:
            answer = Answer(refusal.status, refusal.body)
        except RefusalError as refusal:
            answer = self.refused(refusal, about.envelope)
        told = {"facebook-api-version": call.version, **self._usage(call, about)}
        return replace(answer, headers={**told, **answer.headers})

    def _usage(self, call: Call, about: _About) -> dict[str, str]:
        """The usage header of an answer."""
        return self.limits.headers(_metered(about), call.now)

    def _body(self, call: Call, about: _About) -> Json:
        if call.segments and is_version(call.segments[0]):
            # A version there is was taken off the path: this one is not known, and that is said before all else.
            raise refusals.unknown_path("/" + "/".join(call.segments[1:] or call.segments))
        if about.token_endpoint:
            return about.token_endpoint(call)
        if about.caller is None:
            raise about.refusal or refusals.token_required()
        self._prove(call, about.caller, about.endpoint)
        grant = about.caller.grant
        # Instagram Login has no such edge.
        if call.method == "DELETE" and call.path in {"me/permissions", f"{grant.subject}/permissions"}:
            if grant.login == "instagram":
                raise refusals.unsupported_method(call.method)
            self.book.kill(grant.login, grant.subject, at=call.now, subcode=458)
            return {"success": True}
        if call.method not in {"GET", "HEAD"}:
            raise refusals.unsupported_method(call.method)
        return self._read(call, about.caller, about.endpoint)

    def _read(self, call: Call, caller: Caller, endpoint: str) -> Json:
        """What the graph answers, and what is out of order about it. A person's own name is read for ever."""
        if endpoint != "me":
            self.book.check_data_access(caller.grant, call.now)
        subject = caller.grant.subject
        odd = self.oddities.answer_of(call.segments[0], subject) if call.segments else None
        if odd is not None:
            return odd
        answer = self.graph.read(call, caller)
        if endpoint != "accounts":
            return answer
        return self.oddities.listed(subject, answer, first_page="after" not in call.params)

    def refused(self, refusal: RefusalError, envelope: Envelope) -> Answer:
        """The answer a refusal becomes, with a trace id of its own."""
        trace = "A" + opaque(22, self.world.seed, next(self._traces), "trace")
        headers = {}
        if refusal.code == 190:
            headers["www-authenticate"] = f'OAuth "Facebook Platform" "invalid_token" "{refusal.message}"'
        return Answer(refusal.status, refusal.body(envelope, trace), headers)

    def caller(self, call: Call) -> Caller:
        """Who calls. Raises RefusalError for a missing, unreadable or ended token."""
        if not call.token:
            raise refusals.token_required_for_me() if call.segments[:1] == ["me"] else refusals.token_required()
        grant = self.book.read(call.token, call.now)
        own = self.world.account_by_id(grant.subject) if grant.login == "instagram" else None
        if grant.login == "instagram" and own is None:
            raise refusals.token_unreadable()
        return Caller(grant, own)

    def _about(self, call: Call) -> _About:
        """Whom and what a call is about, whatever becomes of it."""
        if found := self.logins.endpoint(call):
            endpoint, login, handler = found
            username = self._token_of_whom(call)
            envelope: Envelope = "IGApiException" if login == "instagram" else "OAuthException"
            return _About(endpoint, None, username, (username,), envelope, token_endpoint=handler)
        caller, refusal = None, None
        envelope = "IGApiException" if call.host.endswith("instagram.com") else "OAuthException"
        try:
            caller = self.caller(call)
            envelope = caller.envelope
        except RefusalError as error:
            refusal = error
            if (call.token or "").startswith("IGAA"):
                envelope = "IGApiException"
        account, endpoint = self._target(call, caller)
        username = account.username if account else NO_ACCOUNT
        counted = tuple(self._username(id_, username) for id_ in names_in(call.params.get("ids")) or [""])
        return _About(endpoint, account, username, counted, envelope, caller, refusal)

    def _target(self, call: Call, caller: Caller | None) -> tuple[Account | None, str]:
        """The account a call is about, if any, and the name of its endpoint."""
        segments = call.segments
        if not segments or "ids" in call.params:
            return None, "ids"
        edge = segments[1] if len(segments) > 1 else ""
        if segments[0] == "me":
            own = caller.own_account if caller else None
            return own, edge or ("profile" if own else "me")
        found = find(self.world, segments[0])
        if found is None:
            return None, edge or "node"
        if found.item is None:
            return found.account, edge or "profile"
        return found.account, f"media_{edge}" if edge else "media_node"

    def _username(self, object_id: str, otherwise: str) -> str:
        found = find(self.world, object_id) if object_id else None
        return found.account.username if found else otherwise

    def _token_of_whom(self, call: Call) -> str:
        """The username behind a token that is exchanged or refreshed, so that those calls are counted too."""
        for token in (call.params.get("fb_exchange_token"), call.params.get("input_token"), call.token):
            try:
                subject = self.book.read(token or "", call.now).subject
            except RefusalError:
                continue
            if account := self.world.account_of_subject(subject):
                return account.username
        return NO_ACCOUNT

    def _prove(self, call: Call, caller: Caller, endpoint: str) -> None:
        """`appsecret_proof`: HMAC-SHA256 of the token under the app's secret (docs/graph_api.md#facebook-login)."""
        if caller.login != "facebook" or caller.grant.kind == "app":
            return
        proof = call.params.get("appsecret_proof")
        if proof is None:
            if self.require_proof:
                raise refusals.proof_missing(page=endpoint == "node")
            return
        assert call.token is not None
        right = hmac.new(self.world.app_secret.encode(), call.token.encode(), sha256).hexdigest()
        if not hmac.compare_digest(proof, right):
            raise refusals.proof_wrong()


def _metered(about: _About) -> str:
    """Whose limit a call counts to: the account's it is about, or the app's."""
    return about.account.id if about.account else APP
