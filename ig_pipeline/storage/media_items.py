"""`media_items`: the library's index. One row per file of a post, never changed once written; equal bytes share a path.

Rows only: where the paths lead is the store's matter, which file becomes a row is decided in `sync.media_files`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from ig_pipeline.storage.tables import media_items as table
from ig_pipeline.storage.tables import users
from ig_pipeline.storage.upsert import WriteMismatchError, insert_into

CATEGORY = "instagram_backfill"
# Ids in one IN (…): far below SQLite's 32,766 variables.
_CHUNK = 5_000


@dataclass(frozen=True)
class Indexed:
    """What became of a row: the path its media id has in the index, and whether this call made it."""

    media_id: str
    path: str
    new: bool


@dataclass(frozen=True)
class Contents:
    """What a library has: media ids, and the path of each hash (SHA-256)."""

    media_ids: set[str]
    paths: dict[str, str]


@dataclass(frozen=True)
class LibrarySize:
    """How much there is: rows, distinct files, and the bytes of those files."""

    items: int
    files: int
    bytes: int


def index(db: sa.Connection, u_id: int, rows: Sequence[Mapping[str, Any]]) -> list[Indexed]:
    """Add `rows` (all columns but `id`) of one user; a media id that is known keeps its row as it is.

    A row whose hash is known gets path and name of the file that is there. Two processes that index one user take
    turns, so that bytes that both just stored end in one file: the caller removes its own where `path` differs.
    The answer is in the order of `rows`.
    Raises `WriteMismatchError`.
    """
    if not rows:
        return []
    if db.dialect.name == "postgresql":  # SQLite's writers take turns anyway
        db.execute(sa.select(users.c.u_id).where(users.c.u_id == u_id).with_for_update())
    paths = _paths_by_hash(db, u_id, {row["file_hash"] for row in rows})
    for row in rows:
        paths.setdefault(row["file_hash"], row["file_path"])
    placed = [{**row, "u_id": u_id, **_place(paths[row["file_hash"]])} for row in rows]
    statement = insert_into(db, table).on_conflict_do_nothing(index_elements=["u_id", "instagram_media_id"])
    made = set(db.execute(statement.returning(table.c.instagram_media_id), placed).scalars())
    media_ids = [str(row["instagram_media_id"]) for row in rows]
    there = _paths_by_id(db, u_id, media_ids)
    if missing := [media_id for media_id in media_ids if media_id not in there]:
        raise WriteMismatchError(f"media_items: sent {len(rows)} rows, {len(missing)} are not there afterwards.")
    return [Indexed(media_id, there[media_id], media_id in made) for media_id in media_ids]


def contents(db: sa.Connection, u_id: int) -> Contents:
    """All media ids and hashes of the user's library: some 200 bytes a file, read once a backfill."""
    statement = sa.select(table.c.instagram_media_id, table.c.file_hash, table.c.file_path).where(table.c.u_id == u_id)
    ids: set[str] = set()
    paths: dict[str, str] = {}
    for media_id, file_hash, path in db.execute(statement):
        ids.add(media_id)
        paths[file_hash] = path
    return Contents(ids, paths)


def paths_of_account_alone(db: sa.Connection, u_id: int, account_id: str) -> list[str]:
    """Paths that only this account's rows lead to: what may be deleted with it."""
    others = sa.select(table.c.file_path).where(table.c.u_id == u_id, table.c.account_id != account_id)
    statement = (
        sa.select(table.c.file_path)
        .where(table.c.u_id == u_id, table.c.account_id == account_id, table.c.file_path.not_in(others))
        .distinct()
    )
    return list(db.execute(statement).scalars())


def lodgers(db: sa.Connection, u_id: int, account_id: str, folder: str) -> list[dict[str, Any]]:
    """A row of each path below `folder` that leads a row of another account there: equal bytes are stored once."""
    statement = (
        sa.select(table)
        .where(
            table.c.u_id == u_id,
            table.c.account_id != account_id,
            table.c.file_path.startswith(f"{folder}/", autoescape=True),
        )
        .order_by(table.c.id)
    )
    first = {row.file_path: dict(row._mapping) for row in reversed(db.execute(statement).all())}
    return list(first.values())


def move(db: sa.Connection, u_id: int, old: str, new: str) -> None:
    """Let every row that leads to `old` lead to `new`."""
    db.execute(sa.update(table).where(table.c.u_id == u_id, table.c.file_path == old).values(**_place(new)))


def shown_of_day(db: sa.Connection, u_id: int, account_id: str, day: date, *, limit: int) -> list[str]:
    """Paths of some files posted on a Pacific day: pictures before videos, the oldest first."""
    statement = (
        sa.select(table.c.file_path)
        .where(
            table.c.u_id == u_id,
            table.c.account_id == account_id,
            table.c.date == day,
        )
        .order_by(table.c.media_type, table.c.posted_at, table.c.instagram_media_id)
        .limit(limit)
    )
    return list(db.execute(statement).scalars())


def posts_with_files(db: sa.Connection, u_id: int, account_id: str) -> set[str]:
    """Media ids of posts of which the library has a file; an album's children count for the album."""
    mine = sa.and_(table.c.u_id == u_id, table.c.account_id == account_id)
    return set(db.execute(sa.select(table.c.source_identifier).where(mine).distinct()).scalars())


def first_file_of_post(db: sa.Connection, u_id: int, account_id: str, post_id: str) -> str | None:
    """Path of the file that shows a post best: its first picture, else its first file. None: there is none."""
    statement = (
        sa.select(table.c.file_path)
        .where(table.c.u_id == u_id, table.c.account_id == account_id, table.c.source_identifier == post_id)
        .order_by(sa.case((table.c.mime_type.startswith("image/"), 0), else_=1), table.c.id)
        .limit(1)
    )
    return db.execute(statement).scalar_one_or_none()


def size(db: sa.Connection, *, u_id: int | None = None, account_id: str | None = None) -> LibrarySize:
    """How large the library is, of all users or of one."""
    conditions = [
        column == value
        for column, value in ((table.c.u_id, u_id), (table.c.account_id, account_id))
        if value is not None
    ]
    items = db.execute(sa.select(sa.func.count()).select_from(table).where(*conditions)).scalar_one()
    each = sa.select(table.c.u_id, table.c.file_path, table.c.file_size_bytes).where(*conditions).distinct().subquery()
    files, total = db.execute(sa.select(sa.func.count(), sa.func.sum(each.c.file_size_bytes)).select_from(each)).one()
    return LibrarySize(int(items), int(files), int(total or 0))


def _place(path: str) -> dict[str, str]:
    return {"file_path": path, "file_name": path.rpartition("/")[2]}


def _paths_by_hash(db: sa.Connection, u_id: int, hashes: Collection[str]) -> dict[str, str]:
    statement = sa.select(table.c.file_hash, table.c.file_path).where(
        table.c.u_id == u_id, table.c.file_hash.in_(sorted(hashes))
    )
    return {file_hash: path for file_hash, path in db.execute(statement)}  # noqa: C416 - rows are no pairs to mypy


def _paths_by_id(db: sa.Connection, u_id: int, media_ids: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for start in range(0, len(media_ids), _CHUNK):
        statement = sa.select(table.c.instagram_media_id, table.c.file_path).where(
            table.c.u_id == u_id, table.c.instagram_media_id.in_(media_ids[start : start + _CHUNK])
        )
        found.update((media_id, path) for media_id, path in db.execute(statement))
    return found
