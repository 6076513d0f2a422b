"""All that is held about a person, wherever it stands: to hand it out, or to erase it.

Tables are found by their columns (`u_id`, `account_id`, `account_key`), so that one added later is not forgotten.
Files and Dagster's own storage are not rows: whoever erases them does so elsewhere.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from ig_pipeline.storage.connections import Connection, list_connections
from ig_pipeline.storage.tables import metadata, oauth_states, user_tokens, users

Json = dict[str, Any]

# Secrets and the machinery around them: no use to the person, and a token in an export is a leak.
_SECRETS = {"access_token", "lease_owner", "lease_until", "token_version", "state_hash", "browser_hash"}
_KEEP_WHILE_FILES_REMAIN = {"media_items", "user_tokens", "users"}


def export(db: sa.Connection, email: str) -> Json | None:
    """Every row about the person behind `email`, by table, without secrets. None: nobody has this email."""
    email = email.strip().lower()
    u_id = db.execute(sa.select(users.c.u_id).where(users.c.email == email)).scalar_one_or_none()
    if u_id is None:
        return None
    keys = [connection.account_key for connection in list_connections(db, email=email)]
    tables: dict[str, list[Json]] = {}
    for table in metadata.sorted_tables:
        condition = _about_person(table, u_id, email, keys)
        if condition is None:
            continue
        shown = [column for column in table.columns if column.name not in _SECRETS]
        rows = db.execute(sa.select(*shown).where(condition).order_by(*table.primary_key.columns))
        tables[table.name] = [{name: _plain(value) for name, value in row._mapping.items()} for row in rows]
    return {"email": email, "tables": tables}


def erase_account(db: sa.Connection, connection: Connection, *, files_remain: bool = False) -> dict[str, int]:
    """Delete the rows of one account of one user; table → rows. `files_remain` keeps those that lead to files."""
    erased: dict[str, int] = {}
    if db.dialect.name == "sqlite":
        db.exec_driver_sql("pragma secure_delete = on")
    for table in reversed(metadata.sorted_tables):
        condition = _about_account(table, connection)
        if condition is None or (files_remain and table.name in _KEEP_WHILE_FILES_REMAIN):
            continue
        count = db.execute(sa.delete(table).where(condition)).rowcount
        if count:
            erased[table.name] = count
    return erased


def erase_person(db: sa.Connection, u_id: int, email: str) -> dict[str, int]:
    """Delete the user and what is left of them, once they have no account any more; table → rows."""
    states = db.execute(sa.delete(oauth_states).where(oauth_states.c.email == email)).rowcount
    remaining = sa.select(user_tokens.c.id).where(user_tokens.c.u_id == u_id).exists()
    person = db.execute(sa.delete(users).where(users.c.u_id == u_id, ~remaining)).rowcount
    return {name: count for name, count in (("oauth_states", states), ("users", person)) if count}


def _about_person(table: sa.Table, u_id: int, email: str, keys: Sequence[str]) -> sa.ColumnElement[bool] | None:
    if "u_id" in table.c:
        return table.c.u_id == u_id
    if "account_key" in table.c:
        return table.c.account_key.in_(keys)
    if table is oauth_states:
        return table.c.email == email
    return None


def _about_account(table: sa.Table, connection: Connection) -> sa.ColumnElement[bool] | None:
    conditions = list(_account_columns(table, connection))
    return sa.and_(*conditions) if conditions else None


def _account_columns(table: sa.Table, connection: Connection) -> Iterator[sa.ColumnElement[bool]]:
    if "account_id" in table.c and "u_id" in table.c:
        yield table.c.u_id == connection.u_id
        yield table.c.account_id == connection.account_id
    elif "account_key" in table.c:
        yield table.c.account_key == connection.account_key


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, (date, datetime)) else value
