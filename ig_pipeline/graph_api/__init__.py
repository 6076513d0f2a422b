"""HTTP and Meta's shapes: what the Graph API says, as types. No database, no Dagster."""
