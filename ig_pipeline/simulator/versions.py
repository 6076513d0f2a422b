"""Which Graph version serves a call: the one asked for while it lives, else another, silently (facts §0)."""

import re
from datetime import date

# Version → first and last day it is served; dates of facts §0, releases before 2026 approximate where not given there.
_LIVES: dict[str, tuple[date, date]] = {
    "v19.0": (date(2024, 1, 23), date(2026, 5, 21)),
    "v20.0": (date(2024, 5, 21), date(2026, 9, 24)),
    "v21.0": (date(2024, 10, 2), date(2027, 1, 21)),
    "v22.0": (date(2025, 1, 21), date(2027, 5, 20)),
    "v23.0": (date(2025, 5, 29), date(2027, 10, 8)),
    "v24.0": (date(2025, 10, 8), date(2028, 2, 18)),
    "v25.0": (date(2026, 2, 18), date(2028, 7, 29)),
    "v26.0": (date(2026, 7, 29), date(2029, 7, 29)),
    "v27.0": (date(2026, 11, 4), date(2029, 11, 4)),
}
_VERSION = re.compile(r"v\d{1,3}\.\d")


def is_version(segment: str) -> bool:
    """Whether a path's first segment is written like a version, whether it exists or not."""
    return bool(_VERSION.fullmatch(segment))


def split_version(path: str) -> tuple[str | None, str]:
    """The version a path (without slashes at its ends) begins with, and the rest; None when it names none there is.

    A version that does not exist is part of the path, and no object lies there. Those of the table exist at any clock,
    for a test may set it back; older ones are dead, but known.
    """
    first, _, rest = path.partition("/")
    known = is_version(first) and (first in _LIVES or float(first[1:]) < float(next(iter(_LIVES))[1:]))
    return (first, rest) if known else (None, path)


def served_version(asked: str | None, today: date) -> str:
    """The version that serves a call: a live one as asked, the newest for a dead one, the oldest live for none.

    At a clock before every version in the table the asked one serves: a recording may be older than the table.
    """
    live = [name for name, (first, last) in _LIVES.items() if first <= today < last]
    if asked is None:
        return live[0] if live else next(iter(_LIVES))
    number = float(asked[1:])
    if asked in live or not live or number > float(live[-1][1:]):
        return asked
    return live[-1]
