"""The front door: consent, status, timeline and pages over HTTP. Writes to the database, never talks to Dagster."""
