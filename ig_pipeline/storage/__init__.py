"""Tables and the only SQL: an engine, a module per aggregate, migrations. No HTTP, no Dagster."""
