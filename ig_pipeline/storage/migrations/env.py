"""Alembic's entry: runs revisions on the connection that `storage.database` hands over.

There is no offline mode and no URL here; `storage.database.migrate` is the only caller.
"""

from alembic import context

from ig_pipeline.storage.database import VERSION_TABLE
from ig_pipeline.storage.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,  # SQLite alters a table by copying it
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
