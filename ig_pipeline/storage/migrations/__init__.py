"""Alembic's revisions of `storage.tables`, the same for both databases."""
