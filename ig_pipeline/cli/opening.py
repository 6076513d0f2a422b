"""How commands open the database: brought up to date first, closed at the end.

Commands that only look around (`doctor`, `config`) do without.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from ig_pipeline.settings import Settings
from ig_pipeline.storage.database import migrate, open_engine


@contextmanager
def open_database(settings: Settings) -> Iterator[sa.Engine]:
    """The migrated database of the settings. Raises `DatabaseError`."""
    engine = open_engine(settings.effective_database_url)
    try:
        migrate(engine)
        yield engine
    finally:
        engine.dispose()
