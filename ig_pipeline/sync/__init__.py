"""The engine: plans account-days and fills them. Plain functions that know neither Dagster nor a terminal."""
