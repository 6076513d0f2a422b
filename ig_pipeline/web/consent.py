"""Consent from the first click to the stored connection, and what each way of failing is called.

Meta is asked in `graph_api.consent`, connections are stored in `sync.connecting`; the state's rules are
`storage.oauth_states`'; cookies and answers the route's.
"""

import logging
import secrets
from dataclasses import dataclass

from fastapi.concurrency import run_in_threadpool

from ig_pipeline.graph_api.consent import Consent, NoProfessionalAccountError, complete_login
from ig_pipeline.graph_api.errors import (
    Actor,
    GraphError,
    LoginCodeError,
    PermissionMissingError,
    RateLimitedError,
    TransientError,
)
from ig_pipeline.graph_api.oauth import LoginDeclinedError, MetaApp, MetaLogin, NoAppError
from ig_pipeline.meta import app_of, sentence_of
from ig_pipeline.storage import oauth_states
from ig_pipeline.storage.oauth_states import LoginAttempt, StateFault, StateRefusedError
from ig_pipeline.sync.connecting import BeingErasedError, connect_accounts
from ig_pipeline.web.problems import Problem
from ig_pipeline.web.services import WebServices

log = logging.getLogger(__name__)

_STATE_PROBLEMS: dict[StateFault, tuple[int, str, str]] = {
    "unknown": (400, "state_unknown", "This login was not started here."),
    "foreign": (403, "state_foreign", "This login was started in another browser."),
    "replayed": (409, "state_replayed", "This login has been completed already."),
    "expired": (410, "state_expired", "This login took longer than ten minutes."),
}
# Without advice of its own, the error's sentence says what to do.
_GRAPH_PROBLEMS: dict[type[GraphError], tuple[int, str, str, str | None]] = {
    LoginDeclinedError: (403, "consent_declined", "Instagram was not connected.", None),
    NoProfessionalAccountError: (422, "no_professional_account", "There is no professional account.", None),
    PermissionMissingError: (403, "permission_missing", "A permission is missing.", None),
    LoginCodeError: (400, "code_refused", "Instagram did not accept the login.", "Start connecting again."),
    RateLimitedError: (503, "instagram_busy", "Instagram is busy.", "Try again in a few minutes."),
    TransientError: (502, "instagram_unreachable", "Instagram does not answer.", "Try again in a minute."),
}
# For all others it depends on who can act. The operator finds Meta's own words in the log.
_BY_ACTOR: dict[Actor, tuple[int, str, str, str | None]] = {
    "operator": (
        503,
        "operator_needed",
        "Connecting is not possible at the moment.",
        "The operator of this service has to act first; there is nothing that you have to do. Try again later.",
    ),
    "owner": (502, "instagram_refused", "Instagram refused the login.", None),
    "no_one": (502, "instagram_refused", "Instagram refused the login.", "Try again in a minute."),
}


class StateProblem(Problem):
    """A callback that belongs to no login this browser has under way."""


@dataclass(frozen=True)
class Begun:
    """Where to send the person, the login's state, and the secret that has to come back in its cookie."""

    url: str
    state: str
    secret: str


def new_secret() -> str:
    """A state or a login's cookie: 256 random bits."""
    return secrets.token_urlsafe(32)


def begin(services: WebServices, email: str) -> Begun:
    """Start a login, bound to a secret of its own: whatever the browser brought may have been planted there.

    Raises `Problem`.
    """
    app = _app(services)
    state, secret, login = new_secret(), new_secret(), services.settings.login
    with services.engine.begin() as db:
        oauth_states.start(db, state=state, browser=secret, email=email, login=login, now=services.clock())
    url = MetaLogin(services.client, app).authorize_url(login, redirect_uri=services.redirect_uri, state=state)
    return Begun(url, state, secret)


async def complete(services: WebServices, *, state: str, secret: str | None, code: str | None, declined: bool) -> bool:
    """Take a callback to its end; whether a first backfill is on its way. Raises `Problem`, and then nothing is stored.

    The state is used up before Meta is asked: a code is exchanged once, whoever sends it how often.
    """
    attempt = await run_in_threadpool(_claim, services, state, secret)
    try:
        if declined or not code:
            raise LoginDeclinedError("Access to Instagram was declined. Nothing was stored.")
        consent = await complete_login(
            services.client,
            _app(services),
            "facebook" if attempt.login == "facebook" else "instagram",
            code,
            redirect_uri=services.redirect_uri,
        )
    except GraphError as error:
        raise explain(error) from None
    return await run_in_threadpool(_store, services, attempt, consent)


def explain(error: GraphError) -> Problem:
    """What went wrong between the person, Meta and us, as an answer to the person.

    The first class that fits decides, for all other errors who can act; what the operator has to do is logged.
    """
    if error.actor == "operator":
        log.error("[CONSENT] A person could not connect. %s", sentence_of(error))
    found = next((problem for kind, problem in _GRAPH_PROBLEMS.items() if isinstance(error, kind)), None)
    status, name, title, advice = found or _BY_ACTOR[error.actor]
    return Problem(status, name, title, advice or str(error))


def _app(services: WebServices) -> MetaApp:
    app = app_of(services.settings)
    if app is None:
        raise Problem(503, "not_configured", "Connecting is not set up yet.", sentence_of(NoAppError()))
    return app


def _claim(services: WebServices, state: str, secret: str | None) -> LoginAttempt:
    try:
        with services.engine.begin() as db:
            return oauth_states.claim(db, state=state, browser=secret, now=services.clock())
    except StateRefusedError as refused:
        status, kind, title = _STATE_PROBLEMS[refused.fault]
        raise StateProblem(status, kind, title, "Nothing was stored. Start connecting again.") from None


def _store(services: WebServices, attempt: LoginAttempt, consent: Consent) -> bool:
    """Every account the person ticked, in one transaction."""
    try:
        with services.engine.begin() as db:
            connected = connect_accounts(
                db,
                services.vault,
                consent,
                consent.accounts,
                email=attempt.email,
                settings=services.settings,
                now=services.clock(),
            )
            oauth_states.finish(db, attempt, [one.connection.account_key for one in connected])
    except BeingErasedError as error:
        raise Problem(409, "being_deleted", "This account is being deleted.", str(error)) from None
    return any(one.backfill_started for one in connected)
