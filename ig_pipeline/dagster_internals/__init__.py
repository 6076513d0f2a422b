"""Every use of Dagster's private parts: its storage tables, its stored JSON, its workspace.

For `defs`, `dagster_ui` and the Dagster parts of `cli` alone, which import it inside functions: definitions load
without it. Each use says why no public call will do, and `ig_pipeline_tests/dagster_internals` has a test for each,
which fails when Dagster changes what the use relies on. With a Dagster outside `versions.TESTED` none of it is used.
"""
