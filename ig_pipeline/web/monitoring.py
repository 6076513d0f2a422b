"""The numbers of `/metrics`, collected from the database when they are asked for.

Runs live elsewhere and end; what they did is in the ledger, so that one address tells about all of them.
"""

from collections.abc import Iterable, Iterator

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ig_pipeline.storage import graph_calls
from ig_pipeline.storage.database import reading
from ig_pipeline.storage.tables import instagram_sync_logs as ledger
from ig_pipeline.storage.tables import sync_requests, user_tokens

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(engine: sa.Engine) -> bytes:
    """Everything, in Prometheus' text form."""
    with reading(engine) as db:
        return generate_latest(_registry(list(_families(db))))


class _Collected(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _registry(families: list[Metric]) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(families))
    return registry


def _families(db: sa.Connection) -> Iterator[Metric]:
    calls = CounterMetricFamily(
        "ig_pipeline_graph_requests", "Requests to Meta, retries included.", labels=["endpoint", "outcome"]
    )
    for (endpoint, outcome), count in sorted(graph_calls.totals(db).items()):
        calls.add_metric([endpoint, outcome], count)
    yield calls
    yield from _ledger(db)
    yield from _connections(db)
    queue = GaugeMetricFamily("ig_pipeline_sync_requests", "Requests for work, by state.", labels=["kind", "status"])
    grouped = sa.select(sync_requests.c.kind, sync_requests.c.status, sa.func.count())
    for kind, status, count in db.execute(grouped.group_by(sync_requests.c.kind, sync_requests.c.status)):
        queue.add_metric([kind, status], count)
    yield queue


def _ledger(db: sa.Connection) -> Iterator[Metric]:
    cells = CounterMetricFamily(
        "ig_pipeline_cells", "Account-days by asset and how they ended.", labels=["asset", "status"]
    )
    rows = CounterMetricFamily("ig_pipeline_rows_written", "Rows written, by asset.", labels=["asset"])
    written: dict[str, int] = {}
    statement = sa.select(ledger.c.asset, ledger.c.status, sa.func.count(), sa.func.sum(ledger.c.rows))
    for asset, status, count, total in db.execute(statement.group_by(ledger.c.asset, ledger.c.status)):
        cells.add_metric([asset, status], count)
        written[asset] = written.get(asset, 0) + int(total or 0)
    for asset, total in sorted(written.items()):
        rows.add_metric([asset], total)
    yield cells
    yield rows


def _connections(db: sa.Connection) -> Iterator[Metric]:
    states = GaugeMetricFamily("ig_pipeline_connections", "Connections, by status.", labels=["status"])
    expiry = GaugeMetricFamily(
        "ig_pipeline_token_expiry_timestamp_seconds", "When an account's token ends.", labels=["account"]
    )
    success = GaugeMetricFamily(
        "ig_pipeline_last_success_timestamp_seconds", "When an account was last written.", labels=["account"]
    )
    counted: dict[str, int] = {}
    for key, status, expires_at in db.execute(
        sa.select(user_tokens.c.account_key, user_tokens.c.status, user_tokens.c.expires_at).order_by(user_tokens.c.id)
    ):
        counted[status] = counted.get(status, 0) + 1
        if expires_at is not None:
            expiry.add_metric([key], expires_at.timestamp())
    for status, count in sorted(counted.items()):
        states.add_metric([status], count)
    newest = sa.select(ledger.c.account_key, sa.func.max(ledger.c.finished_at, type_=ledger.c.finished_at.type))
    written = newest.where(ledger.c.status.in_(("complete", "partial"))).group_by(ledger.c.account_key)
    for key, finished_at in db.execute(written.order_by(ledger.c.account_key)):
        success.add_metric([key], finished_at.timestamp())
    yield states
    yield expiry
    yield success
