"""`python -m ig_pipeline_tests.fidelity FOLDER`: a table of exchange → verdicts; exits 1 unless all is green."""

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ig_pipeline_tests.fidelity.recordings import Exchange, Recording, load_recordings
from ig_pipeline_tests.fidelity.replaying import Verdict, replay
from ig_pipeline_tests.graph_api.reading import read_exchange

_COLOURS = {"same": "green", "different": "red", "excepted": "yellow"}


def main(arguments: list[str]) -> int:
    """Print the tables; 0 when all is green or excepted, 1 when not, 2 when there is nothing to read."""
    console = Console(width=None if sys.stdout.isatty() else 200)
    folder = Path(arguments[0]) if arguments else None
    if folder is None or not folder.is_dir():
        console.print("Say where the recordings lie: make fidelity RECORDINGS=<folder of cassettes>")
        return 2
    recordings = load_recordings(folder)
    if not recordings:
        console.print(f"There is no cassette in {folder}.")
        return 2
    bad = sum(show(console, recording) for recording in recordings)
    total = sum(len(recording.exchanges) for recording in recordings)
    console.print(f"{total} exchanges in {len(recordings)} recordings, {bad} of them not as recorded.")
    return 1 if bad else 0


def show(console: Console, recording: Recording) -> int:
    """Print one recording's table; gives the number of exchanges that are not green."""
    table = Table(title=f"{recording.name} (recorded {recording.now:%Y-%m-%d %H:%M} UTC)", title_justify="left")
    for heading in ("#", "request", "recorded", "simulator", "our parser"):
        table.add_column(heading, overflow="fold", ratio=3 if heading in {"request", "our parser"} else None)
    bad = 0
    for exchange, verdict in zip(recording.exchanges, replay(recording), strict=True):
        reading = read_exchange(
            exchange.url, exchange.status, exchange.headers, exchange.text, now=recording.now, method=exchange.method
        )
        bad += verdict.outcome == "different" or reading.problem is not None
        parsed = f"[{'red' if reading.problem else 'green'}]{_plain(_short(reading.summary))}"
        table.add_row(str(exchange.number), _request(exchange), str(exchange.status), _verdict(verdict), parsed)
    console.print(table)
    return bad


def _request(exchange: Exchange) -> str:
    asked = {
        k: v for k, v in exchange.params.items() if k in {"metric", "metric_type", "period", "fields", "breakdown"}
    }
    return _plain(f"{exchange.method} /{exchange.path} " + " ".join(f"{k}={v}" for k, v in asked.items()))[:180]


def _verdict(verdict: Verdict) -> str:
    details = "; ".join(verdict.details[:4])
    return f"[{_COLOURS[verdict.outcome]}]{verdict.outcome}" + (f": {_plain(details)}" if details else "")


def _short(text: str) -> str:
    return text if len(text) <= 110 else f"{text[:109]}…"


def _plain(text: str) -> str:
    return text.replace("[", "\\[")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
