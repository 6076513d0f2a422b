"""`ig-pipeline connections export|forget`: all that is held about a person, and its end.

Thin: what is held is `storage.user_data`'s to know, how it ends `defs.deletions`'.
"""

import click

from ig_pipeline.cli.console import print_json_pieces, shown
from ig_pipeline.cli.exit_codes import ExitCode
from ig_pipeline.cli.failures import CommandError
from ig_pipeline.cli.opening import open_database
from ig_pipeline.clock import utc_now
from ig_pipeline.settings import load_settings
from ig_pipeline.storage import deletion_requests, user_data
from ig_pipeline.storage.connections import list_connections
from ig_pipeline.storage.database import reading
from ig_pipeline.storage.scrubbing import ScrubbingWaitsError


@click.command("export")
@click.option("--email", required=True, help="Whose data.")
def export(email: str) -> None:
    """Print everything that is held about a user as JSON, without secrets.

    \b
    Examples:
      ig-pipeline connections export --email a@b.example > data.json
    """
    with open_database(load_settings()) as engine:
        pieces = user_data.export(engine, email)
        if pieces is None:
            raise CommandError(f"Nothing is held about {email}.", ExitCode.USAGE)
        print_json_pieces(pieces)


@click.command("forget")
@click.option("--email", required=True, help="Whose data.")
@click.option("--account", help="Only this account key; all of the user's when left out.")
@click.option("--yes", is_flag=True, help="Don't ask.")
def forget(email: str, account: str | None, yes: bool) -> None:
    """Erase a user's connections with rows, files and cells of the grid. A tombstone without a name stays.

    \b
    Examples:
      ig-pipeline connections forget --email a@b.example
      ig-pipeline connections forget --email a@b.example --account acme.studio --yes
    """
    settings, email = load_settings(), email.strip().lower()
    with open_database(settings) as engine:
        with reading(engine) as db:
            mine = [item for item in list_connections(db, email=email) if account in (None, item.account_key)]
        if not mine:
            raise CommandError(f"{email} has no such connection. `ig-pipeline connections list` shows them.")
        names = ", ".join(item.account_key for item in mine)
        if not yes:
            click.confirm(f"Erase {names} of {shown(email)} for good?", abort=True)
        with engine.begin() as db:
            deletion = deletion_requests.request(db, mine, origin="command_line", now=utc_now())
    # Dagster takes a second to import, and only this command of the group needs it.
    from ig_pipeline.defs.deletions import carry_out  # noqa: PLC0415
    from ig_pipeline.defs.reporting import dagster_instance  # noqa: PLC0415
    from ig_pipeline.defs.resources import Pipeline  # noqa: PLC0415

    with dagster_instance(settings) as instance:
        try:
            done = carry_out(Pipeline(settings_of=lambda: settings), instance, [deletion])
        except ScrubbingWaitsError as error:
            click.echo(f"Erased. {error} `up` does the rest. Confirmation code: {deletion.code}")
            return
    if done:
        click.echo(f"Erased. Confirmation code: {deletion.code}")
    else:
        click.echo(f"History and token are gone; `up` erases the rest after its runs. Code: {deletion.code}")
