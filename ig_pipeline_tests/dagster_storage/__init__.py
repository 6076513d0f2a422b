"""Event storages compared with the shipped ones, event for event, on real files and a real PostgreSQL."""
