"""Looks for words in everything a deployment has written: files, rows of databases, a bucket; in every spelling."""

import base64
import json
import zlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from ig_pipeline.media_store.store import Store
from ig_pipeline_tests.postgres import PostgresServer


class Search:
    """Words and the ways they may be written: plain, in JSON (twice), in a URL, in base64 at each offset, in UTF-16."""

    def __init__(self, words: Iterable[str]) -> None:
        self.spellings: dict[bytes, str] = {}
        for word in words:
            escaped = json.dumps(word)[1:-1]
            texts = [word, escaped, json.dumps(escaped)[1:-1], quote(word), quote(word, safe="")]
            for text in texts:
                self.spellings[text.encode()] = word
            self.spellings[word.encode("utf-16-le")] = word
            for offset in range(3):
                # Without what the letters before and after share with the word's own.
                coded = base64.b64encode(b"\0" * offset + word.encode()).rstrip(b"=")
                self.spellings[coded[(0, 2, 3)[offset] : len(coded) - 1]] = word

    def in_bytes(self, content: bytes) -> set[str]:
        """The words in `content`, also when it is compressed."""
        found = {word for spelling, word in self.spellings.items() if spelling in content}
        try:
            return found | self.in_bytes(zlib.decompress(content))
        except zlib.error:
            return found

    def in_files(self, folder: Path) -> Iterator[str]:
        """Where in names and contents below `folder`."""
        for path in sorted(folder.rglob("*")):
            content = path.read_bytes() if path.is_file() else b""
            for word in sorted(self.in_bytes(str(path.relative_to(folder)).encode()) | self.in_bytes(content)):
                yield f"{word} in {path.relative_to(folder)}"

    def in_rows(self, url: str) -> Iterator[str]:
        """Where in any column of any table of any schema, whatever its type."""
        engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg2:"))
        with engine.connect() as db:
            looked = sa.inspect(db)
            for schema in looked.get_schema_names():
                for table in looked.get_table_names(schema=schema):
                    name = f"{schema}.{table}"
                    for row in db.execute(sa.text(f'select * from "{schema}"."{table}"')):
                        for column, value in row._mapping.items():
                            for word in self.in_bytes(_bytes(value)):
                                yield f"{word} in {name}.{column}: {str(value)[:300]}"
        engine.dispose()

    def in_store(self, store: Store) -> Iterator[str]:
        """Where in keys and contents of the media store."""
        for key in store.keys("instagram_backfill"):
            for word in self.in_bytes(key.encode()) | self.in_bytes(store.read(key)):
                yield f"{word} in {key}"


def folder_of(server: PostgresServer, url: str) -> Path:
    """Where the tables and indexes of a database lie, once everything is written to them.

    The server's log of changes lies elsewhere: it is recycled by the server and none of ours.
    """
    server.execute("checkpoint")
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg2:"))
    with engine.connect() as db:
        number = db.execute(sa.text("select oid from pg_database where datname = current_database()")).scalar_one()
    engine.dispose()
    return server.data / "base" / str(number)


def databases_in(folder: Path) -> list[str]:
    """URLs of the SQLite databases below `folder`."""
    return [f"sqlite:///{path}" for path in folder.rglob("*.db") if path.read_bytes()[:6] == b"SQLite"]


def _bytes(value: object) -> bytes:
    if isinstance(value, (bytes, memoryview)):
        return bytes(value)
    return value.encode() if isinstance(value, str) else json.dumps(value, default=str).encode()


def everywhere(
    search: Search, folder: Path, urls: Collection[str], server: PostgresServer | None, store: Store
) -> list[str]:
    """Files below `folder`, rows of `urls` and of SQLite below it, files of `urls` at `server`, the store."""
    found = [*search.in_files(folder), *search.in_store(store)]
    for url in [*urls, *databases_in(folder)]:
        found += search.in_rows(url)
    if server is not None:
        for url in urls:
            found += search.in_files(folder_of(server, url))
    return found
