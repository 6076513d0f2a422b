"""Tells Dagster's grid what a command has filled, when there is an instance. What is told is `defs.reporting`'s."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import click
import sqlalchemy as sa

from ig_pipeline.settings import Settings
from ig_pipeline.sync import registry
from ig_pipeline.sync.results import AccountDayResult


def tell_grid(settings: Settings, results: Sequence[AccountDayResult]) -> None:
    """Show `results` in the grid, those of the moment aside; that it was not reached is said on standard error."""
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
