"""Instagram data in one's own database: Dagster definitions over a small typed library."""
