"""One running Instagram: a world, a clock and all that changes (tokens, limits, counts), answering call by call.

Free of HTTP: `server` brings the bytes, `control` the levers for tests.
"""

import hmac
from dataclasses import replace
from hashlib import sha256
from itertools import count

from ig_pipeline.clock import Clock
from ig_pipeline.simulator import refusals
from ig_pipeline.simulator.accounts import Account
from ig_pipeline.simulator.calls import NO_ACCOUNT, CallCounts
from ig_pipeline.simulator.cdn import Cdn
from ig_pipeline.simulator.chance import opaque
from ig_pipeline.simulator.clocks import OffsetClock
from ig_pipeline.simulator.graph import Graph, find
from ig_pipeline.simulator.limits import APP, Limits
from ig_pipeline.simulator.refusals import Envelope, RefusalError
from ig_pipeline.simulator.requests import Answer, Call, Caller, names_in
from ig_pipeline.simulator.tokens import Login, TokenBook
from ig_pipeline.simulator.world import World

# Roomy enough that one backfill is a percent of it, small enough that the headers move (facts §4 knows no number).
CALLS_A_DAY = 20_000


class Simulation:
    """A world in motion."""

    def __init__(
        self, world: World, *, clock: Clock, calls_a_day: int = CALLS_A_DAY, require_proof: bool = False
    ) -> None:
        self.world = world
        self.clock = OffsetClock(clock)
        self.book = TokenBook(secret=world.app_secret, app_id=world.app_id, started_at=self.clock())
        self.graph = Graph(world, self.book)
        self.limits = Limits(calls_a_day=calls_a_day, app_calls_a_day=10 * calls_a_day)
        self.calls = CallCounts()
        self.cdn = Cdn(clock=self.clock)
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
        """Answer one call, counted and metered; never raises."""
        envelope: Envelope = "IGApiException" if call.host.endswith("instagram.com") else "OAuthException"
        subject, headers = APP, {"facebook-api-version": call.version}
        try:
            account, endpoint = self._about(call, None)
            try:
                caller = self.caller(call)
                envelope = caller.envelope
                account, endpoint = self._about(call, caller)
            finally:
                self._count(call, account, endpoint)
            subject = account.id if account else APP
            self._meter(call, subject)
            self._prove(call, caller, endpoint)
            if call.method not in {"GET", "HEAD"}:
                raise refusals.unsupported_method(call.method)
            answer = Answer(200, self.graph.read(call, caller))
        except RefusalError as refusal:
            answer = self.refused(refusal, envelope)
        return replace(answer, headers={**headers, **self.limits.headers(subject, call.now), **answer.headers})

    def refused(self, refusal: RefusalError, envelope: Envelope) -> Answer:
        """The answer a refusal becomes, with a trace id of its own."""
        trace = "A" + opaque(22, self.world.seed, next(self._traces), "trace")
        headers = {}
        if refusal.code == 190:
            headers["www-authenticate"] = f'OAuth "Facebook Platform" "invalid_token" "{refusal.message}"'
        return Answer(refusal.status, refusal.body(envelope, trace), headers)

    def caller(self, call: Call) -> Caller:
        """Who calls. Raises RefusalError for a missing, unreadable or dead token."""
        if not call.token:
            raise refusals.token_required()
        grant = self.book.read(call.token, call.now)
        own = self.world.account_by_id(grant.subject) if grant.login == "instagram" else None
        if grant.login == "instagram" and own is None:
            raise refusals.token_unreadable()
        return Caller(grant, own)

    def _about(self, call: Call, caller: Caller | None) -> tuple[Account | None, str]:
        """The account a call is about, if any, and the name of its endpoint."""
        segments = call.segments
        if not segments:
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

    def _count(self, call: Call, account: Account | None, endpoint: str) -> None:
        for object_id in names_in(call.params.get("ids")) or [""]:
            found = find(self.world, object_id) if object_id else None
            who = found.account if found else account
            self.calls.add(who.username if who else NO_ACCOUNT, endpoint)

    def _meter(self, call: Call, subject: str) -> None:
        """Count against the limits: each id of a multi-read is a call (facts §4)."""
        for _ in names_in(call.params.get("ids")) or [""]:
            self.limits.count(subject, call.now)
        if subject != APP:
            self.limits.check_app(call.now)

    def _prove(self, call: Call, caller: Caller, endpoint: str) -> None:
        """`appsecret_proof`: HMAC-SHA256 of the token under the app's secret (facts §3.1)."""
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
