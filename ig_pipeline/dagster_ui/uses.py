"""Every address of Dagster's web server and what it may be used for here.

A test compares them with Dagster's own routes: one that a new release brings has to be decided about first.
"""

from enum import Enum, auto


class Use(Enum):
    """What an address is for."""

    INFO = auto()
    """Dagster's version, for health checks: by GET, without signing in."""
    PAGE = auto()
    """The UI's page and its files: by GET, from a link on another site too."""
    READ = auto()
    """What the UI downloads: by GET, never on behalf of another site's page."""
    GRAPHQL = auto()
    """All that the UI knows and does: JSON by POST or a WebSocket, from the UI itself or a program."""
    CLOSED = auto()
    """What this product has no use for."""


EXACT: dict[str, Use] = {
    "/server_info": Use.INFO,
    "/dagit_info": Use.INFO,
    "/graphql": Use.GRAPHQL,
    # Turns a file of the code location's machine into a page with scripts; no asset here has a notebook.
    "/notebook": Use.CLOSED,
    "/dagit/notebook": Use.CLOSED,
}
BEGINNINGS: dict[str, Use] = {
    "/logs/": Use.READ,
    "/download_debug/": Use.READ,
    # They write events into the grid from a bare POST, which any page can send. Runs report through Dagster itself.
    "/report_asset_materialization/": Use.CLOSED,
    "/report_asset_check/": Use.CLOSED,
    "/report_asset_observation/": Use.CLOSED,
}


def use_of(path: str) -> Use:
    """What the address `path` (decoded, as Dagster compares it) is for."""
    exact = EXACT.get(path)
    if exact is not None:
        return exact
    return next((use for beginning, use in BEGINNINGS.items() if path.startswith(beginning)), Use.PAGE)
