"""Errors as one clear line and an exit code: the command line's only mapping. docs/commands.md shows the codes.

An unexpected error is a bug and says so; its traceback is shown on request, without secrets.
"""

import traceback
from enum import IntEnum
from typing import IO, Any

import click
import sqlalchemy as sa

from ig_pipeline.cli.console import shown
from ig_pipeline.graph_api.errors import GraphError, RateLimitedError, TransientError
from ig_pipeline.meta import sentence_of
from ig_pipeline.redaction import redact
from ig_pipeline.settings import SettingsError
from ig_pipeline.storage.connections import UnknownAccountError
from ig_pipeline.storage.database import DatabaseError, DatabaseUnreachableError, DatabaseUrlError
from ig_pipeline.sync.connecting import BeingErasedError
from ig_pipeline.vault.cipher import KeyRingError


class ExitCode(IntEnum):
    """Exit codes of every command. Scripts may rely on them."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> "ExitCode":
        """A member from `value, meaning`."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    OK = 0, "everything asked for was done"
    FAILED = 1, "it failed; the message on standard error says what to do"
    USAGE = 2, "wrong arguments or a wrong setting; nothing was done"
    PARTIAL = 3, "some of it was done; the summary says what is missing"
    UNAVAILABLE = 4, "the database or Meta does not answer, or a rate limit is reached: the same command may work later"
    STOPPED = 130, "stopped by Ctrl-C; what was finished stays"


# First match wins: subclasses come before their bases.
EXIT_CODES: tuple[tuple[type[Exception], ExitCode], ...] = (
    (SettingsError, ExitCode.USAGE),
    (DatabaseUrlError, ExitCode.USAGE),
    (UnknownAccountError, ExitCode.USAGE),
    (DatabaseUnreachableError, ExitCode.UNAVAILABLE),
    (DatabaseError, ExitCode.FAILED),
    (TransientError, ExitCode.UNAVAILABLE),
    (RateLimitedError, ExitCode.UNAVAILABLE),
    (GraphError, ExitCode.FAILED),
    (KeyRingError, ExitCode.FAILED),
    (BeingErasedError, ExitCode.FAILED),
    (sa.exc.OperationalError, ExitCode.UNAVAILABLE),
    (sa.exc.SQLAlchemyError, ExitCode.FAILED),
    (OSError, ExitCode.FAILED),
)


class CommandError(click.ClickException):
    """A command ends here: one clear message on standard error, and this exit code."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(shown(redact(message)))
        self.exit_code = int(code)  # type: ignore[misc]  # click reads it from the instance too

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message to standard error."""
        label = "" if self.exit_code == ExitCode.STOPPED else click.style("Error: ", fg="red", bold=True)
        click.echo(f"{label}{self.format_message()}", err=True, file=file)


def command_error(error: BaseException, *, with_traceback: bool = False) -> CommandError:
    """What to tell the person about `error`; never a secret, a traceback only on request."""
    if isinstance(error, KeyboardInterrupt):
        return CommandError("Stopped.", ExitCode.STOPPED)
    message, code = sentence(error), _code(error)
    if with_traceback:
        message = f"{message}\n{''.join(traceback.format_exception(error))}"
    return CommandError(message, code)


def sentence(error: BaseException) -> str:
    """One sentence, or a line for each wrong setting, that says what happened and what to do."""
    match error:
        case RateLimitedError():
            return f"{sentence_of(error)} It may be asked again after {error.retry_at:%Y-%m-%d %H:%M} UTC."
        case sa.exc.SQLAlchemyError():
            return _of_database(error)
        case OSError():
            where = f" {error.filename}:" if error.filename else ""
            return f"{type(error).__name__}:{where} {error.strerror or error}."
        case Exception() if _is_expected(error):
            return sentence_of(error)
        case _:
            return (
                f"Unexpected {type(error).__name__}: {error}\nThis is a bug. "
                "`ig-pipeline --traceback …` shows where; a report with it is welcome."
            )


def _of_database(error: sa.exc.SQLAlchemyError) -> str:
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines()
    return f"The database refused: {lines[0] if lines else type(cause).__name__}. `ig-pipeline doctor` looks closer."


def _is_expected(error: BaseException) -> bool:
    return any(isinstance(error, kind) for kind, _ in EXIT_CODES)


def _code(error: BaseException) -> ExitCode:
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), ExitCode.FAILED)
