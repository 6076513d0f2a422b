"""Checks of this machine and its settings for `doctor`, and how a finding is said: ok, warn or fail, and what to do.

Data folder, databases, keys, ports; who can reach the web service and Dagster's UI. Looks only: makes no file and no
table.
"""

import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from pydantic import SecretStr

from ig_pipeline.cli.children import is_free
from ig_pipeline.media_store.errors import StoreError
from ig_pipeline.media_store.local_folder import LocalFolder
from ig_pipeline.media_store.opening import open_store
from ig_pipeline.settings import Settings, is_loopback
from ig_pipeline.storage.database import DatabaseError, check_reachable, open_engine, pending_migrations, reading
from ig_pipeline.storage.token_rows import all_with_tokens
from ig_pipeline.vault.cipher import KeyRing, KeyRingError, key_path
from ig_pipeline.vault.token_vault import check_readable
from ig_pipeline.web.access import AddressRefusedError, check_exposure, check_ui_exposure
from ig_pipeline.web.origins import host_of

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """`subject` is what was looked at, `detail` what was seen, `advice` what to do; no secrets in any of them."""

    subject: str
    status: Status
    detail: str
    advice: str = ""


def ok(subject: str, detail: str) -> Finding:
    """All is well."""
    return Finding(subject, "ok", detail)


def warn(subject: str, detail: str, advice: str) -> Finding:
    """It works, but somebody should look."""
    return Finding(subject, "warn", detail, advice)


def fail(subject: str, detail: str, advice: str) -> Finding:
    """It cannot work so."""
    return Finding(subject, "fail", detail, advice)


# A year of an account is 2 MB; the rest is for Dagster's event log and for media files.
_SCARCE_BYTES = 1_000_000_000
_KEYS = "keys"


def check_folder(settings: Settings) -> Finding:
    """The data folder can be written and has room."""
    subject, home = "data folder", settings.home
    existing = next(path for path in (home, *home.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        return fail(
            subject, f"{existing} cannot be written", "Change its owner, or set IG_PIPELINE_DATA_DIR to another folder."
        )
    if exposed := _open_to_others(settings):
        names = " and ".join(map(str, exposed))
        command = f"chmod -R go= {' '.join(shlex.quote(str(path)) for path in exposed)}"
        return warn(subject, f"{names} can be read by others on this machine", command)
    free = shutil.disk_usage(existing).free
    room = f"{free / 1e9:.1f} GB free"
    if free < _SCARCE_BYTES:
        return warn(subject, f"{home}, {room}", "Make room: media files and Dagster's event log grow here.")
    return ok(subject, f"{home}, {room}" if home.is_dir() else f"{home}, made on first use, {room}")


def _open_to_others(settings: Settings) -> list[Path]:
    """What holds data and lets other users in, as releases before made it; what lies in a closed folder is closed."""
    url = sa.make_url(settings.effective_database_url.get_secret_value())
    data = [Path(url.database or "")] if url.get_backend_name() == "sqlite" else []
    with suppress(StoreError):
        store = open_store(settings)
        data += [Path(store.location)] if isinstance(store, LocalFolder) else []
    kept = [settings.home, *(path for path in data if not path.resolve().is_relative_to(settings.home))]
    return [path for path in kept if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077]


def check_database(settings: Settings, engine: sa.Engine | None) -> Finding:
    """The database answers and its tables are those of this version. `engine` None: SQLite, not made yet."""
    subject = "database"
    if engine is None:
        return ok(subject, "SQLite, made on first use")
    name = "SQLite" if engine.dialect.name == "sqlite" else "PostgreSQL"
    try:
        pending = pending_migrations(engine)
    except DatabaseError as error:
        return fail(subject, str(error), "Check IG_PIPELINE_DATABASE_URL and that the server runs.")
    if pending:
        return warn(
            subject,
            f"{name} answers, its tables are {len(pending)} revision(s) behind",
            "`ig-pipeline up` brings them up to date, and so does any command that writes.",
        )
    return ok(subject, f"{name} answers, tables up to date ({engine.url.database})")


def check_dagster_database(url: SecretStr | None) -> Finding:
    """Dagster's own storage answers."""
    subject = "Dagster's database"
    if url is None:
        return ok(subject, "SQLite in the data folder")
    try:
        engine = open_engine(url)
        try:
            check_reachable(engine)
        finally:
            engine.dispose()
    except DatabaseError as error:
        detail = str(error).replace("IG_PIPELINE_DATABASE_URL", "IG_PIPELINE_DAGSTER_DATABASE_URL")
        return fail(subject, detail, "Check IG_PIPELINE_DAGSTER_DATABASE_URL and that the server runs.")
    return ok(subject, "PostgreSQL answers")


def check_keys(settings: Settings, engine: sa.Engine | None) -> Finding:
    """There is a key ring, nobody else may read it, it opens every stored token, and all who need it have it."""
    path = key_path(settings)
    if not settings.encryption_keys and not path.exists():
        return _missing_keys(path, engine)
    try:
        opened = _open_all(engine, KeyRing.from_settings(settings))
    except (KeyRingError, OSError) as error:
        return fail(_KEYS, str(error), "Put the missing key back; the first key writes, all keys read.")
    if settings.encryption_keys:
        return ok(_KEYS, f"{len(settings.encryption_keys)} from IG_PIPELINE_ENCRYPTION_KEYS; {opened}")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return warn(_KEYS, f"{path} can be read by others", f"chmod 600 {path}")
    if _is_shared(engine):
        return warn(
            _KEYS,
            f"{path}; {opened}; a second host on this PostgreSQL would make another key and not open these tokens",
            "Set IG_PIPELINE_ENCRYPTION_KEYS on every host to the keys in this file (its lines, comma-separated).",
        )
    return ok(_KEYS, f"{path}; {opened}; back it up")


def _missing_keys(path: Path, engine: sa.Engine | None) -> Finding:
    if _has_tokens(engine):
        return fail(
            _KEYS,
            f"{path} is missing, and tokens were encrypted with it",
            "Restore the file from your backup; without it those accounts have to be connected again.",
        )
    if _is_shared(engine):
        return warn(
            _KEYS,
            f"none yet: each host would make one of its own in {path}, and PostgreSQL may serve several",
            "Put one key (`ig-pipeline keys new`) into IG_PIPELINE_ENCRYPTION_KEYS on every host.",
        )
    return ok(_KEYS, f"{path}, made on first use")


def _is_shared(engine: sa.Engine | None) -> bool:
    """Whether other hosts may work on the same rows, without this one's files."""
    return engine is not None and engine.dialect.name == "postgresql"


def check_ports(ports: dict[int, tuple[str, str]]) -> Iterator[Finding]:
    """`ports`: number → what would listen there, and the option that chooses another."""
    for port, (what, other) in ports.items():
        subject = f"port {port}"
        if is_free("127.0.0.1", port):
            yield ok(subject, f"free for {what}")
        else:
            yield warn(
                subject,
                f"in use, wanted by {what}",
                f"Fine if that is {what} already; otherwise choose another: {other}.",
            )


def existing_engine(settings: Settings) -> sa.Engine | None:
    """The database, or None for a SQLite file that is not there yet. Raises `DatabaseUrlError`."""
    url = sa.make_url(settings.effective_database_url.get_secret_value()) if settings.database_url is None else None
    if url is not None and url.database and not Path(url.database).exists():
        return None
    return open_engine(settings.effective_database_url)


def _has_tokens(engine: sa.Engine | None) -> bool:
    if engine is None:
        return False
    try:
        with reading(engine) as db:
            return bool(all_with_tokens(db))
    except (DatabaseError, sa.exc.SQLAlchemyError):
        return False  # the database's own line tells why


def _open_all(engine: sa.Engine | None, ring: KeyRing) -> str:
    if engine is None:
        return "no token stored yet"
    try:
        with reading(engine) as db:
            count = check_readable(db, ring)
    except (DatabaseError, sa.exc.SQLAlchemyError):
        return "tokens not looked at"  # the database's own line tells why
    return f"{count} token(s), each opens" if count else "no token stored yet"


_WEB, _UI, _PROXY, _LINKS = "web service", "Dagster's UI", "reverse proxy", "start links"


def check_web(settings: Settings) -> Iterator[Finding]:
    """Each service starts with these settings, and limits fall on those who deserve them."""
    try:
        check_exposure(settings)
    except AddressRefusedError as error:
        yield fail(_WEB, str(error), "Set IG_PIPELINE_API_TOKEN, or make it this machine's alone.")
    else:
        who = "its token" if settings.api_token else "nothing: it is for this machine alone"
        yield ok(_WEB, f"{settings.effective_public_url}, reading needs {who}")
    try:
        check_ui_exposure(settings, "127.0.0.1")
    except AddressRefusedError as error:
        yield fail(_UI, str(error), "Set IG_PIPELINE_ADMIN_TOKEN, or leave IG_PIPELINE_UI_URL empty.")
    else:
        who = "asks for the admin token" if settings.admin_token else "asks for nothing, and listens on loopback only"
        yield ok(_UI, who)
    yield from _check_public(settings)


def _check_public(settings: Settings) -> Iterator[Finding]:
    """What a service that people reach from elsewhere needs besides."""
    if settings.public_url is None or is_loopback(host_of(settings.public_url)):
        return
    if not settings.public_url.startswith("https://"):
        yield warn(_WEB, f"{settings.public_url} is without TLS", "Put a reverse proxy with TLS before it.")
    if not settings.proxy_addresses:
        yield warn(
            _PROXY,
            "people reach the web service at another address than it listens on, and no proxy is named",
            "Set IG_PIPELINE_PROXY_ADDRESSES to the proxy's: without it, all its callers share their limits.",
        )
    else:
        yield ok(_PROXY, settings.proxy_addresses)
    if settings.start_link_key is None:
        yield warn(
            _LINKS,
            "your app cannot sign any, so people confirm their address on a page first",
            "Set IG_PIPELINE_START_LINK_KEY (`openssl rand -hex 32`); docs/web_service.md has the three lines.",
        )
    else:
        yield ok(_LINKS, "signed by your app")
