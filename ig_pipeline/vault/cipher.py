"""Tokens at rest: authenticated encryption by a key ring, each ciphertext bound to its row.

The first key writes, every key reads. Which row a token belongs to is the caller's; nothing here knows the database.
"""

import base64
import binascii
import fcntl
import hashlib
import logging
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from ig_pipeline.private_files import make_folder, open_file
from ig_pipeline.settings import Settings

log = logging.getLogger(__name__)

_FORMAT = "v1"
_KEY_BYTES = 32
_NONCE_BYTES = 12  # what AES-GCM is specified for

MAY_STILL_WRITE = timedelta(minutes=10)
"""How long after a change of the key file a ciphertext of the key before may still be on its way to the database.

Processes look at the file whenever they encrypt; the longest way from there to the commit is a renewed token that waits
a minute for a database that restarts.
"""


class KeyRingError(Exception):
    """A token cannot be read or a key cannot be used; the message says which setting to look at."""


@dataclass(frozen=True)
class _Ring:
    """The keys as they were at one look; `stamp` tells whether the file has changed since."""

    ciphers: dict[str, AESGCM]
    writing: str
    stamp: tuple[int, ...] | None


class KeyRing:
    """AES-256-GCM under several keys. A ciphertext reads `v1.<key's fingerprint>.<nonce and text>`.

    Long-lived: the key file is read again when it has changed, so that no process goes on writing under a key that was
    replaced. Safe to use from several threads.
    """

    def __init__(self, keys: Sequence[SecretStr], *, file: Path | None = None) -> None:
        """`keys`: 32 bytes each in URL-safe base64, the writing one first; those in `file` follow. `KeyRingError`.

        Without `keys`, `file` has to be there, now and later.
        """
        self._given, self._file = tuple(keys), file
        self._seen = self._look()

    @classmethod
    def from_settings(cls, settings: Settings) -> "KeyRing":
        """The ring of the settings; without any, of the key file in the data folder, made on first use.

        A key file that is there already goes on reading when keys are set. Raises `KeyRingError`.
        """
        file = key_path(settings)
        return cls(settings.encryption_keys, file=file) if settings.encryption_keys else cls.of_file(file)

    @classmethod
    def of_file(cls, file: Path) -> "KeyRing":
        """The ring of a key file, made on first use. Raises `KeyRingError`."""
        with _file_errors(file):
            _make_key_file(file)
        return cls((), file=file)

    def _now(self) -> _Ring:
        """The keys as they are. Raises `KeyRingError` when the file cannot be used any more."""
        if self._file is not None and self._seen.stamp != _stamp(self._file):
            self._seen = self._look()
        return self._seen

    def _look(self) -> _Ring:
        # Before the file is read: one that changes meanwhile is read again.
        stamp = None if self._file is None else _stamp(self._file)
        found = _key_file(self._file) if self._file is not None and (stamp or not self._given) else []
        keys = [*self._given, *found]
        if not keys:
            raise KeyRingError("No encryption key. Set IG_PIPELINE_ENCRYPTION_KEYS.")
        raw = [_decode_key(key) for key in keys]
        return _Ring({_fingerprint(key): AESGCM(key) for key in raw}, _fingerprint(raw[0]), stamp)

    def encrypt(self, plaintext: SecretStr, *, bound_to: str) -> str:
        """`plaintext` under the writing key; readable only for the same `bound_to`."""
        ring, nonce = self._now(), secrets.token_bytes(_NONCE_BYTES)
        sealed = ring.ciphers[ring.writing].encrypt(nonce, plaintext.get_secret_value().encode(), bound_to.encode())
        return f"{_FORMAT}.{ring.writing}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def decrypt(self, ciphertext: str, *, bound_to: str) -> SecretStr:
        """What was encrypted. Raises `KeyRingError`: a key that is not on the ring, or bytes of another row."""
        try:
            form, fingerprint, body = ciphertext.split(".")
            sealed = base64.b64decode(body, altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            raise KeyRingError("A stored token is damaged. Its account has to be connected again.") from None
        cipher = self._now().ciphers.get(fingerprint)
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
        return ciphertext.startswith(f"{_FORMAT}.{self._now().writing}.")

    def only_reading(self) -> tuple[str, ...]:
        """Fingerprints of the keys that do not write."""
        ring = self._now()
        return tuple(fingerprint for fingerprint in ring.ciphers if fingerprint != ring.writing)


def key_path(settings: Settings) -> Path:
    """The key file of the data folder, used when no keys are set; it may not be there yet."""
    return settings.home / "keys" / "token.key"


def new_key() -> SecretStr:
    """A fresh key in the form of the setting."""
    return SecretStr(base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).decode())


def add_key(settings: Settings) -> Path:
    """Put a new first key into the key file and keep those before: tokens are under them. Raises `KeyRingError`."""
    path = key_path(settings)
    with _file_errors(path):
        _make_key_file(path)
        with _alone(path):
            _replace(path, [new_key(), *_key_file(path)])
    return path


def prune_keys(settings: Settings, *, in_use: Callable[[], set[str]], now: datetime) -> tuple[int, datetime | None]:
    """Take the keys off the key file that neither write nor are `in_use` (fingerprints); how many.

    Nothing is taken off while a process may still be writing under a key before: then the second value says until when.
    Raises `KeyRingError`.
    """
    path = key_path(settings)
    with _file_errors(path), _alone(path):
        keys = _key_file(path)
        writes_until = datetime.fromtimestamp(path.stat().st_mtime, now.tzinfo) + MAY_STILL_WRITE
        needed = in_use()
        kept = [key for n, key in enumerate(keys) if n == 0 or _fingerprint(_decode_key(key)) in needed]
        if now < writes_until or len(kept) == len(keys):
            return 0, writes_until if len(kept) < len(keys) else None
        _replace(path, kept)
    return len(keys) - len(kept), None


def fingerprint_of(ciphertext: str) -> str:
    """The fingerprint of the key that made it."""
    return ciphertext.split(".")[1] if ciphertext.count(".") == 2 else ""


def _key_file(path: Path) -> list[SecretStr]:
    """The keys in `path`, the writing one first. Raises `KeyRingError`."""
    with _file_errors(path):
        keys = [SecretStr(line) for line in path.read_text().split()]
        if not keys or not all(map(_is_key, keys)):
            raise ValueError
    return keys


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    """Every way a key file can be of no use, in one sentence that shows nothing of it."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it does not hold 32 bytes in URL-safe base64"
        raise KeyRingError(
            f"The key file {path} cannot be used: {reason}. Mend that or restore its backup; "
            "without it the accounts have to be connected again."
        ) from None


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Another one for every file that was put there; None for none."""
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_ino, seen.st_mtime_ns, seen.st_size


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time changes `path`: of two that add a key, the second would write over the first one's."""
    with open_file(path.with_name(f"{path.name}.lock"), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_key_file(path: Path) -> None:
    """A file with a new key where there is none. Processes that start together end with one key."""
    if path.exists():
        return
    make_folder(path.parent)
    draft = _draft(path, [new_key()])
    try:
        path.hardlink_to(draft)
        log.info("Made the key file %s. Back it up: what is encrypted with it cannot be read without it.", path)
    except FileExistsError:
        pass  # another process was first: its key is everybody's
    finally:
        draft.unlink()


def _replace(path: Path, keys: Sequence[SecretStr]) -> None:
    _draft(path, keys).replace(path)
    # Tokens are about to be written under the new key: a crash must not bring the old file back.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _draft(path: Path, keys: Sequence[SecretStr]) -> Path:
    """A file beside `path`, for its owner alone and safely on the disk."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with open_file(draft, "x") as file:
        file.write("\n".join(key.get_secret_value() for key in keys))
        file.flush()
        os.fsync(file.fileno())
    return draft


def _decode_key(key: SecretStr) -> bytes:
    if not _is_key(key):
        raise KeyRingError(
            "IG_PIPELINE_ENCRYPTION_KEYS: each key is 32 bytes in URL-safe base64. `ig-pipeline keys new` prints one."
        )
    return base64.urlsafe_b64decode(key.get_secret_value())


def _is_key(key: SecretStr) -> bool:
    try:
        return len(base64.b64decode(key.get_secret_value().encode(), altchars=b"-_", validate=True)) == _KEY_BYTES
    except (ValueError, binascii.Error):
        return False


def _fingerprint(key: bytes) -> str:
    return hashlib.sha256(b"ig-pipeline key:" + key).hexdigest()[:12]
