"""Every table of the pipeline, once, for both databases: names and meanings are a contract with those who read them.

Only definitions here: what is done with an aggregate is in its own module, what changes a table in `migrations`.
"""

import sqlalchemy as sa

from ig_pipeline.graph_api.catalogue import DEFAULT_MEDIA_METRICS, STORY_METRICS
from ig_pipeline.storage.column_types import BigKey, UtcDateTime

NAMING = {kind: f"{kind}_%(table_name)s_%(column_0_name)s" for kind in ("ix", "uq", "fk")} | {"pk": "pk_%(table_name)s"}

metadata = sa.MetaData(naming_convention=NAMING)


def _key() -> sa.Column[int]:
    return sa.Column("id", BigKey, primary_key=True, autoincrement=True)


def _owner() -> sa.Column[int]:
    return sa.Column("u_id", BigKey, sa.ForeignKey("users.u_id", ondelete="CASCADE"), nullable=False)


def account_table(name: str, *parts: sa.schema.SchemaItem) -> sa.Table:
    """A table of what accounts have: an id, the user (`u_id`) and the account (`account_id`), then `parts`."""
    account_id = sa.Column("account_id", sa.Text, nullable=False)
    return sa.Table(name, metadata, _key(), _owner(), account_id, *parts, sqlite_autoincrement=True)


NEGATIVE = {
    "instagram_insights": ("value",),
    "metrics": ("reach", "engagement"),
    "media_engagement": ("like_count", "comments_count", "saved", "engagement"),
}
"""Columns of which no value can be negative, by table."""


def is_negative(table: str) -> sa.TextClause:
    """The rows of which one of these columns is; written as in the index of such rows, or it would not be used."""
    return sa.text(" or ".join(f"{name} < 0" for name in NEGATIVE[table]))


def _negative(table: str) -> sa.Index:
    """An index of impossible rows: empty as long as there are none, and then there is nothing to read."""
    condition = is_negative(table)
    return sa.Index(f"ix_{table}_negative", *NEGATIVE[table], postgresql_where=condition, sqlite_where=condition)


users = sa.Table(
    "users",
    metadata,
    sa.Column("u_id", BigKey, primary_key=True, autoincrement=True),
    sa.Column("email", sa.Text, nullable=False, unique=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

user_tokens = sa.Table(
    "user_tokens",
    metadata,
    _key(),
    _owner(),
    sa.Column("provider", sa.Text, nullable=False, server_default="instagram"),
    sa.Column("login", sa.Text, nullable=False),
    sa.Column("account_id", sa.Text, nullable=False),
    sa.Column("username", sa.Text, nullable=False),
    sa.Column("account_key", sa.Text, nullable=False, unique=True),
    sa.Column("access_token", sa.Text),
    sa.Column("token_version", sa.Integer, nullable=False, server_default="1"),
    sa.Column("scopes", sa.Text, nullable=False, server_default=""),
    sa.Column("issued_at", UtcDateTime),
    sa.Column("expires_at", UtcDateTime),
    sa.Column("expiry", sa.Text, nullable=False, server_default="stated"),
    sa.Column("data_access_expires_at", UtcDateTime),
    sa.Column("inspected_at", UtcDateTime),
    sa.Column("connected_at", UtcDateTime, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("status_message", sa.Text),
    sa.Column("initial_backfill_first", sa.Date),
    sa.Column("initial_backfill_last", sa.Date),
    sa.Column("initial_backfill_requested_at", UtcDateTime),
    sa.Column("lease_owner", sa.Text),
    sa.Column("lease_until", UtcDateTime),
    sa.UniqueConstraint("u_id", "provider", "account_id"),
    sa.Index(None, "status"),
)

instagram_insights = account_table(
    "instagram_insights",
    sa.Column("metric", sa.Text, nullable=False),
    sa.Column("end_time", UtcDateTime, nullable=False),
    sa.Column("date", sa.Date, nullable=False),
    sa.Column("metric_type", sa.Text, nullable=False),
    sa.Column("value", sa.BigInteger, nullable=False),
    sa.Column("observed_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("u_id", "account_id", "metric", "end_time"),
    sa.Index(None, "account_id", "date"),
    _negative("instagram_insights"),
)

metrics = account_table(
    "metrics",
    sa.Column("date", sa.Date, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("reach", sa.BigInteger),
    sa.Column("engagement", sa.BigInteger),
    sa.Column("observed_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("u_id", "account_id", "date", "source"),
    _negative("metrics"),
)


def _post_numbers() -> list[sa.Column[int]]:
    return [
        *(sa.Column(name, sa.BigInteger) for name in ("like_count", "comments_count", *DEFAULT_MEDIA_METRICS)),
        sa.Column("engagement", sa.BigInteger, nullable=False),
    ]


# Posts that have no insights because the account became professional later; written as in their index.
BEFORE_CONVERSION = {
    "postgresql": sa.text("absences ->> 'insights' = 'before_conversion'"),
    "sqlite": sa.text("json_extract(absences, '$.insights') = 'before_conversion'"),
}

media_engagement = account_table(
    "media_engagement",
    sa.Column("media_id", sa.Text, nullable=False),
    sa.Column("date", sa.Date, nullable=False),
    sa.Column("posted_at", UtcDateTime, nullable=False),
    sa.Column("media_type", sa.Text),
    sa.Column("media_product_type", sa.Text),
    sa.Column("permalink", sa.Text),
    sa.Column("caption", sa.Text),
    *_post_numbers(),
    sa.Column("absences", sa.JSON, nullable=False),
    sa.Column("observed_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("u_id", "account_id", "media_id"),
    sa.Index(None, "account_id", "date"),
    sa.Index(
        "ix_media_engagement_converted",
        *("u_id", "account_id", "posted_at"),
        postgresql_where=BEFORE_CONVERSION["postgresql"],
        sqlite_where=BEFORE_CONVERSION["sqlite"],
    ),
    _negative("media_engagement"),
)

media_engagement_snapshots = account_table(
    "media_engagement_snapshots",
    sa.Column("media_id", sa.Text, nullable=False),
    sa.Column("observed_on", sa.Date, nullable=False),
    *_post_numbers(),
    sa.Column("observed_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("u_id", "account_id", "media_id", "observed_on"),
)

instagram_sync_logs = account_table(
    "instagram_sync_logs",
    sa.Column("account_key", sa.Text, nullable=False),
    sa.Column("asset", sa.Text, nullable=False),
    sa.Column("date", sa.Date, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("calls", sa.Integer, nullable=False),
    sa.Column("absences", sa.JSON, nullable=False),
    sa.Column("lacking", sa.JSON, nullable=False, server_default="[]"),
    sa.Column("error_type", sa.Text),
    sa.Column("error_message", sa.Text),
    sa.Column("is_retryable", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("actor", sa.Text),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("u_id", "account_id", "asset", "date", "run_id"),
    sa.Index(None, "asset", "date"),
    sa.Index(
        "ix_instagram_sync_logs_failed",
        "finished_at",
        postgresql_where=sa.text("status = 'failed'"),
        sqlite_where=sa.text("status = 'failed'"),
    ),
)

# What the ledger adds up to, kept as it grows: monitoring looks every few seconds, and a year of a thousand accounts is
# a million rows. One row an account, so that writers of different accounts never wait for each other.
cell_counts = account_table(
    "cell_counts",
    sa.Column("account_key", sa.Text, nullable=False),
    sa.Column("asset", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("cells", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("last_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("u_id", "account_id", "asset", "status"),
)

sync_requests = sa.Table(
    "sync_requests",
    metadata,
    _key(),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("account_key", sa.Text, nullable=False),
    sa.Column("first", sa.Date, nullable=False),
    sa.Column("last", sa.Date, nullable=False),
    sa.Column("requested_by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("options", sa.JSON, nullable=False),
    sa.Column("counts", sa.JSON(none_as_null=True)),
    sa.Column("not_before", UtcDateTime, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("dedupe_key", sa.Text, unique=True),
    sa.Column("batch", sa.Text),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("run_id", sa.Text),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("launched_at", UtcDateTime),
    sa.Column("ended_at", UtcDateTime),
    sa.Column("detail", sa.Text),
    sa.Index(None, "status", "not_before"),
    sa.Index(None, "account_key"),
)

metric_absences = account_table(
    "metric_absences",
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("metric", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("recorded_at", UtcDateTime, nullable=False),
    sa.Column("recheck_after", UtcDateTime),
    sa.UniqueConstraint("u_id", "account_id", "subject", "metric"),
)

media_items = account_table(
    "media_items",
    sa.Column("instagram_media_id", sa.Text, nullable=False),
    sa.Column("date", sa.Date, nullable=False),
    sa.Column("posted_at", UtcDateTime, nullable=False),
    sa.Column("backfilled_at", UtcDateTime, nullable=False),
    sa.Column("file_path", sa.Text, nullable=False),
    sa.Column("file_name", sa.Text, nullable=False),
    sa.Column("file_hash", sa.Text, nullable=False),
    sa.Column("file_size_bytes", sa.BigInteger, nullable=False),
    sa.Column("mime_type", sa.Text, nullable=False),
    sa.Column("category", sa.Text, nullable=False),
    sa.Column("source_type", sa.Text, nullable=False),
    sa.Column("source_identifier", sa.Text, nullable=False),
    sa.Column("media_type", sa.Text, nullable=False),
    sa.Column("caption", sa.Text),
    sa.Column("permalink", sa.Text),
    sa.Column("width", sa.Integer),
    sa.Column("height", sa.Integer),
    sa.Column("duration_seconds", sa.Float),
    sa.UniqueConstraint("u_id", "instagram_media_id"),
    sa.Index("ix_media_items_file_hash", "u_id", "file_hash"),
    sa.Index(None, "account_id", "date"),
)

media_backfills = account_table(
    "media_backfills",
    sa.Column("account_key", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("triggered_by", sa.Text, nullable=False),
    sa.Column("options", sa.JSON, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("counts", sa.JSON, nullable=False),
    sa.Column("errors", sa.JSON, nullable=False),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.Index(None, "u_id", "status"),
    sa.Index("ix_media_backfills_started_at", "started_at"),
)

oauth_states = sa.Table(
    "oauth_states",
    metadata,
    _key(),
    sa.Column("state_hash", sa.Text, nullable=False, unique=True),
    sa.Column("browser_hash", sa.Text, nullable=False),
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("login", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Column("used_at", UtcDateTime),
    sa.Column("outcome", sa.JSON),
    sa.Index(None, "browser_hash"),
    sa.Index(None, "created_at"),
)

# Browsers that signed in. Only a hash of a session's id: reading the table opens none of them.
web_sessions = sa.Table(
    "web_sessions",
    metadata,
    sa.Column("id_hash", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
)

# Who Meta means in a signed request: a person's id as our app knows it, several per connection.
meta_people = sa.Table(
    "meta_people",
    metadata,
    sa.Column("person_id", sa.Text, primary_key=True),
    sa.Column("connection_id", BigKey, sa.ForeignKey("user_tokens.id", ondelete="CASCADE"), primary_key=True),
    sa.Index(None, "connection_id"),
)

signed_requests_seen = sa.Table(
    "signed_requests_seen",
    metadata,
    sa.Column("signature_hash", sa.Text, primary_key=True),
    sa.Column("seen_at", UtcDateTime, nullable=False),
)

deletion_requests = sa.Table(
    "deletion_requests",
    metadata,
    _key(),
    sa.Column("code", sa.Text, nullable=False, unique=True),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    # Whom it is about; emptied when the work is done, for then nothing may name them.
    sa.Column("targets", sa.JSON, nullable=False),
    sa.Column("erased", sa.JSON, nullable=False),
    sa.Column("requested_at", UtcDateTime, nullable=False),
    sa.Column("not_before", UtcDateTime),
    sa.Column("completed_at", UtcDateTime),
    sa.Index(None, "status"),
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
)

graph_calls = sa.Table(
    "graph_calls",
    metadata,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("calls", sa.BigInteger, nullable=False),
)

audience_demographics = account_table(
    "audience_demographics",
    sa.Column("observed_on", sa.Date, nullable=False),
    sa.Column("metric", sa.Text, nullable=False),
    sa.Column("breakdown", sa.Text, nullable=False),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("people", sa.BigInteger, nullable=False),
    sa.Column("observed_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("u_id", "account_id", "observed_on", "metric", "breakdown", "value"),
)

online_followers = account_table(
    "online_followers",
    sa.Column("date", sa.Date, nullable=False),
    sa.Column("hour", sa.Integer, nullable=False),
    sa.Column("followers", sa.BigInteger, nullable=False),
    sa.Column("observed_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("u_id", "account_id", "date", "hour"),
)

stories = account_table(
    "stories",
    sa.Column("media_id", sa.Text, nullable=False),
    sa.Column("date", sa.Date, nullable=False),
    sa.Column("posted_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Column("media_type", sa.Text),
    sa.Column("permalink", sa.Text),
    sa.Column("caption", sa.Text),
    *(sa.Column(name, sa.BigInteger) for name in STORY_METRICS),
    sa.Column("absences", sa.JSON, nullable=False),
    sa.Column("observed_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("u_id", "account_id", "media_id"),
    sa.Index(None, "account_id", "date"),
)

# An id lives on outside its row (in tags of Dagster's runs, a ciphertext, a folder's name): what is made after a row is
# gone must not be taken for it. PostgreSQL's sequences only go forward; SQLite numbers rows from the highest that is
# left, unless AUTOINCREMENT is declared, which a migration with `recreate` repeats in its `table_kwargs`.
for _table in metadata.tables.values():
    if _table.autoincrement_column is not None:
        _table.dialect_options["sqlite"]["autoincrement"] = True
