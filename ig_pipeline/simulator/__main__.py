"""`python -m ig_pipeline.simulator`, also `ig-pipeline simulator`: the simulated Graph API on a port, until Ctrl-C."""

import contextlib
import json
import sys
from pathlib import Path

import click

from ig_pipeline.simulator.faults import FaultPlan, FaultPlanError, load_plan
from ig_pipeline.simulator.server import listen, make_server
from ig_pipeline.simulator.simulation import Simulation, utc_now
from ig_pipeline.simulator.world import World

_PORT = 8990


@click.command()
@click.option("--port", default=_PORT, show_default=True, help="Port to listen on; 0 lets the system choose.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--accounts", default=3, show_default=True, type=click.IntRange(0, 10_000), help="Number of accounts.")
@click.option("--latency", default=0.0, show_default=True, type=click.FloatRange(0), help="Milliseconds a call takes.")
@click.option("--seed", default=7, show_default=True, help="Another seed, another world.")
@click.option("--faults", type=click.Path(path_type=Path, dir_okay=False), help="YAML plan of what goes wrong.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of text.")
def simulator(
    *, port: int, host: str, accounts: int, latency: float, seed: int, faults: Path | None, as_json: bool
) -> None:
    """Run a simulated Instagram Graph API until Ctrl-C.

    \b
    Examples:
      ig-pipeline simulator
      ig-pipeline simulator --port 8990 --accounts 8 --latency 50
      ig-pipeline simulator --faults plan.yaml      # faults: [{kinds: storm, probability: 0.33, in_a_row: 3}]
      python -m ig_pipeline.simulator --port 0 --json
      curl -s http://127.0.0.1:8990/_simulator/accounts
    """
    try:
        plan = load_plan(faults) if faults else FaultPlan()
    except FaultPlanError as error:
        raise click.ClickException(f"--faults {faults}: {error}") from None
    simulation = Simulation(World(seed=seed, accounts=accounts), clock=utc_now, faults=plan)
    try:
        bound = listen(host, port)
    except OSError as error:
        raise click.ClickException(
            f"Port {port} cannot be used ({error.strerror}). Take another with --port, or --port 0 for any."
        ) from None
    url = f"http://{host}:{bound.getsockname()[1]}"
    if as_json:
        click.echo(json.dumps({"url": url, "seed": seed, "accounts": accounts, "faults_seed": plan.seed}))
    else:
        click.echo(f"Simulated Graph API at {url} (seed {seed}, {accounts} accounts). Ctrl-C stops it.")
        if plan.faults:
            click.echo(f"Faults by seed {plan.seed}: {len(plan.faults)} rules. Change them at {url}/_simulator/faults")
        click.echo(f"Accounts and their tokens: {url}/_simulator/accounts")
    sys.stdout.flush()
    server = make_server(simulation, latency=latency / 1000)
    # Ctrl-C is how one ends it: uvicorn closes its connections, then raises it again.
    with bound, contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[bound])


if __name__ == "__main__":
    simulator(prog_name="python -m ig_pipeline.simulator")
