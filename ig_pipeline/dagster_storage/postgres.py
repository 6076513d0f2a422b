"""Dagster's event log in PostgreSQL."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import sqlalchemy as sa
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import AssetKeyTable
from dagster._serdes import ConfigurableClassData
from dagster_postgres.auth import PgTokenProvider
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.utils import create_pg_engine, get_token_provider_from_config, pg_url_from_config
from sqlalchemy.dialects import postgresql

from ig_pipeline.dagster_storage.gathering import GatheringEventLogStorage

_RECYCLED = 600
"""Seconds after which a connection is made anew: servers and balancers between close idle ones."""


class BatchingPostgresEventLogStorage(GatheringEventLogStorage, PostgresEventLogStorage):
    """The tables of `PostgresEventLogStorage`, with one connection kept and asset events written in batches.

    Configured as the shipped one, by `postgres_url` or `postgres_db`.
    """

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
        token_provider: PgTokenProvider | None = None,
    ) -> None:
        self.start_gathering()
        super().__init__(postgres_url, should_autocreate_tables, inst_data, token_provider)
        self._engine = create_pg_engine(
            self.postgres_url,
            self._token_provider,
            isolation_level="AUTOCOMMIT",
            # One at a time in a run; the webserver replaces this by a pool of its own.
            pool_size=1,
            max_overflow=20,
            pool_recycle=_RECYCLED,
            # A server that was away in between: the shipped storage connects for each statement and never notices.
            pool_pre_ping=True,
        )

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "BatchingPostgresEventLogStorage":
        """As Dagster makes it from `dagster.yaml`."""
        return cls(
            inst_data=inst_data,
            postgres_url=pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            token_provider=get_token_provider_from_config(config_value),
        )

    def _connect(self) -> AbstractContextManager[sa.Connection]:
        self.flush()
        return super()._connect()

    def write_batch(self, events: list[EventLogEntry]) -> None:
        """All of them in one transaction."""
        tagged, described = self._has_tags, self._has_index_columns  # each looks for itself the first time
        assert tagged is not None
        assert described is not None
        rows = [self._event_to_row(event) for event in events]
        with self._transaction() as connection:
            ids = self.insert_events(connection, rows)
            self.insert_tags(connection, events, ids)
            self._upsert_assets(connection, events, ids)
        events.clear()

    def dispose(self) -> None:
        """Write what is gathered and close the connections."""
        super().dispose()
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        with super()._connect() as connection:
            real = connection.execution_options(isolation_level="READ COMMITTED")
            with real.begin():
                yield real

    def _upsert_assets(self, connection: sa.Connection, events: Sequence[EventLogEntry], ids: Sequence[int]) -> None:
        # In one order everywhere, lest two runs wait for each other's rows.
        for asset, values in sorted(self.asset_values(events, ids).items()):
            statement = postgresql.insert(AssetKeyTable).values(asset_key=asset, **values)
            connection.execute(statement.on_conflict_do_update(index_elements=["asset_key"], set_=dict(values)))
