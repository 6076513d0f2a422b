"""The codes a consent gives: one use, one hour, one redirect address (facts §3.2)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count

from ig_pipeline.simulator.chance import opaque
from ig_pipeline.simulator.tokens import Login

CODE_LIFE = timedelta(hours=1)


@dataclass(frozen=True)
class Consent:
    """What somebody agreed to. `subject`: the person's id on Facebook, the account's on Instagram."""

    login: Login
    subject: str
    redirect_uri: str
    scopes: frozenset[str]
    given_at: datetime


class CodeError(Exception):
    """A code that gives no token; `reason` is unknown, used, expired or redirect."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Codes:
    """The codes given out since the start."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._numbers = count()
        self._open: dict[str, Consent] = {}
        self._used: set[str] = set()

    def give(self, consent: Consent) -> str:
        """A code for a consent."""
        code = "AQ" + opaque(180, self._seed, consent.subject, consent.given_at, next(self._numbers), "code")
        self._open[code] = consent
        return code

    def take(self, code: str, *, login: Login, redirect_uri: str, now: datetime) -> Consent:
        """The consent behind a code, which is spent by asking. Raises CodeError."""
        if code in self._used:
            raise CodeError("used")
        consent = self._open.get(code)
        if consent is None or consent.login != login:
            raise CodeError("unknown")
        if consent.redirect_uri != redirect_uri:
            raise CodeError("redirect")
        del self._open[code]
        self._used.add(code)
        if now - consent.given_at >= CODE_LIFE:
            raise CodeError("expired")
        return consent
