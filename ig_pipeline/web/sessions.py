"""Browsers that signed in with one of our tokens: what their cookie holds, and whether it still counts.

A cookie is a random id, sealed by the key ring and bound to the role and the token it was given for: forged, planted
and altered ones are told without asking the database, and another token ends all sessions of the one before. Nothing
in it lets anyone guess the token. That the id is in the database makes it a session; signing out takes it away.
"""

import hashlib
import secrets
from typing import Literal

import sqlalchemy as sa
from pydantic import SecretStr

from ig_pipeline.clock import Clock
from ig_pipeline.storage import web_sessions
from ig_pipeline.storage.database import reading
from ig_pipeline.vault.cipher import KeyRing, KeyRingError

Role = Literal["reader", "operator"]

# A sealed id has some 150 characters.
_LONGEST_COOKIE = 512


class Sessions:
    """The sessions of those who sign in with `token` as `role`. Every method asks the database: call it on a thread."""

    def __init__(self, engine: sa.Engine, keys: KeyRing, *, role: Role, token: SecretStr, clock: Clock) -> None:
        self._engine, self._keys, self._role, self._clock = engine, keys, role, clock
        digest = hashlib.sha256(token.get_secret_value().encode("utf-8", "surrogatepass")).hexdigest()
        self._bound_to = f"web session:{role}:{digest}"

    def begin(self) -> str:
        """The value of a cookie for a browser that has just signed in; a new one each time."""
        session_id = secrets.token_urlsafe(32)
        with self._engine.begin() as db:
            web_sessions.insert(db, session_id, role=self._role, now=self._clock())
        return self._keys.encrypt(SecretStr(session_id), bound_to=self._bound_to)

    def is_open(self, cookie: str | None) -> bool:
        """Whether this cookie's session has begun here and not ended."""
        session_id = self._id_in(cookie)
        if session_id is None:
            return False
        with reading(self._engine) as db:
            return web_sessions.is_open(db, session_id, role=self._role, now=self._clock())

    def end(self, cookie: str | None) -> None:
        """End this cookie's session, and every copy of the cookie with it."""
        session_id = self._id_in(cookie)
        if session_id is not None:
            with self._engine.begin() as db:
                web_sessions.delete(db, session_id)

    def _id_in(self, cookie: str | None) -> str | None:
        if not cookie or len(cookie) > _LONGEST_COOKIE:
            return None
        try:
            return self._keys.decrypt(cookie, bound_to=self._bound_to).get_secret_value()
        except KeyRingError:
            return None
