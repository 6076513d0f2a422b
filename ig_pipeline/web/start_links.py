"""Start links: the address of a person who is to connect, vouched for by the app that knows them.

Without a signature anyone could send a person through Meta's dialog for an address of their own, and the person's
account would stand under it. Pure: texts, key and clock in; `StartLinkError` out.
"""

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Literal

from pydantic import SecretStr

LONGEST_LIFETIME = timedelta(hours=1)
"""No link is good for longer, whatever it says: it stands in histories and logs."""

Fault = Literal["refused", "expired"]


class StartLinkError(Exception):
    """A start link is not the app's, or no longer good. `fault` says which; the message echoes nothing."""

    def __init__(self, fault: Fault, sentence: str) -> None:
        super().__init__(sentence)
        self.fault: Fault = fault


def sign_start_link(key: SecretStr, *, email: str, expires: int) -> str:
    """The signature of a link for `email`, good until `expires` (Unix time); see docs/web_service.md."""
    message = f"start:{email}:{expires}".encode("utf-8", "surrogatepass")
    return hmac.new(key.get_secret_value().encode(), message, hashlib.sha256).hexdigest()


def check_start_link(key: SecretStr | None, *, email: str, expires: int, signature: str, now: datetime) -> None:
    """Raise `StartLinkError` unless the app signed this link for `email`, as it is written, and it is still good."""
    if key is None:
        raise StartLinkError("refused", "Signed links need IG_PIPELINE_START_LINK_KEY here.")
    expected = sign_start_link(key, email=email, expires=expires)
    if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogatepass")):
        raise StartLinkError("refused", "Its signature is not the app's.")
    if expires <= now.timestamp():
        raise StartLinkError("expired", "Go back to the app and begin there again.")
    if expires > (now + LONGEST_LIFETIME).timestamp():
        raise StartLinkError("refused", "It is good for longer than an hour.")
