"""What a chat may say: `/backfill [limit] [dry]`, `/status`, `/help`. Text in, commands out; pure."""

from dataclasses import dataclass

HELP = """I look after the media library of the connected Instagram accounts.

/backfill - save every post, reel and live story that is not there yet
/backfill 20 - at most twenty new files
/backfill dry - count only: nothing is downloaded, nothing written
/status - how large the library is, and the last backfills
/help - this"""


@dataclass(frozen=True)
class Backfill:
    """`/backfill [limit] [dry]`."""

    limit: int | None = None
    dry_run: bool = False


@dataclass(frozen=True)
class Status:
    """`/status`."""


@dataclass(frozen=True)
class Help:
    """`/help`, `/start`, or something we do not understand: `why` says what."""

    why: str | None = None


Command = Backfill | Status | Help


def read_command(text: str) -> Command | None:
    """The command in a message; None for talk that is not meant for a bot."""
    name, *words = text.split() or [""]
    if not name.startswith("/"):
        return None
    # In groups commands carry the bot's name: /status@some_bot.
    match name.partition("@")[0].lower():
        case "/backfill":
            return _read_backfill(words)
        case "/status":
            return Status()
        case "/help" | "/start":
            return Help()
        case _:
            return Help(why="I don't know that command.")


def _read_backfill(words: list[str]) -> Backfill | Help:
    limit: int | None = None
    dry_run = False
    for word in words:
        if word.lower() in ("dry", "--dry-run"):
            dry_run = True
        elif word.isascii() and word.isdigit() and len(word) <= 6 and int(word) >= 1 and limit is None:
            limit = int(word)
        else:
            return Help(why="After /backfill comes a number of files, the word dry, both or nothing.")
    return Backfill(limit, dry_run)
