"""The numbers of `/metrics`, collected from the database when they are asked for.

Runs live elsewhere and end; what they did is in the ledger and its sums, so that one address tells about all of them.
"""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ig_pipeline.storage import cell_counts, graph_calls
from ig_pipeline.storage.connections import list_connections
from ig_pipeline.storage.database import reading
from ig_pipeline.storage.tables import sync_requests
from ig_pipeline.sync.judgement import STATES, judge_connections

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SAMPLES_AT_ONCE = 500


def exposition(engine: sa.Engine, *, now: datetime, window_days: int) -> Iterator[str]:
    """Everything, in Prometheus' text form, in pieces. `window_days`: of which a connection's newest results tell."""
    with reading(engine) as db:
        found = families(db, now=now, window_days=window_days)
    for family in found:
        # A million samples in one piece would stop the process for seconds.
        for begin in range(0, max(len(family.samples), 1), _SAMPLES_AT_ONCE):
            part = Metric(family.name, family.documentation, family.type)
            part.samples = family.samples[begin : begin + _SAMPLES_AT_ONCE]
            text = generate_latest(_Only(part)).decode()
            yield text if begin == 0 else re.sub(r"^#.*\n", "", text, flags=re.M)


class _Only(CollectorRegistry):
    """A registry of one family."""

    def __init__(self, family: Metric) -> None:
        super().__init__(auto_describe=False)
        self._family = family

    def collect(self) -> Iterator[Metric]:
        yield self._family


def families(db: sa.Connection, *, now: datetime, window_days: int) -> list[Metric]:
    """What is exposed, as it stands in the database at `now` (UTC)."""
    return list(_families(db, now, window_days))


def _families(db: sa.Connection, now: datetime, window_days: int) -> Iterator[Metric]:
    calls = CounterMetricFamily(
        "ig_pipeline_graph_requests", "Requests to Meta, retries included.", labels=["endpoint", "outcome"]
    )
    for (endpoint, outcome), count in sorted(graph_calls.totals(db).items()):
        calls.add_metric([endpoint, outcome], count)
    yield calls
    yield from _ledger(db)
    yield from _connections(db)
    yield from _judged(db, now, window_days)
    queue = GaugeMetricFamily("ig_pipeline_sync_requests", "Requests for work, by state.", labels=["kind", "status"])
    grouped = sa.select(sync_requests.c.kind, sync_requests.c.status, sa.func.count())
    for kind, status, count in db.execute(grouped.group_by(sync_requests.c.kind, sync_requests.c.status)):
        queue.add_metric([kind, status], count)
    yield queue


def _judged(db: sa.Connection, now: datetime, window_days: int) -> Iterator[Metric]:
    needs = GaugeMetricFamily(
        "ig_pipeline_connections_judged",
        "Connections by how they stand: fine, waiting (it continues by itself), or who must act.",
        labels=["state"],
    )
    judged = judge_connections(db, list_connections(db), now=now, window_days=window_days)
    counted = Counter(one.state for one in judged.values())
    for state in STATES:
        needs.add_metric([state], counted[state])
    yield needs


def _ledger(db: sa.Connection) -> Iterator[Metric]:
    cells = CounterMetricFamily(
        "ig_pipeline_cells",
        "Account-days by asset and how they ended; one asked again counts again.",
        labels=["asset", "status"],
    )
    rows = CounterMetricFamily("ig_pipeline_rows_written", "Rows written, by asset.", labels=["asset"])
    written: dict[str, int] = {}
    for count in cell_counts.totals(db):
        cells.add_metric([count.asset, count.status], count.cells)
        written[count.asset] = written.get(count.asset, 0) + count.rows
    for asset, total in sorted(written.items()):
        rows.add_metric([asset], total)
    yield cells
    yield rows


def _connections(db: sa.Connection) -> Iterator[Metric]:
    states = GaugeMetricFamily("ig_pipeline_connections", "Connections, by status.", labels=["status"])
    expiry = GaugeMetricFamily(
        "ig_pipeline_token_expiry_timestamp_seconds", "When an account's token ends.", labels=["account"]
    )
    reading = GaugeMetricFamily(
        "ig_pipeline_data_access_expiry_timestamp_seconds",
        "Until when Meta lets an account be read unless its owner uses the app again.",
        labels=["account"],
    )
    success = GaugeMetricFamily(
        "ig_pipeline_last_success_timestamp_seconds", "When an account was last written.", labels=["account"]
    )
    counted: dict[str, int] = {}
    for connection in list_connections(db):
        counted[connection.status] = counted.get(connection.status, 0) + 1
        if (end := connection.token_end) is not None and end.at is not None:
            expiry.add_metric([connection.account_key], end.at.timestamp())
        if (reads_until := connection.data_access_expires_at) is not None:
            reading.add_metric([connection.account_key], reads_until.timestamp())
    for status, count in sorted(counted.items()):
        states.add_metric([status], count)
    for key, last_at in cell_counts.last_written(db).items():
        success.add_metric([key], last_at.timestamp())
    yield states
    yield expiry
    yield reading
    yield success
