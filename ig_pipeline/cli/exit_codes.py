"""What a command's exit code says, in one table; docs/commands.md shows the same.

Codes only; which error becomes which code is `failures`'s.
"""

from enum import IntEnum


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
