"""All that is held about a person, wherever it stands: to hand it out, or to erase it.

Tables are found by their columns (`u_id`, `account_id`, `account_key`), in the database itself, so that one added later
is not forgotten, by a process either that never loaded the stream it belongs to.
Files and Dagster's own storage are not rows: whoever erases them does so elsewhere.
"""

import json
from collections.abc import Iterator
from datetime import date, datetime

import sqlalchemy as sa

from ig_pipeline.storage.connections import Connection
from ig_pipeline.storage.database import reading, snapshot
from ig_pipeline.storage.tables import metadata, oauth_states, user_tokens, users

# Secrets and the machinery around them: no use to the person, and a token in an export is a leak.
_SECRETS = {"access_token", "lease_owner", "lease_until", "token_version", "state_hash", "browser_hash"}
_KEEP_WHILE_FILES_REMAIN = {"media_items", "user_tokens", "users"}


def tables_of(db: sa.Connection) -> list[sa.Table]:
    """Our tables, a table before those that refer to it, and any other of the database that holds accounts' rows."""
    others = sa.inspect(db).get_multi_columns()
    holding = sorted(
        name
        for (_, name), columns in others.items()
        if name not in metadata.tables and {"u_id", "account_id"} <= {column["name"] for column in columns}
    )
    found = sa.MetaData()
    return [
        *metadata.sorted_tables,
        *(sa.Table(name, found, autoload_with=db, resolve_fks=False) for name in holding),
    ]


def export(engine: sa.Engine, email: str) -> Iterator[str] | None:
    """Every row about the person behind `email`, by table, without secrets: a JSON document in pieces, a row a line.

    None: nothing is held about them. However much is held, only a few rows of it are in memory. The pieces are of one
    moment; a connection is open until the last is taken or the iterator is closed. Raises `DatabaseError`.
    """
    email = email.strip().lower()
    with reading(engine) as db:
        if not is_held(db, email):
            return None
        u_id = db.execute(sa.select(users.c.u_id).where(users.c.email == email)).scalar_one_or_none()
    return _document(engine, u_id, email)


def _document(engine: sa.Engine, u_id: int | None, email: str) -> Iterator[str]:
    yield f'{{"email": {_json(email)}, "tables": {{'
    between_tables = "\n"
    with snapshot(engine) as db:
        for table in tables_of(db):
            condition = _about_person(table, u_id, email)
            if condition is None:
                continue
            yield f"{between_tables}{_json(table.name)}: ["
            between_tables, between_rows = ",\n", "\n"
            shown = [column for column in table.columns if column.name not in _SECRETS]
            for row in db.execute(sa.select(*shown).where(condition).order_by(*table.primary_key.columns)).mappings():
                yield between_rows + _json(dict(row))
                between_rows = ",\n"
            yield "]"
    yield "\n}}\n"


def is_held(db: sa.Connection, email: str) -> bool:
    """Whether anything is held about `email`: a user, or a login that was only begun."""
    found = (sa.select(table.c.email).where(table.c.email == email.strip().lower()) for table in (users, oauth_states))
    return any(db.execute(statement).first() for statement in found)


def erase_account(db: sa.Connection, connection: Connection) -> dict[str, int]:
    """Delete the history of one account of one user; table → rows. Rows that lead to files stay for now."""
    return _erase(db, connection.u_id, connection.account_id, connection.account_key, keep=_KEEP_WHILE_FILES_REMAIN)


def erase_known(db: sa.Connection, u_id: int, account_id: str, account_key: str, email: str) -> dict[str, int]:
    """Delete whatever is left of an account, and its user when it was their last one; table → rows."""
    erased = _erase(db, u_id, account_id, account_key, keep=set())
    for name, count in erase_person(db, email).items():
        erased[name] = erased.get(name, 0) + count
    return erased


def _erase(db: sa.Connection, u_id: int, account_id: str, account_key: str, *, keep: set[str]) -> dict[str, int]:
    erased: dict[str, int] = {}
    for table in reversed(tables_of(db)):
        condition = _about_account(table, u_id, account_id, account_key)
        if condition is None or table.name in keep:
            continue
        count = db.execute(sa.delete(table).where(condition)).rowcount
        if count:
            erased[table.name] = count
    return erased


def erase_person(db: sa.Connection, email: str) -> dict[str, int]:
    """Delete the logins a person began, and their user once it has no account any more; table → rows."""
    email = email.strip().lower()
    states = db.execute(sa.delete(oauth_states).where(oauth_states.c.email == email)).rowcount
    remaining = sa.select(user_tokens.c.id).where(user_tokens.c.u_id == users.c.u_id).exists()
    person = db.execute(sa.delete(users).where(users.c.email == email, ~remaining)).rowcount
    return {name: count for name, count in (("oauth_states", states), ("users", person)) if count}


def _about_person(table: sa.Table, u_id: int | None, email: str) -> sa.ColumnElement[bool] | None:
    if table is oauth_states:
        return table.c.email == email
    if u_id is None:  # a login that was only begun
        return None
    if "u_id" in table.c:
        return table.c.u_id == u_id
    mine = user_tokens.c.u_id == u_id
    if "account_key" in table.c:
        return table.c.account_key.in_(sa.select(user_tokens.c.account_key).where(mine))
    if "connection_id" in table.c:
        return table.c.connection_id.in_(sa.select(user_tokens.c.id).where(mine))
    return None


def _about_account(table: sa.Table, u_id: int, account_id: str, account_key: str) -> sa.ColumnElement[bool] | None:
    if "account_id" in table.c and "u_id" in table.c:
        return sa.and_(table.c.u_id == u_id, table.c.account_id == account_id)
    if "account_key" in table.c:
        return table.c.account_key == account_key
    return None


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)


def _plain(value: object) -> str:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    raise TypeError(f"a column of type {type(value).__name__} has no form in an export")
