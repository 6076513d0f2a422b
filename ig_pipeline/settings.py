"""Every setting: its name, default and help, in one frozen object.

Read when `load_settings` is called, never at import. No other module reads the environment.
Secrets are `SecretStr`: they print as stars and have to be asked for by name.
"""

import ipaddress
import logging
import os
import re
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator

log = logging.getLogger(__name__)

PREFIX = "IG_PIPELINE_"

SHORTEST_TOKEN = 22
"""Characters of a token of ours: 128 random bits in base64. Guessing it meets a rate limit besides."""

SHORTEST_KEY = 32
"""Characters of a key that signs what others see: they may try keys without asking us."""

Source = Literal["environment", ".env"]


class SettingsError(ValueError):
    """A setting has a value that cannot be used; the message names it and says what would be right."""


_SECRETS_GO_TO = ("graph_url", "telegram_url")


class Settings(BaseModel):
    """The settings of one process. Field `x_y` is the environment variable `IG_PIPELINE_X_Y`."""

    # A refused secret must not be echoed (docs/architecture.md#secrets).
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    data_dir: Path = Field(
        Path(".ig_pipeline"),
        description="Folder of everything embedded: database, keys, media, Dagster's home.",
    )
    database_url: SecretStr | None = Field(
        None,
        description="Database, e.g. postgresql://user:password@host/name. Empty: SQLite in the data folder.",
    )
    dagster_database_url: SecretStr | None = Field(
        None, description="PostgreSQL of Dagster's own storage. Empty: SQLite in the data folder."
    )
    graph_url: str | None = Field(
        None,
        description=(
            "One address for every Meta host, e.g. the simulator's http://127.0.0.1:8990; tokens go there, so https:// "
            "unless on this machine. Empty: Meta."
        ),
    )
    graph_version: str = Field("v25.0", description="Graph API version, as in the path.", pattern=r"^v\d{1,3}\.\d$")
    login: Literal["facebook", "instagram"] = Field(
        "facebook", description="Login that new connections use: facebook (graph.facebook.com) or instagram."
    )
    app_id: str | None = Field(None, description="Id of the Meta app.")
    app_secret: SecretStr | None = Field(None, description="Secret of the Meta app.")
    encryption_keys: tuple[SecretStr, ...] = Field(
        (),
        description=(
            "Keys for tokens at rest, 32 bytes in URL-safe base64, comma-separated: the first writes, all read. "
            "Empty: a key file in the data folder, made on first use."
        ),
    )
    initial_backfill_days: int = Field(30, description="Days of history fetched for a new connection.", ge=1, le=365)
    nightly_window_days: int = Field(
        3,
        description="Newest complete days fetched again every night: Meta settles for 48 h.",
        ge=1,
        le=30,
    )
    accounts_per_run: int = Field(100, description="Accounts in one nightly run at most.", ge=1, le=1000)
    first_day: date = Field(
        date(2025, 1, 1), description="First day of the grid; earlier days cannot be asked for in Dagster."
    )
    follows_and_unfollows: bool = Field(
        False, description="Fetch follows and unfollows too: one more call per account and day."
    )
    media_url: str | None = Field(
        None,
        description="Where media files go: a folder, s3://bucket/prefix, gs://… or az://…. Empty: the data folder.",
    )
    max_media_bytes: int = Field(
        1_000_000_000, description="Largest media file that is downloaded, in bytes.", ge=1_000
    )
    media_hosts: tuple[str, ...] = Field(
        ("cdninstagram.com", "fbcdn.net"),
        description="Hosts media files may come from, with their subdomains, comma-separated.",
    )
    rewrite_after_deletion: bool = Field(
        False,
        description=(
            "After a deletion rewrite PostgreSQL's tables (VACUUM FULL), each locked meanwhile. false: plain VACUUM; "
            "no query finds deleted rows, their bytes lie in the files' free space until it is used again."
        ),
    )
    web_host: str = Field(
        "127.0.0.1",
        description="Address the web service listens on; any but loopback needs IG_PIPELINE_API_TOKEN.",
    )
    web_port: int = Field(8080, description="Port the web service listens on.", ge=0, le=65535)
    public_url: str | None = Field(
        None,
        description=(
            "Address people reach the web service at, e.g. https://insights.example.com. With Meta, register this plus "
            "/v1/connections/instagram/callback as redirect URI. Empty: where it listens."
        ),
    )
    ui_url: str | None = Field(
        None,
        description=(
            "Address operators reach Dagster's UI at when it is not where it listens, e.g. "
            "https://dagster.example.com. Needs IG_PIPELINE_ADMIN_TOKEN."
        ),
    )
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description=(
            "More names, comma-separated, that requests may call the web service and Dagster's UI by, e.g. a "
            "container's. Used where a token is needed; loopback and the two addresses above are always allowed."
        ),
    )
    proxy_addresses: str = Field(
        "", description="Reverse proxies, comma-separated, whose X-Forwarded-For names the caller. Empty: none."
    )
    api_token: SecretStr | None = Field(
        None,
        description=(
            "Token for reading over HTTP, 22 characters or more. Empty: anyone on this machine may read, and no "
            "one else reaches the service."
        ),
    )
    admin_token: SecretStr | None = Field(
        None,
        description=(
            "Token for syncs, disconnecting and deletions over HTTP, and for signing in to Dagster's UI, 22 "
            "characters or more. Empty: no one may, and the UI is for this machine alone."
        ),
    )
    start_link_key: SecretStr | None = Field(
        None,
        description=(
            "Key your app signs start links with, 32 characters or more; docs/web_service.md has the three lines. "
            "Empty: people are asked on a page whether the address is theirs."
        ),
    )
    public_requests_per_minute: int = Field(
        120,
        description=(
            "Requests a minute of each kind (guesses, logins, look-ups) that one address, or IPv6 network, may make "
            "without proving who it is."
        ),
        ge=1,
    )
    telegram_token: SecretStr | None = Field(None, description="Token of the Telegram bot. Empty: there is no bot.")
    telegram_chats: tuple[int, ...] = Field(
        (), description="Ids of the Telegram chats the bot serves, comma-separated. Empty: none."
    )
    telegram_url: str = Field("https://api.telegram.org", description="Address of Telegram's Bot API.")

    @field_validator("encryption_keys", "media_hosts", "telegram_chats", "allowed_hosts", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("media_hosts")
    @classmethod
    def _check_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        hosts = tuple(host.lower().strip(".") for host in value)
        for host in hosts:
            # A bare top-level domain would allow half the world, an address or a wildcard nothing.
            if not re.fullmatch(r"(?:[a-z0-9-]+\.)+[a-z][a-z0-9-]+", host):
                raise ValueError("must be names of hosts such as cdninstagram.com")
        return hosts

    @field_validator(*_SECRETS_GO_TO)
    @classmethod
    def _check_where_secrets_go(cls, value: str | None) -> str | None:
        if value is None:
            return None
        wrong = "must be an https:// address without user name, query and blanks (http:// within this machine only)"
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError:
            raise ValueError(wrong) from None
        host = parts.hostname or ""
        hidden = parts.username is not None or "?" in value or "#" in value or re.search(r"\s", value)
        if not host or hidden or not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))):
            raise ValueError(wrong)
        return value.rstrip("/")

    @field_validator("allowed_hosts")
    @classmethod
    def _check_allowed_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            if not re.fullmatch(r"[A-Za-z0-9._-]+|[0-9a-fA-F:.]+", host):
                raise ValueError("must be names or addresses without scheme and port, such as pipeline")
        return tuple(host.lower() for host in value)

    @field_validator("api_token", "admin_token")
    @classmethod
    def _check_token(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None:
            return None
        if len(value.get_secret_value().strip()) < SHORTEST_TOKEN:
            raise ValueError(f"is too short: {SHORTEST_TOKEN} characters at least. `openssl rand -hex 32` makes one")
        if value == info.data.get("api_token"):
            raise ValueError("is the same as IG_PIPELINE_API_TOKEN, whose holders may only read. Make another")
        return value

    @field_validator("start_link_key")
    @classmethod
    def _check_start_link_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().strip()) < SHORTEST_KEY:
            raise ValueError(f"is too short: {SHORTEST_KEY} characters at least. `openssl rand -hex 32` makes one")
        return value

    @field_validator("public_url", "ui_url")
    @classmethod
    def _check_public_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError:
            raise ValueError("must be an http:// or https:// address without query") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an http:// or https:// address without query")
        return value.rstrip("/")

    @property
    def effective_public_url(self) -> str:
        """`public_url`, or the address the web service listens on, without a trailing slash."""
        host = f"[{self.web_host}]" if ":" in self.web_host else self.web_host
        return self.public_url or f"http://{host}:{self.web_port}"

    @property
    def home(self) -> Path:
        """The data folder as an absolute path."""
        return self.data_dir.expanduser().resolve()

    @property
    def dagster_home(self) -> Path:
        """Dagster's home inside the data folder."""
        return self.home / "dagster"

    @property
    def dagster_storage_url(self) -> SecretStr | None:
        """`dagster_database_url` with its driver named: for a plain `postgresql://` SQLAlchemy 2.1 takes psycopg 3."""
        if self.dagster_database_url is None:
            return None
        url = self.dagster_database_url.get_secret_value()
        for scheme in ("postgresql://", "postgres://"):
            if url.startswith(scheme):
                return SecretStr(f"postgresql+psycopg2://{url.removeprefix(scheme)}")
        return self.dagster_database_url

    @property
    def effective_database_url(self) -> SecretStr:
        """`database_url`, or SQLite in the data folder. SQLAlchemy form."""
        return self.database_url or SecretStr(f"sqlite:///{self.home / 'ig_pipeline.db'}")


def load_settings(environ: Mapping[str, str] | None = None, *, env_file: Path | None = Path(".env")) -> Settings:
    """Read the settings from `environ` (default: the process's) over those in `env_file` (default: ./.env).

    Raises `SettingsError`, one line per wrong value: its name, what is wrong, what the setting is for.
    """
    found = _given(environ, env_file)
    given = {name: value for name, (value, _) in found.items()}
    unknown = sorted(set(given) - set(Settings.model_fields))
    if unknown:
        names = ", ".join(PREFIX + name.upper() for name in unknown)
        raise SettingsError(f"No such setting: {names}. `ig-pipeline config show` lists them all.")
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        raise SettingsError("\n".join(_explain(str(item["loc"][0]), item["msg"]) for item in problems)) from None
    for name in _SECRETS_GO_TO:
        if name in found and found[name][1] == ".env" and env_file is not None:
            _say_where_secrets_go(f"{PREFIX}{name.upper()}", env_file.resolve(), given[name].strip())
    return settings


@cache
def _say_where_secrets_go(name: str, file: Path, url: str) -> None:
    """Once per process: whoever works in a folder need not have written the file that lies there."""
    log.warning("%s is set by %s: secrets are sent to %s.", name, file, url)


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine alone. A name other than localhost is not: it may resolve to anything."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def secret_settings() -> frozenset[str]:
    """The fields whose values are secret."""
    return frozenset(name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation))


def setting_sources(
    environ: Mapping[str, str] | None = None, *, env_file: Path | None = Path(".env")
) -> dict[str, Source]:
    """Field → where its value comes from, for every setting that is not at its default."""
    return {name: source for name, (_, source) in _given(environ, env_file).items()}


def read_secret(
    name: str, environ: Mapping[str, str] | None = None, *, env_file: Path | None = Path(".env")
) -> SecretStr | None:
    """A secret that is no setting, from the environment or `env_file`; None when it is nowhere or empty."""
    value, _ = _everything(environ, env_file).get(name, (None, "environment"))
    return SecretStr(value.strip()) if value and value.strip() else None


def _given(environ: Mapping[str, str] | None, env_file: Path | None) -> dict[str, tuple[str, Source]]:
    return {
        name.removeprefix(PREFIX).lower(): (value, source)
        for name, (value, source) in _everything(environ, env_file).items()
        if name.startswith(PREFIX) and value and value.strip()
    }


def _everything(environ: Mapping[str, str] | None, env_file: Path | None) -> dict[str, tuple[str | None, Source]]:
    in_file = dotenv_values(env_file) if env_file is not None and env_file.is_file() else {}
    values: dict[str, tuple[str | None, Source]] = {name: (value, ".env") for name, value in in_file.items()}
    in_process = os.environ if environ is None else environ
    for name, value in in_process.items():
        values[name] = (value, "environment")
    return values


def _explain(field: str, message: str) -> str:
    return f"{PREFIX}{field.upper()}: {message}. {Settings.model_fields[field].description}"
