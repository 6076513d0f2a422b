"""Checks of everything that concerns Meta for `doctor`: app, reachability, clock, version, connections."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import cast

import sqlalchemy as sa

from ig_pipeline.cli.checks import Finding, fail, ok, warn
from ig_pipeline.clock import Clock
from ig_pipeline.graph_api.days import last_complete_day
from ig_pipeline.graph_api.errors import UnreachableError
from ig_pipeline.graph_api.hosts import Login
from ig_pipeline.graph_api.reachability import look, newest_served
from ig_pipeline.graph_api.versions import (
    CHECKED_ON,
    SOURCE,
    is_newer_than_known,
    newest_known,
    version_warning,
    worth_asking_for,
)
from ig_pipeline.meta import advice_on, hosts, sentence_of
from ig_pipeline.settings import Settings
from ig_pipeline.storage.connections import CONNECTED, RECONNECT_REQUIRED, Connection, list_connections
from ig_pipeline.storage.database import DatabaseError, reading
from ig_pipeline.sync.data_access import data_access_warning
from ig_pipeline.sync.judgement import NEXT_STEP, judge_connections

# Beyond half a minute somebody's time service is off; beyond five minutes days and token ends are judged wrongly.
_CLOCK_WARN_S = 30
_CLOCK_FAIL_S = 300
# A token is renewed from 7 days before its end; one that is nearer to it was not renewed for a day or more.
_TOKEN_WARN = timedelta(days=6)


def check_app(settings: Settings) -> Finding:
    """The Meta app is known: without it no token can be renewed on Facebook Login, and nobody can log in."""
    if settings.app_id and settings.app_secret:
        return ok("Meta app", f"{settings.app_id}, secret set")
    missing = [
        name
        for name, value in (("IG_PIPELINE_APP_ID", settings.app_id), ("IG_PIPELINE_APP_SECRET", settings.app_secret))
        if not value
    ]
    return warn(
        "Meta app",
        f"{' and '.join(missing)} not set",
        "Set them from the App Dashboard: tokens are renewed and people log in with them.",
    )


def check_graph(settings: Settings, login: Login, clock: Clock) -> Iterator[Finding]:
    """Meta answers from here, agrees with this machine's clock, and serves the Graph version."""
    where_meta_is = hosts(settings)
    try:
        seen = look(where_meta_is, login, clock=clock)
    except UnreachableError as error:
        yield fail("Graph API", sentence_of(error), "To try everything without Meta: ig-pipeline demo.")
        yield warn("clock", "not compared, for Meta does not answer", "Keep it set by NTP.")
        yield check_version(settings, clock)
        return
    where = f"{seen.host} answers in {seen.milliseconds} ms"
    yield ok("Graph API", where if settings.graph_url is None else f"{where} (IG_PIPELINE_GRAPH_URL, not Meta itself)")
    yield check_clock(seen.ahead_s)
    in_order = seen.serves_version is not False and version_warning(settings.graph_version, clock().date()) is None
    move_to = None if in_order else newest_served(where_meta_is, login, worth_asking_for(), clock=clock)
    yield check_version(settings, clock, served=seen.serves_version, move_to=move_to)


def check_clock(ahead_s: float | None) -> Finding:
    """`ahead_s`: by how many seconds this machine's clock is ahead of Meta's."""
    if ahead_s is None:
        return warn("clock", "not compared, the answer named no time", "Keep it set by NTP.")
    off = f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} Meta's"
    if abs(ahead_s) < _CLOCK_WARN_S:
        return ok("clock", "agrees with Meta's")
    if abs(ahead_s) < _CLOCK_FAIL_S:
        return warn("clock", off, "Set it by NTP.")
    return fail("clock", off, "Set it by NTP: days and the ends of tokens are judged wrongly.")


def check_version(
    settings: Settings, clock: Clock, *, served: bool | None = None, move_to: str | None = None
) -> Finding:
    """The Graph version exists, is not switched off, nor about to be.

    `served`: what Meta says of it, None when it did not say. `move_to`: the newest it serves, if that is known.
    """
    version, today = settings.graph_version, clock().date()
    if served is False:
        advice = f"Set IG_PIPELINE_GRAPH_VERSION to {move_to or newest_known()}. See {SOURCE}."
        return fail("Graph version", f"Meta does not serve {version}: it knows no such version.", advice)
    warning = version_warning(version, today, move_to=move_to)
    if warning is None:
        if served:
            return ok("Graph version", f"{version} is served, says Meta")
        if is_newer_than_known(version):
            unknown = f"{version} is newer than what was known on {CHECKED_ON}, and Meta did not say"
            return warn("Graph version", unknown, "Run ig-pipeline doctor again when Meta answers.")
        return ok("Graph version", f"{version} is served, by Meta's dates of {CHECKED_ON}; Meta itself did not say")
    gone = warning.switched_off is None or warning.switched_off <= today
    return (fail if gone else warn)("Graph version", warning.sentence, advice_on(warning))


def check_connections(engine: sa.Engine | None, clock: Clock, *, window_days: int) -> Iterator[Finding]:
    """Who is connected, who has to connect again, whose token is close to its end, who else must act.

    `window_days`: of which the newest results tell.
    """
    found = _connections(engine)
    connected = [connection for connection in found if connection.status == CONNECTED]
    if not connected:
        yield warn("connections", "no one is connected", "ig-pipeline connections add --email you@example.com")
    else:
        newest = last_complete_day(clock())
        yield ok("connections", f"{len(connected)} connected; the newest complete Instagram day is {newest}")
    for connection in found:
        if connection.status == RECONNECT_REQUIRED:
            again = f"ig-pipeline connections add --email {connection.email}"
            yield warn(connection.account_key, connection.status_message or "has to be connected again", again)
    for connection in connected:
        yield from _ends_of(connection, clock)
    yield from _in_the_way(engine, connected, clock, window_days)


def _in_the_way(
    engine: sa.Engine | None, connected: Sequence[Connection], clock: Clock, window_days: int
) -> Iterator[Finding]:
    """What keeps connected accounts from being whole and does not pass by itself."""
    if engine is None or not connected:
        return
    with reading(engine) as db:
        judged = judge_connections(db, connected, now=clock(), window_days=window_days)
    warned = {one.account_key for one in connected if data_access_warning(one, now=clock())}
    for one in judged.values():
        if one.state in ("owner", "operator") and one.connection.account_key not in warned:
            yield warn(one.connection.account_key, one.sentence or "does not work", NEXT_STEP[one.state])


def _ends_of(connection: Connection, clock: Clock) -> Iterator[Finding]:
    """A token that was not renewed in time, and reading that only the owner can prolong."""
    end = connection.token_end
    if end is not None and end.at is not None and end.within(_TOKEN_WARN, now=clock()):
        ends = "is taken to end" if end.assumed else "ends"
        yield warn(
            connection.account_key,
            f"its token {ends} on {end.at:%Y-%m-%d %H:%M} UTC and was not renewed",
            f"ig-pipeline tokens refresh --account {connection.account_key}",
        )
    if warning := data_access_warning(connection, now=clock()):
        yield warn(
            connection.account_key,
            f"cannot be read from {warning.ends_at:%Y-%m-%d %H:%M} UTC on: its owner has not used the app for so long",
            f"Ask {connection.email} to connect again, which counts as using it. Renewing the token does not help.",
        )


def login_in_use(engine: sa.Engine | None, settings: Settings) -> Login:
    """The login most connections use, else the setting's."""
    logins = [connection.login for connection in _connections(engine) if connection.status == CONNECTED]
    return cast("Login", max(set(logins), key=logins.count)) if logins else settings.login


def _connections(engine: sa.Engine | None) -> list[Connection]:
    if engine is None:
        return []
    try:
        with reading(engine) as db:
            return list_connections(db)
    except (DatabaseError, sa.exc.SQLAlchemyError):
        return []  # no tables, no answer: the database's own line tells
