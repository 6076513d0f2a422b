"""Dagster's event log, with connections that are kept and events that are written in batches.

Named in the `dagster.yaml` of Dagster's home, so that daemon, webserver, code servers and runs use it alike. The
shipped storages open an engine and several connections for each event (docs/dagster.md#cost-of-an-event): a night of
1,000 accounts is 18,000 of them. The files and tables are those of the shipped storages, which read and continue them,
and the other way round.

Extends Dagster's own classes, which are private modules of it except for the extension point itself: a storage class
with a `config_type`. Only Dagster loads this package, by its name; nothing of ours imports it. A contract test compares
every table event for event with what the shipped storages write.
"""
