"""When Meta switches off which version of the Graph API: one table with its source, and the warning in time.

A call that names a dead version is served by a newer one without a word (docs/graph_api.md#versions), so nobody
notices by errors.
"""

from dataclasses import dataclass
from datetime import date, timedelta

SOURCE = "https://developers.facebook.com/docs/graph-api/changelog/versions"
CHECKED_ON = date(2026, 11, 25)

# Version → last day it is served; None: not announced. From SOURCE, as of CHECKED_ON.
SWITCHED_OFF: dict[str, date | None] = {
    "v19.0": date(2026, 5, 21),
    "v20.0": date(2026, 9, 24),
    "v21.0": date(2027, 1, 21),
    "v22.0": date(2027, 5, 20),
    "v23.0": date(2027, 10, 8),
    "v24.0": date(2028, 2, 18),
    "v25.0": date(2028, 7, 29),
    "v26.0": None,
    "v27.0": None,
}
WARN_BEFORE = timedelta(days=90)
# Versions beyond the table that are worth asking Meta for: it brings out some four a year.
_YET_UNKNOWN = 4


@dataclass(frozen=True)
class VersionWarning:
    """Something to do about `version`: `sentence` says why, `switched_off` when, if known, `move_to` what instead."""

    version: str
    switched_off: date | None
    sentence: str
    move_to: str


def newest_known() -> str:
    """The newest version of the table."""
    return max(SWITCHED_OFF, key=_number)


def is_newer_than_known(version: str) -> bool:
    """Whether the table can say nothing of `version`."""
    return _number(version) > _number(newest_known())


def worth_asking_for() -> list[str]:
    """Versions Meta may serve, newest first: some the table does not know yet, and those it does."""
    newest = _number(newest_known())[0]
    unknown = [f"v{number}.0" for number in range(newest + _YET_UNKNOWN, newest, -1)]
    return [*unknown, *sorted(SWITCHED_OFF, key=_number, reverse=True)]


def version_warning(version: str, today: date, *, move_to: str | None = None) -> VersionWarning | None:
    """A warning when `version` (`v25.0`) is switched off, will be within 90 days, or is not known; else None.

    `move_to`: the version it advises; None for the newest of the table.
    """
    newest = move_to or newest_known()
    if version not in SWITCHED_OFF:
        if is_newer_than_known(version):
            return None
        gone = f"Graph API {version} was switched off before {min(SWITCHED_OFF, key=_number)}."
        return VersionWarning(version, None, gone, newest)
    end = SWITCHED_OFF[version]
    if end is None or today < end - WARN_BEFORE:
        return None
    when = (
        f"was switched off on {end}" if end <= today else f"will be switched off on {end}, in {(end - today).days} days"
    )
    return VersionWarning(version, end, f"Graph API {version} {when}.", newest)


def served_warning(asked: str, served: str | None) -> VersionWarning | None:
    """A warning when Meta answered with another version than the one asked for (`client.served_version`)."""
    if served is None or served == asked:
        return None
    return VersionWarning(
        asked,
        SWITCHED_OFF.get(asked),
        f"Asked for Graph API {asked}, Meta answered with {served}: {asked} is no longer served.",
        served,
    )


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.removeprefix("v").split("."))
