"""Meta's `signed_request`: who it is about, once the signature, the algorithm and the age are right.

Pure: text and secret in, facts or `SignedRequestError` out. Whether it came in before is the database's to know.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import SecretStr

from ig_pipeline.storage.meta_people import SIGNED_REQUEST_LIFETIME

# Meta's are under a kilobyte.
MAX_LENGTH = 4096
_CLOCKS_DIFFER_BY = timedelta(minutes=5)
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+\Z")
_PERSON = re.compile(r"[0-9]{1,32}\Z")


class SignedRequestError(Exception):
    """Not a signed request of this app, or not one of today. The message says which, and echoes nothing."""


@dataclass(frozen=True)
class SignedRequest:
    """A request Meta signed: about whom, when (UTC), and a hash that tells it from every other."""

    person_id: str
    issued_at: datetime
    signature_hash: str


def read_signed_request(text: str, *, app_secret: SecretStr, now: datetime) -> SignedRequest:
    """Check and read `text` (`<signature>.<payload>`, base64url without padding). Raises `SignedRequestError`."""
    if len(text) > MAX_LENGTH:
        raise SignedRequestError("It is too long.")
    signature_text, dot, payload_text = text.partition(".")
    if not dot or "." in payload_text:
        raise SignedRequestError("It does not have two parts.")
    signature = _decode(signature_text)
    expected = hmac.new(app_secret.get_secret_value().encode(), payload_text.encode("ascii", "replace"), hashlib.sha256)
    # The signature first: nothing inside the payload is believed, not even its algorithm, before that.
    if not hmac.compare_digest(signature, expected.digest()):
        raise SignedRequestError("Its signature is not Meta's.")
    return _read(_decode(payload_text), hashlib.sha256(signature).hexdigest(), now)


def _read(payload: bytes, signature_hash: str, now: datetime) -> SignedRequest:
    try:
        data = json.loads(payload.decode("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise SignedRequestError("Its content is not JSON.") from None
    if not isinstance(data, dict) or str(data.get("algorithm", "")).upper() != "HMAC-SHA256":
        raise SignedRequestError("Its algorithm is not HMAC-SHA256.")
    person, issued = data.get("user_id"), data.get("issued_at")
    if isinstance(person, int) and not isinstance(person, bool):
        person = str(person)
    if not isinstance(person, str) or not _PERSON.match(person):
        raise SignedRequestError("It names nobody.")
    if not isinstance(issued, int) or isinstance(issued, bool) or not 0 < issued < 2**40:
        raise SignedRequestError("It has no time.")
    issued_at = datetime.fromtimestamp(issued, UTC)
    if not now - SIGNED_REQUEST_LIFETIME <= issued_at <= now + _CLOCKS_DIFFER_BY:
        raise SignedRequestError("It is too old, or from the future.")
    return SignedRequest(person, issued_at, signature_hash)


def _decode(text: str) -> bytes:
    if not _BASE64URL.match(text):
        raise SignedRequestError("It is not base64url.")
    try:
        decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise SignedRequestError("It is not base64url.") from None
    if _encode(decoded) != text:
        # Loose bits at the end would give one signature several spellings, and a replay a new face.
        raise SignedRequestError("It is not base64url.")
    return decoded


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
