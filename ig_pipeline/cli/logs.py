"""The command line's log: warnings on standard error, redacted, without breaking a progress bar.

Levels and handlers only; Dagster configures its own.
"""

import logging

from rich.console import Console
from rich.markup import escape

from ig_pipeline.cli.console import err, shown
from ig_pipeline.redaction import RedactingFormatter, quiet_chatty_loggers

# "The key file was made, back it up" is news for the person, whatever the level.
_NEWS = ("ig_pipeline.vault.cipher",)


class ConsoleHandler(logging.Handler):
    """Prints records through a rich console, which puts them above a live progress bar."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console
        self.setFormatter(RedactingFormatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record; a failure to print must not end the work."""
        try:
            style = "yellow" if record.levelno >= logging.WARNING else "dim"
            self.console.print(f"[{style}]{escape(shown(self.format(record)))}[/]", soft_wrap=True)
        except Exception:  # noqa: BLE001 - the rule of logging handlers: report and go on
            self.handleError(record)


def configure_logging(*, verbose: bool) -> None:
    """Show warnings, and with `verbose` what the engine does; every line redacted."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, ConsoleHandler)]:
        root.removeHandler(handler)
    root.addHandler(ConsoleHandler(err()))
    root.setLevel(logging.WARNING)
    logging.getLogger("ig_pipeline").setLevel(logging.INFO if verbose else logging.WARNING)
    for name in _NEWS:
        logging.getLogger(name).setLevel(logging.INFO)
    quiet_chatty_loggers()
