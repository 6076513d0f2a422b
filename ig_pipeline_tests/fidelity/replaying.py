"""Asks the simulator what was recorded and compares: one verdict for each exchange.

What cannot be compared is excepted by a rule with its reason, never by the name of a file.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from ig_pipeline.simulator.limits import APP
from ig_pipeline.simulator.requests import Answer, Call, served_version
from ig_pipeline.simulator.simulation import Simulation
from ig_pipeline.simulator.tokens import USUAL_SCOPES, Grant, Login
from ig_pipeline.simulator.views import cursor_of
from ig_pipeline_tests.fidelity.comparing import differences, message_differences
from ig_pipeline_tests.fidelity.gathering import fields_of, is_account
from ig_pipeline_tests.fidelity.recordings import Exchange, Recording
from ig_pipeline_tests.fidelity.shaping import Shape, shape

_GRAPH_HOSTS = frozenset({"graph.facebook.com", "graph.instagram.com", "api.instagram.com"})
_COMMENTS = {"facebook": "instagram_manage_comments", "instagram": "instagram_business_manage_comments"}
_INSIGHTS = {"facebook": "instagram_manage_insights", "instagram": "instagram_business_manage_insights"}
# What is read of a Page to find the Instagram account behind it; the rest of a Page is Facebook's.
_PAGE_FIELDS = frozenset(
    {
        "id",
        "name",
        "access_token",
        "category",
        "category_list",
        "tasks",
        "link",
        "instagram_business_account",
        "connected_instagram_account",
    }
)
_TOKEN_PATHS = frozenset({"oauth/access_token", "access_token", "refresh_access_token", "debug_token"})
# Instagram edges of the Graph API that the simulator does not play: nothing here reads them.
_NOT_PLAYED = frozenset(
    {
        "business_discovery",
        "live_media",
        "content_publishing_limit",
        "mentioned_comment",
        "media_publish",
        "ig_hashtag_search",
        "recently_searched_hashtags",
        "top_media",
        "recent_media",
        "agencies",
        "collaborators",
        "product_tags",
    }
)


@dataclass(frozen=True)
class Verdict:
    """`same`, `different` (see `details`) or `excepted` (see `details` for the rule's reason)."""

    outcome: Literal["same", "different", "excepted"]
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExceptionRule:
    """A reason why an exchange cannot be compared, and when it applies."""

    reason: str
    applies: Callable[[Exchange, Shape], bool]


def _is_weather(exchange: Exchange, _: Shape) -> bool:
    transient = exchange.error.get("is_transient") is True and exchange.error.get("code") != 4
    reduced = "reduce the amount of data" in str(exchange.error.get("message"))
    return exchange.status >= 500 or (transient and "limit" not in str(exchange.error.get("message"))) or reduced


def _is_foreign(exchange: Exchange, made: Shape) -> bool:
    """Of a multi-read or batch one stranger is enough."""
    return any(_is_strange(part, made) for part in exchange.parts())


def _is_strange(exchange: Exchange, made: Shape) -> bool:
    if exchange.path in _TOKEN_PATHS:
        return False
    if not exchange.segments:
        return True
    first = exchange.segments[0]
    pages = {page.id for person in (made.world.person(made.account.user_id),) if person for page in person.pages}
    known = made.world.owner_of_media(first) or made.world.account_by_id(first)
    names = {field.name for field in fields_of(exchange)}
    if first == "me":
        of_pages = exchange.edge == "accounts" and bool(names - _PAGE_FIELDS)
        return of_pages or exchange.edge not in {"", "accounts", "permissions", "media", "insights", "stories"}
    if first in pages:
        return bool(exchange.edge) or bool(names - _PAGE_FIELDS)
    return not known and not is_account(exchange) and exchange.error.get("error_subcode") != 33


def _has_unknown_cursor(exchange: Exchange, made: Shape) -> bool:
    cursors = [exchange.params[name] for name in ("after", "before") if exchange.params.get(name)]
    return exchange.status == 200 and any(cursor not in made.cursors for cursor in cursors)


RULES = (
    ExceptionRule("not a Graph API host: files are not compared", lambda e, _: e.host not in _GRAPH_HOSTS),
    ExceptionRule("the recorded body is no JSON", lambda e, _: e.answer is None),
    ExceptionRule("a passing failure at Meta, tied to no rule", _is_weather),
    ExceptionRule(
        "writes are not played",
        lambda e, _: e.method not in {"GET", "HEAD"} and e.path not in _TOKEN_PATHS and "batch" not in e.params,
    ),
    ExceptionRule(
        "an edge nothing here reads",
        lambda e, _: bool(_NOT_PLAYED & {*e.segments, *e.params.get("fields", "").replace("{", ".").split(".")}),
    ),
    ExceptionRule("not Instagram: a Page's, a person's or an advertiser's own data", _is_foreign),
    ExceptionRule("a cursor whose page was not recorded", _has_unknown_cursor),
)


def replay(recording: Recording) -> list[Verdict]:
    """The verdict on each exchange of a recording, in order."""
    made = shape(recording)
    return [_verdict(exchange, made, recording) for exchange in recording.exchanges]


def _verdict(exchange: Exchange, made: Shape, recording: Recording) -> Verdict:
    for rule in RULES:
        if rule.applies(exchange, made):
            return Verdict("excepted", (rule.reason,))
    answer = simulate(exchange, made, recording)
    found = list(_compare(exchange, answer))
    return Verdict("different", tuple(found)) if found else Verdict("same")


def _compare(exchange: Exchange, answer: Answer) -> list[str]:
    found = (
        [] if answer.status == exchange.status else [f"status: {exchange.status} recorded, {answer.status} simulated"]
    )
    recorded: Any = exchange.answer
    simulated: Any = answer.body
    if isinstance(recorded, list) and isinstance(simulated, list):
        recorded, simulated = [_opened(part) for part in recorded], [_opened(part) for part in simulated]
    found += differences(recorded, simulated)
    if isinstance(recorded, dict) and isinstance(simulated, dict):
        if exchange.error:
            found += message_differences(recorded["error"], simulated.get("error", {}))
        elif "error_message" in recorded:
            found += message_differences(recorded, simulated)
    return found


def _opened(part: Any) -> Any:
    """A part of a batch with its body read, its headers aside: they differ from call to call."""
    if not isinstance(part, dict) or not isinstance(part.get("body"), str):
        return part
    return {"code": part.get("code"), "body": json.loads(part["body"])}


def simulate(exchange: Exchange, made: Shape, recording: Recording) -> Answer:
    """The simulator's answer to a recorded request, at the recorded time."""
    simulation = Simulation(made.world, clock=lambda: recording.now)
    login: Login = "facebook" if exchange.host == "graph.facebook.com" else "instagram"
    grant = _grant(made, login)
    token = simulation.book.issue(grant)
    params = _own_params(exchange, made, simulation, grant)
    _prepare(simulation, exchange, made, login)
    asked_with_token = "access_token" in exchange.params or exchange.error.get("code") not in {104, 2500}
    call = Call(
        method=exchange.method,
        path=exchange.path,
        params=params,
        version=served_version(exchange.version, recording.now.date()),
        base_url=f"https://{exchange.host}",
        now=recording.now,
        token=token if asked_with_token else None,
        host=exchange.host,
    )
    return simulation.answer(call)


def _grant(made: Shape, login: Login) -> Grant:
    """The scopes the recorded token must have had, told by what was refused to it."""
    scopes = set(USUAL_SCOPES[login])
    if made.answered_edges & {"tags", "mentioned_media"}:
        scopes.add(_COMMENTS[login])
    if "insights" in made.refused_edges:
        scopes.discard(_INSIGHTS[login])
    subject = made.account.user_id if login == "facebook" else made.account.id
    return Grant(login, "user", subject, 0, None, None, frozenset(scopes))


def _own_params(exchange: Exchange, made: Shape, simulation: Simulation, grant: Grant) -> dict[str, str]:
    """The recorded parameters with our own cursors and secrets in place of recorded ones."""
    params = {name: value for name, value in exchange.params.items() if name not in {"access_token", "appsecret_proof"}}
    for name in ("after", "before"):
        if params.get(name) in made.cursors:
            params[name] = cursor_of(made.cursors[params[name]])
    if exchange.path in _TOKEN_PATHS:
        secrets: dict[str, Any] = {
            "client_id": made.world.app_id,
            "client_secret": made.world.app_secret,
            "fb_exchange_token": simulation.book.issue(grant),
            "input_token": simulation.book.issue(grant),
        }
        params.update({name: value for name, value in secrets.items() if name in params})
    return params


def _prepare(simulation: Simulation, exchange: Exchange, made: Shape, login: Login) -> None:
    """Bring about the state a recorded error tells of: a dead token, a limit reached."""
    message = str(exchange.error.get("message", ""))
    now = simulation.clock()
    if message.startswith("Error validating access token"):
        subject = made.account.user_id if login == "facebook" else made.account.id
        subcode = exchange.error.get("error_subcode")
        simulation.book.kill(login, subject, at=now, subcode=subcode if isinstance(subcode, int) else None)
    if message.startswith("(#4)"):
        simulation.limits.throttle(APP, now=now, lasting=timedelta(hours=1))
    if message.startswith("(#80002)"):
        simulation.limits.throttle(made.account.id, now=now, lasting=timedelta(hours=1))
