"""The token endpoints of both logins: code, long-lived token, refresh, debug_token (docs/graph_api.md#facebook-login).

Consent is in `consent`, what a token is in `tokens`.
"""

import hmac
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from ig_pipeline.simulator import refusals
from ig_pipeline.simulator.consent import CodeError, Codes
from ig_pipeline.simulator.oddities import Oddities
from ig_pipeline.simulator.refusals import CodeRefusalError, RefusalError
from ig_pipeline.simulator.requests import Call, Json
from ig_pipeline.simulator.tokens import LONG_LIFE, REFRESHABLE_AFTER, SHORT_LIFE, Grant, Login, TokenBook
from ig_pipeline.simulator.world import World

_REDIRECT_DIFFERS = (
    "Error validating verification code. Please make sure your redirect_uri is identical to the one you used in the "
    "OAuth dialog request"
)
# Facebook's words and subcodes for a code that gives no token.
_FACEBOOK_CODES = {
    "used": ("This authorization code has been used.", 36009),
    "expired": ("This authorization code has expired.", 36007),
    "redirect": (_REDIRECT_DIFFERS, 36008),
    "unknown": ("Invalid verification code format.", None),
}


class Logins:
    """The token endpoints of a world's app."""

    def __init__(self, world: World, book: TokenBook, codes: Codes, oddities: Oddities) -> None:
        self._world = world
        self._book = book
        self._codes = codes
        self._oddities = oddities

    def endpoint(self, call: Call) -> tuple[str, Login, Callable[[Call], Json]] | None:
        """The name, login and handler of a token endpoint; None when the path is none."""
        grant_type = call.params.get("grant_type")
        if call.path == "oauth/access_token":
            if grant_type == "authorization_code" and call.method == "POST":
                return "token_code", "instagram", self._instagram_code
            name = "token_exchange" if grant_type == "fb_exchange_token" else "token_code"
            return name, "facebook", self._facebook_token
        return {
            "access_token": ("token_exchange", "instagram", self._instagram_exchange),
            "refresh_access_token": ("token_refresh", "instagram", self._instagram_refresh),
            "debug_token": ("debug_token", "facebook", self._debug),
        }.get(call.path)  # type: ignore[return-value]  # mypy widens the literals of a dict of tuples

    # ---- Facebook ----------------------------------------------------------------------------------------------

    def _facebook_token(self, call: Call) -> Json:
        params = call.params
        if params.get("client_id") != self._world.app_id:
            raise RefusalError(
                "Error validating application. Cannot get application info due to a system error.",
                code=101,
                prefixed=False,
            )
        self._check_secret(params)
        if params.get("grant_type") == "client_credentials":
            return {"access_token": f"{self._world.app_id}|{self._world.app_secret}", "token_type": "bearer"}
        if params.get("grant_type") == "fb_exchange_token":
            grant = self._book.read(params.get("fb_exchange_token", ""), call.now)
            if grant.login != "facebook":
                raise refusals.token_unreadable()
            return self._long(grant, call.now)
        try:
            consent = self._codes.take(
                params.get("code", ""), login="facebook", redirect_uri=params.get("redirect_uri", ""), now=call.now
            )
        except CodeError as error:
            message, subcode = _FACEBOOK_CODES[error.reason]
            raise RefusalError(message, code=100, subcode=subcode, prefixed=False) from None
        return self._short("facebook", consent.subject, consent.scopes, call.now)

    def _check_secret(self, params: dict[str, str]) -> None:
        if not hmac.compare_digest(params.get("client_secret", "").encode(), self._world.app_secret.encode()):
            raise RefusalError("Error validating client secret.", code=1, prefixed=False)

    def _debug(self, call: Call) -> Json:
        """`debug_token`: any valid token of the app may ask."""
        if not call.token:
            raise refusals.token_required()
        self._book.read(call.token, call.now)
        try:
            grant = self._book.read(call.params.get("input_token", ""), call.now)
        except RefusalError as dead:
            error: Json = {"code": dead.code, "message": dead.message}
            if dead.subcode:
                error["subcode"] = dead.subcode
            return {"data": {"app_id": self._world.app_id, "error": error, "is_valid": False, "scopes": []}}
        issued = grant.issued_at or call.now
        readable_until = self._book.data_access_until(grant)
        data: Json = {
            "app_id": self._world.app_id,
            "type": grant.kind.upper(),
            "application": "Simulated app",
            "data_access_expires_at": int(readable_until.timestamp()) if readable_until else 0,
            "expires_at": int(grant.expires_at.timestamp()) if grant.expires_at else 0,
            "is_valid": True,
            "issued_at": int(issued.timestamp()),
            "scopes": sorted(grant.scopes),
            "granular_scopes": [self._granular(scope, grant) for scope in sorted(grant.scopes)],
            "user_id": grant.subject,
        }
        return {"data": {**data, "profile_id": grant.page_id} if grant.page_id else data}

    def _granular(self, scope: str, grant: Grant) -> Json:
        person = self._world.person(grant.subject)
        pages = person.pages if person else ()
        if scope.startswith("instagram_"):
            ids = [page.account.id for page in pages if page.account]
            return {"scope": scope, "target_ids": self._oddities.granted(grant.subject, ids)}
        if scope.startswith("pages_"):
            return {"scope": scope, "target_ids": self._oddities.granted(grant.subject, [page.id for page in pages])}
        return {"scope": scope}

    # ---- Instagram ---------------------------------------------------------------------------------------------

    def _instagram_code(self, call: Call) -> Json:
        params = call.params
        if params.get("client_id") != self._world.app_id:
            raise CodeRefusalError("Invalid platform app")
        if params.get("client_secret") != self._world.app_secret:
            raise CodeRefusalError("Error validating client secret.")
        try:
            consent = self._codes.take(
                params.get("code", ""), login="instagram", redirect_uri=params.get("redirect_uri", ""), now=call.now
            )
        except CodeError as error:
            differs = error.reason == "redirect"
            raise CodeRefusalError(
                _REDIRECT_DIFFERS if differs else "Matching code was not found or was already used"
            ) from None
        token = self._short("instagram", consent.subject, consent.scopes, call.now)["access_token"]
        account = self._world.account_by_id(consent.subject)
        assert account is not None
        scopes = sorted(consent.scopes)
        # Both shapes are observed (docs/graph_api.md#instagram-login): every other account gets the documented one.
        if account.position % 2:
            documented = {"access_token": token, "user_id": account.id, "permissions": ",".join(scopes)}
            return {"data": [documented]}
        return {"access_token": token, "user_id": int(account.id), "permissions": scopes}

    def _instagram_exchange(self, call: Call) -> Json:
        grant = self._instagram_grant(call, "ig_exchange_token")
        self._check_secret(call.params)
        if grant.long_lived:
            raise RefusalError("Session key invalid", code=452, kind="OAuthException", prefixed=False)
        return self._long(grant, call.now)

    def _instagram_refresh(self, call: Call) -> Json:
        grant = self._instagram_grant(call, "ig_refresh_token")
        if not grant.long_lived:
            raise RefusalError("Session key invalid", code=452, kind="OAuthException", prefixed=False)
        if grant.issued_at and call.now - grant.issued_at < REFRESHABLE_AFTER:
            raise RefusalError("The access token must be at least 24 hours old to be refreshed", code=100)
        return self._long(grant, call.now)

    def _instagram_grant(self, call: Call, grant_type: str) -> Grant:
        if call.method != "GET" or call.params.get("grant_type") != grant_type:
            raise refusals.unsupported_method(call.method)
        if not call.token:
            raise refusals.token_required()
        grant = self._book.read(call.token, call.now)
        if grant.login != "instagram":
            raise refusals.token_unreadable()
        if "instagram_business_basic" not in grant.scopes:
            raise refusals.unsupported_method(call.method)
        return grant

    # ---- both --------------------------------------------------------------------------------------------------

    def _short(self, login: Login, subject: str, scopes: frozenset[str], now: datetime) -> Json:
        self._book.consented(login, subject, now)
        generation = self._book.generation_of(login, subject)
        grant = Grant(login, "user", subject, generation, now, now + SHORT_LIFE, scopes, long_lived=False)
        return self._token_answer(self._book.issue(grant), SHORT_LIFE)

    def _long(self, grant: Grant, now: datetime) -> Json:
        longer = replace(grant, issued_at=now, expires_at=now + LONG_LIFE, long_lived=True)
        return self._token_answer(self._book.issue(longer), LONG_LIFE)

    def _token_answer(self, token: str, life: timedelta) -> Json:
        answer: Json = {"access_token": token, "token_type": "bearer"}
        return answer if self._oddities.expires_in_omitted else {**answer, "expires_in": int(life.total_seconds())}
