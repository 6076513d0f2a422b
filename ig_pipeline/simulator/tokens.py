"""Access tokens that describe themselves, so that a restarted simulator still knows those it gave out.

What a token may do is asked of `Grant`; how it is got is in `logins`. No request is read here.
"""

import base64
import hmac
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Literal

from ig_pipeline.simulator.days import PACIFIC
from ig_pipeline.simulator.refusals import RefusalError, token_dead, token_unreadable

Login = Literal["facebook", "instagram"]
Kind = Literal["user", "page", "system_user", "app"]

# "expires_in": 5183944 in Meta's own examples: sixty days less a minute or so.
LONG_LIFE = timedelta(seconds=5_183_944)
SHORT_LIFE = timedelta(hours=1)
# How long an app may read after the person last used it; no exchange of tokens moves it
# (docs/graph_api.md#data-access-end).
DATA_ACCESS = timedelta(days=90)
REFRESHABLE_AFTER = timedelta(hours=24)
# How long owners have had their token when the simulator starts: long enough to be refreshed at once.
_HELD_FOR = timedelta(days=2)

FACEBOOK_SCOPES = (
    "instagram_basic",
    "instagram_manage_insights",
    "pages_show_list",
    "pages_read_engagement",
    "business_management",
    "ads_read",
    "ads_management",
    "instagram_manage_comments",
    "public_profile",
)
INSTAGRAM_SCOPES = (
    "instagram_business_basic",
    "instagram_business_manage_insights",
    "instagram_business_manage_comments",
    "instagram_business_manage_messages",
    "instagram_business_content_publish",
)
ALL_SCOPES = FACEBOOK_SCOPES + INSTAGRAM_SCOPES
# What a developer ticks for a pipeline like this one; comments and tags are not among it.
USUAL_SCOPES: dict[Login, tuple[str, ...]] = {
    "facebook": (*FACEBOOK_SCOPES[:5], "public_profile"),
    "instagram": INSTAGRAM_SCOPES[:2],
}

_SENTENCES = {
    458: "The user has not authorized application {app}.",
    459: "You cannot access the app till you log in to www.facebook.com and follow the instructions given.",
    460: "The session has been invalidated because the user changed their password or Facebook has changed the "
    "session for security reasons.",
    464: "Sessions for the user {subject} are not allowed because the user is not a confirmed user.",
    467: "The session is invalid because the user logged out.",
    493: "The data access of this session has expired.",
    492: "The user must be an administrator, editor, or moderator of the page in order to impersonate it.",
}


@dataclass(frozen=True)
class Grant:
    """What a token says about itself.

    `subject`: the id of the person (Facebook), account (Instagram) or app. `page_id`: of a Page token.
    `generation` grows with each revocation of the subject. `issued_at` None: when the simulator started.
    `expires_at` None: never.
    """

    login: Login
    kind: Kind
    subject: str
    generation: int
    issued_at: datetime | None
    expires_at: datetime | None
    scopes: frozenset[str]
    long_lived: bool = True
    page_id: str | None = None


@dataclass(frozen=True)
class _End:
    """Why and when all tokens of a subject up to a generation ended. `subcode` 463 means they expired."""

    generation: int
    subcode: int | None
    at: datetime


class TokenBook:
    """Gives out tokens and reads them back; knows which subjects were revoked while the simulator ran."""

    def __init__(self, *, secret: str, app_id: str, started_at: datetime) -> None:
        self._key = sha256(secret.encode()).digest()
        self._app_id = app_id
        self._started_at = started_at
        self._ends: dict[tuple[Login, str], _End] = {}
        self._readable_until: dict[str, datetime] = {}
        self._withdrawn: dict[tuple[Login, str], frozenset[str]] = {}

    def generation_of(self, login: Login, subject: str) -> int:
        """The generation tokens of a subject are given out in now."""
        end = self._ends.get((login, subject))
        return end.generation + 1 if end else 0

    def initial(self, login: Login, subject: str) -> str:
        """The long-lived token a subject has when the simulator starts; the same after every start."""
        return self.issue(Grant(login, "user", subject, 0, None, None, frozenset(USUAL_SCOPES[login])))

    def issue(self, grant: Grant) -> str:
        """The token that says what `grant` says."""
        scopes = sum(1 << n for n, scope in enumerate(ALL_SCOPES) if scope in grant.scopes)
        fields = [
            grant.login[0],
            grant.kind,
            grant.subject,
            grant.generation,
            _micros(grant.issued_at),
            _micros(grant.expires_at),
            scopes,
            int(grant.long_lived),
            grant.page_id or "",
        ]
        payload = json.dumps(fields, separators=(",", ":")).encode()
        signed = base64.b32encode(payload + self._sign(payload)).decode().rstrip("=")
        return ("EAAG" if grant.login == "facebook" else "IGAA") + signed

    def read(self, token: str, now: datetime) -> Grant:
        """The grant of a valid token. Raises RefusalError (190) for one that is none, expired or revoked."""
        grant = self._parse(token)
        end = self._ends.get((grant.login, grant.subject))
        if end and grant.generation <= end.generation and end.at <= now:
            raise self._ended(grant, end.subcode, end.at, now)
        if grant.expires_at and grant.expires_at <= now:
            raise self._ended(grant, 463, grant.expires_at, now)
        withdrawn = self._withdrawn.get((grant.login, grant.subject))
        return replace(grant, scopes=grant.scopes - withdrawn) if withdrawn else grant

    def consented(self, login: Login, subject: str, now: datetime) -> None:
        """A person has gone through the dialog: they use the app, and what they withdrew may be granted again."""
        self._withdrawn.pop((login, subject), None)
        self._readable_until[subject] = now + DATA_ACCESS

    def withdraw(self, login: Login, subject: str, scopes: frozenset[str]) -> None:
        """Take permissions from every token of a subject, until its next consent."""
        self._withdrawn[(login, subject)] = scopes

    def end_data_access(self, subject: str, *, at: datetime) -> None:
        """Let the app read for this person until `at`."""
        self._readable_until[subject] = at

    def data_access_until(self, grant: Grant) -> datetime | None:
        """Until when the token reads (Facebook Login); None: for ever, as for an app's or a system user's."""
        if grant.login != "facebook" or grant.kind in {"app", "system_user"}:
            return None
        return self._readable_until.get(grant.subject, self._started_at - _HELD_FOR + DATA_ACCESS)

    def check_data_access(self, grant: Grant, now: datetime) -> None:
        """Raises RefusalError (190/493) once the token is valid but does not read any more."""
        until = self.data_access_until(grant)
        if until is not None and until <= now:
            raise self._ended(grant, 493, until, now)

    def kill(self, login: Login, subject: str, *, at: datetime, subcode: int | None) -> None:
        """End every token of a subject given out so far, from the instant `at` on."""
        self._ends[(login, subject)] = _End(self.generation_of(login, subject), subcode, at)

    def _ended(self, grant: Grant, subcode: int | None, at: datetime, now: datetime) -> RefusalError:
        if subcode == 463:
            sentence = f"Session has expired on {_clock_text(at)}. The current time is {_clock_text(now)}."
        else:
            sentence = _SENTENCES.get(subcode or 0, "The session is invalid.")
        return token_dead(sentence.format(app=self._app_id, subject=grant.subject), subcode)

    def _parse(self, token: str) -> Grant:
        if app := self._app_token(token):
            return app
        try:
            raw = base64.b32decode(token[4:] + "=" * (-len(token[4:]) % 8))
            payload, signature = raw[:-12], raw[-12:]
            if not hmac.compare_digest(self._sign(payload), signature):
                raise token_unreadable()
            letter, kind, subject, generation, issued, expires, scopes, long_lived, page = json.loads(payload)
        except ValueError:
            raise token_unreadable() from None
        issued_at = _instant(issued)
        return Grant(
            login="facebook" if letter == "f" else "instagram",
            kind=kind,
            subject=subject,
            generation=generation,
            issued_at=issued_at or self._started_at - _HELD_FOR,
            # Page tokens of a long-lived person's token do not expire, nor do a system user's.
            expires_at=_instant(expires)
            or (None if kind in {"page", "system_user"} else self._started_at - _HELD_FOR + LONG_LIFE),
            scopes=frozenset(scope for n, scope in enumerate(ALL_SCOPES) if scopes >> n & 1),
            long_lived=bool(long_lived),
            page_id=page or None,
        )

    def _app_token(self, token: str) -> Grant | None:
        """`app-id|app-secret`, which Meta takes as the app's own token."""
        app_id, bar, secret = token.partition("|")
        if not bar:
            return None
        if app_id != self._app_id or not hmac.compare_digest(sha256(secret.encode()).digest(), self._key):
            raise token_unreadable()
        return Grant("facebook", "app", app_id, 0, None, None, frozenset())

    def _sign(self, payload: bytes) -> bytes:
        return hmac.new(self._key, payload, sha256).digest()[:12]


def _micros(instant: datetime | None) -> int:
    return int(instant.timestamp() * 1_000_000) if instant else 0


def _instant(micros: int) -> datetime | None:
    return datetime.fromtimestamp(micros / 1_000_000, UTC) if micros else None


def _clock_text(instant: datetime) -> str:
    """`Friday, 26-Jun-26 15:48:19 PDT`."""
    return instant.astimezone(PACIFIC).strftime("%A, %d-%b-%y %H:%M:%S %Z")
