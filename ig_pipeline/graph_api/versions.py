"""When Meta switches off which version of the Graph API: one table with its source, and the warning in time.

A call that names a dead version is served by a newer one without a word (facts §0), so nobody notices by errors.
"""

from dataclasses import dataclass
from datetime import date, timedelta

SOURCE = "https://developers.facebook.com/docs/graph-api/changelog/versions"
CHECKED_ON = date(2026, 11, 20)

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
}
WARN_BEFORE = timedelta(days=90)


@dataclass(frozen=True)
class VersionWarning:
    """Something to do about `version`: `sentence` says what, `switched_off` when, if known."""

    version: str
    switched_off: date | None
    sentence: str


def version_warning(version: str, today: date) -> VersionWarning | None:
    """A warning when `version` (`v25.0`) is switched off, will be within 90 days, or is not known; else None."""
    newest = max(SWITCHED_OFF, key=_number)
    if version not in SWITCHED_OFF:
        if _number(version) > _number(newest):
            return None  # newer than this table
        gone = f"Graph API {version} was switched off before {min(SWITCHED_OFF, key=_number)}."
        return VersionWarning(version, None, f"{gone} Set IG_PIPELINE_GRAPH_VERSION to {newest}. See {SOURCE}.")
    end = SWITCHED_OFF[version]
    if end is None or today < end - WARN_BEFORE:
        return None
    when = (
        f"was switched off on {end}" if end <= today else f"will be switched off on {end}, in {(end - today).days} days"
    )
    return VersionWarning(
        version, end, f"Graph API {version} {when}. Set IG_PIPELINE_GRAPH_VERSION to {newest}. See {SOURCE}."
    )


def served_warning(asked: str, served: str | None) -> VersionWarning | None:
    """A warning when Meta answered with another version than the one asked for (`client.served_version`)."""
    if served is None or served == asked:
        return None
    return VersionWarning(
        asked,
        SWITCHED_OFF.get(asked),
        f"Asked for Graph API {asked}, Meta answered with {served}: {asked} is no longer served. "
        f"Set IG_PIPELINE_GRAPH_VERSION to {served}.",
    )


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.removeprefix("v").split("."))
