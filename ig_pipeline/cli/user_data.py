"""`ig-pipeline connections export|forget`: all that is held about a person, and its end.

Thin: what is held is `storage.user_data`'s to know, how it ends `defs.erasure`'.
"""

import click

from ig_pipeline.cli.console import print_json, shown
from ig_pipeline.cli.exit_codes import ExitCode
from ig_pipeline.cli.failures import CommandError
from ig_pipeline.cli.opening import open_database
from ig_pipeline.clock import utc_now
from ig_pipeline.settings import load_settings
from ig_pipeline.storage import deletion_requests, user_data
from ig_pipeline.storage.connections import list_connections
from ig_pipeline.storage.database import reading


@click.command("export")
@click.option("--email", required=True, help="Whose data.")
def export(email: str) -> None:
    """Print everything that is held about a user as JSON, without secrets.

    \b
    Examples:
      ig-pipeline connections export --email a@b.example > data.json
    """
    with open_database(load_settings()) as engine, reading(engine) as db:
        found = user_data.export(db, email)
    if found is None:
        raise CommandError(f"Nothing is held about {email}.", ExitCode.USAGE)
    print_json(found)


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
            held = account is None and user_data.is_held(db, email)
        if not mine and not held:
            raise CommandError(f"{email} has no such connection. `ig-pipeline connections list` shows them.")
        names = ", ".join(item.account_key for item in mine) or "what is left of a login"
        if not yes:
            click.confirm(f"Erase {names} of {shown(email)} for good?", abort=True)
        with engine.begin() as db:
            whole = email if account is None else None
            deletion = deletion_requests.request(db, mine, origin="command_line", now=utc_now(), email=whole)
    # Dagster takes a second to import, and only this command of the group needs it.
    from ig_pipeline.defs.erasure import carry_out  # noqa: PLC0415
    from ig_pipeline.defs.reporting import dagster_instance  # noqa: PLC0415
    from ig_pipeline.defs.resources import Pipeline  # noqa: PLC0415

    with dagster_instance(settings) as instance:
        pipeline = Pipeline(settings_of=lambda: settings)
        outcome = carry_out(pipeline, instance, owner=f"command line {deletion.code}", code=deletion.code)
    if outcome is None or outcome.waiting:
        click.echo(f"History and token are gone; `up` erases the rest after its runs. Code: {deletion.code}")
    elif outcome.held_up or outcome.left:
        rest = " ".join(said for said in (outcome.held_up, outcome.left) if said)
        click.echo(f"History and token are gone. {rest} `up` does the rest. Confirmation code: {deletion.code}")
    else:
        click.echo(f"Erased. Confirmation code: {deletion.code}")
