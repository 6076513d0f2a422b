"""Tokens at rest: authenticated encryption by a key ring, each ciphertext bound to its row.

The first key writes, every key reads. Which row a token belongs to is the caller's; nothing here knows the database.
"""

import base64
import binascii
import hashlib
import logging
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from ig_pipeline.settings import Settings

log = logging.getLogger(__name__)

_FORMAT = "v1"
_KEY_BYTES = 32
_NONCE_BYTES = 12  # what AES-GCM is specified for


class KeyRingError(Exception):
    """A token cannot be read or a key cannot be used; the message says which setting to look at."""


class KeyRing:
    """AES-256-GCM under several keys. A ciphertext reads `v1.<key's fingerprint>.<nonce and text>`."""

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        """`keys`: 32 bytes each in URL-safe base64, the writing one first. Raises `KeyRingError`."""
        if not keys:
            raise KeyRingError("No encryption key. Set IG_PIPELINE_ENCRYPTION_KEYS.")
        raw = [_decode_key(key) for key in keys]
        self._ciphers = {_fingerprint(key): AESGCM(key) for key in raw}
        self._writing = _fingerprint(raw[0])

    @classmethod
    def from_settings(cls, settings: Settings) -> "KeyRing":
        """The ring of the settings; without any, of the key file in the data folder, made on first use.

        A key file that is there already goes on reading when keys are set. Raises `KeyRingError`.
        """
        file = key_path(settings)
        if settings.encryption_keys and not file.exists():
            return cls(settings.encryption_keys)
        return cls([*settings.encryption_keys, *_key_file(file)])

    def encrypt(self, plaintext: SecretStr, *, bound_to: str) -> str:
        """`plaintext` under the writing key; readable only for the same `bound_to`."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._ciphers[self._writing].encrypt(nonce, plaintext.get_secret_value().encode(), bound_to.encode())
        return f"{_FORMAT}.{self._writing}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def decrypt(self, ciphertext: str, *, bound_to: str) -> SecretStr:
        """What was encrypted. Raises `KeyRingError`: a key that is not on the ring, or bytes of another row."""
        try:
            form, fingerprint, body = ciphertext.split(".")
            sealed = base64.b64decode(body, altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            raise KeyRingError("A stored token is damaged. Its account has to be connected again.") from None
        cipher = self._ciphers.get(fingerprint)
        if len(sealed) <= _NONCE_BYTES:
            raise KeyRingError("A stored token is damaged. Its account has to be connected again.")
        if form != _FORMAT or cipher is None:
            raise KeyRingError(
                f"A token was encrypted with key {fingerprint}, which is not on the ring. "
                "Add that key to IG_PIPELINE_ENCRYPTION_KEYS, or restore the key file."
            )
        try:
            plaintext = cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to.encode())
        except InvalidTag:
            raise KeyRingError("A stored token was altered. Its account has to be connected again.") from None
        return SecretStr(plaintext.decode())

    def is_current(self, ciphertext: str) -> bool:
        """Whether the writing key made it; if not, rotation has work."""
        return ciphertext.startswith(f"{_FORMAT}.{self._writing}.")


def key_path(settings: Settings) -> Path:
    """The key file of the data folder, used when no keys are set; it may not be there yet."""
    return settings.home / "keys" / "token.key"


def new_key() -> SecretStr:
    """A fresh key in the form of the setting."""
    return SecretStr(base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).decode())


def replace_key(settings: Settings) -> Path:
    """Put a new first key into the key file and keep the one before: a sync under way may still write with it.

    Raises `KeyRingError`.
    """
    path = key_path(settings)
    before = _key_file(path)[0]
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    _write_keys(draft, [new_key(), before])
    draft.replace(path)
    return path


def _key_file(path: Path) -> list[SecretStr]:
    """The keys in `path`, the writing one first; made with mode 0600 if there is none.

    Processes that start together end with one key.
    """
    try:
        if not path.exists():
            _make_key_file(path)
        keys = [SecretStr(line) for line in path.read_text().split()] or [SecretStr("")]
        for key in keys:
            _decode_key(key)
    except (OSError, ValueError, KeyRingError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it does not hold 32 bytes in URL-safe base64"
        raise KeyRingError(
            f"The key file {path} cannot be used: {reason}. Mend that or restore its backup; "
            "without it the accounts have to be connected again."
        ) from None
    return keys


def _make_key_file(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    _write_keys(draft, [new_key()])
    try:
        path.hardlink_to(draft)
        log.info("Made the key that tokens are encrypted with: %s. Back it up; without it they are lost.", path)
    except FileExistsError:
        pass  # another process was first: its key is everybody's
    finally:
        draft.unlink()


def _write_keys(path: Path, keys: Sequence[SecretStr]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(key.get_secret_value() for key in keys))
        file.flush()
        os.fsync(file.fileno())


def _decode_key(key: SecretStr) -> bytes:
    try:
        raw = base64.b64decode(key.get_secret_value().encode(), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != _KEY_BYTES:
        raise KeyRingError(
            "IG_PIPELINE_ENCRYPTION_KEYS: each key is 32 bytes in URL-safe base64. `ig-pipeline keys new` prints one."
        )
    return raw


def _fingerprint(key: bytes) -> str:
    return hashlib.sha256(b"ig-pipeline key:" + key).hexdigest()[:12]
