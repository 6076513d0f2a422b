"""What commands read and write: the database, migrated when opened and closed at the end, and Dagster's grid.

Read-only commands (`doctor`, `config`) do without. What the grid shows is decided in `defs.reporting`.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import click
import sqlalchemy as sa

from ig_pipeline.settings import Settings
from ig_pipeline.storage.database import migrate, open_engine
from ig_pipeline.sync import registry
from ig_pipeline.sync.results import AccountDayResult


@contextmanager
def open_database(settings: Settings) -> Iterator[sa.Engine]:
    """The migrated database of the settings. Raises `DatabaseError`."""
    engine = open_engine(settings.effective_database_url)
    try:
        migrate(engine)
        yield engine
    finally:
        engine.dispose()


def tell_grid(settings: Settings, results: Sequence[AccountDayResult]) -> None:
    """Show `results` of days in Dagster's grid, where there is one; a warning on standard error if it cannot be."""
    moments = {stream.name for stream in registry.snapshots()}
    results = [result for result in results if result.asset not in moments]
    if not results or not (settings.dagster_home / "dagster.yaml").is_file():
        return
    from ig_pipeline.defs.reporting import GridReporter, grid_reporter  # noqa: PLC0415 - three seconds of imports

    opened: AbstractContextManager[GridReporter | None] = grid_reporter(settings)
    try:
        with opened as reporter:
            if reporter is not None:
                reporter.report(results)
    except (sa.exc.SQLAlchemyError, OSError) as error:
        click.echo(f"The rows are written, but Dagster's grid was not told ({type(error).__name__}).", err=True)
