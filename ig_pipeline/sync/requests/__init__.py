"""The queue of work, for everyone: asking, claiming, trying again and ending. Nothing else writes `sync_requests`.

A request is asked for in the transaction of its cause: a consent, a person's call, the cells that a rate limit or an
outage kept back. Dagster's sensors claim what is due in batches, one batch a run; `ig-pipeline sync --all` does what
is due where there is no Dagster.
"""
