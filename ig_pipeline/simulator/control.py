"""Levers under `/_simulator/`: the accounts, the truth about them, the calls counted, and what goes wrong.

For tests, the demo and other processes; nothing of it exists at Meta.
"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import Any, TypeVar, get_args

import yaml
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ig_pipeline.simulator.accounts import DAILY_METRICS, Account
from ig_pipeline.simulator.consent import Consent
from ig_pipeline.simulator.faults import FaultPlan, FaultPlanError, Faults, read_plan
from ig_pipeline.simulator.limits import APP, OtherUsage
from ig_pipeline.simulator.oddities import APP_FAULTS, PAGE_ROWS, UNREADABLE, UNREADABLE_ID
from ig_pipeline.simulator.requests import Json, names_in
from ig_pipeline.simulator.simulation import Simulation
from ig_pipeline.simulator.tokens import USUAL_SCOPES, Grant, Login

T = TypeVar("T")
PREFIX = "/_simulator"
_MINUTE = 60.0
# Under whose id a business' usage is listed when the lever names none.
_BUSINESS = "100000000000099"


class ControlError(Exception):
    """A control request that makes no sense; the text says what would."""


def control_routes(simulation: Simulation) -> list[Route]:
    """The routes, to stand before the Graph API's."""
    controls = _Controls(simulation)

    def route(path: str, handle: Callable[[Request], Any], *methods: str) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                return JSONResponse(handle(request))
            except ControlError as error:
                return JSONResponse({"error": str(error)}, 400)

        return Route(PREFIX + path, endpoint, methods=list(methods or ("GET",)))

    return [
        route("", controls.overview),
        route("/accounts", controls.accounts),
        route("/accounts/{username}/truth", controls.truth),
        route("/accounts/{username}/recount", controls.recount, "POST"),
        route("/calls", controls.calls),
        route("/calls/reset", controls.reset_calls, "POST"),
        route("/clock", controls.clock, "GET", "POST"),
        route("/tokens/{username}/revoke", controls.revoke, "POST"),
        route("/tokens/{username}/expire", controls.expire, "POST"),
        route("/tokens/{username}/data-access", controls.data_access, "POST"),
        route("/tokens/{username}/permissions", controls.permissions, "POST", "DELETE"),
        route("/tokens/{username}/endless", controls.endless, "POST"),
        route("/token-answers", controls.token_answers, "POST"),
        route("/app", controls.app, "GET", "POST", "DELETE"),
        route("/pages/{username}", controls.pages, "POST", "DELETE"),
        route("/grants/{username}", controls.grants, "POST", "DELETE"),
        route("/throttle/{username}", controls.throttle, "POST", "DELETE"),
        route("/usage/{username}", controls.usage, "POST", "DELETE"),
        route("/consent/{username}", controls.consent, "POST"),
        _faults_route(simulation),
    ]


def _faults_route(simulation: Simulation) -> Route:
    """`/faults`: GET shows the plan and what it did, POST (YAML or JSON) replaces it, DELETE ends it."""

    async def endpoint(request: Request) -> Response:
        try:
            if request.method == "POST":
                simulation.faults = Faults(read_plan(yaml.safe_load(await request.body())))
            elif request.method == "DELETE":
                simulation.faults = Faults(FaultPlan())
        except (FaultPlanError, yaml.YAMLError) as error:
            return JSONResponse({"error": str(error)}, 400)
        faults = simulation.faults
        return JSONResponse({**faults.plan.model_dump(mode="json"), "struck": dict(faults.struck)})

    return Route(f"{PREFIX}/faults", endpoint, methods=["GET", "POST", "DELETE"])


class _Controls:
    """One method a route. Numbers and switches come as query parameters."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation

    def overview(self, _: Request) -> Json:
        """What this is and with which app's credentials to ask."""
        world = self.simulation.world
        return {
            "seed": world.seed,
            "accounts": len(world.accounts),
            "now": self.simulation.clock().isoformat(),
            "app_id": world.app_id,
            "app_secret": world.app_secret,
        }

    def accounts(self, _: Request) -> list[Json]:
        """Every account with its tokens, one for each login."""
        return [
            {
                "username": account.username,
                "id": account.id,
                "kind": account.kind.name,
                "followers_count": account.followers_count(),
                "page_id": account.page_id,
                "token": self.simulation.token(account.username),
                "instagram_token": self.simulation.token(account.username, "instagram"),
            }
            for account in self.simulation.world.accounts
        ]

    def truth(self, request: Request) -> Json:
        """What is true of the days `first` to `last` as of `at` (default: now), day by day."""
        account = self._account(request)
        at = _instant(request, "at") or self.simulation.clock()
        first = _day(request, "first")
        last = _day(request, "last", first)
        ordinals = range(first.toordinal(), last.toordinal() + 1)
        days = {str(day): _truth_of(account, day, at) for day in map(date.fromordinal, ordinals)}
        return {"username": account.username, "at": at.isoformat(), "days": days}

    def recount(self, request: Request) -> Json:
        """Let Meta correct the metrics of a `day` (not of its posts) by so many `percent`."""
        account, day = self._account(request), _day(request, "day")
        account.recounted[day] = int(_number(request, "percent"))
        return {"username": account.username, "day": str(day), "percent": account.recounted[day]}

    def calls(self, _: Request) -> Json:
        """The counts of `CallCounts.as_json`."""
        return self.simulation.calls.as_json()

    def reset_calls(self, _: Request) -> Json:
        """Count from zero."""
        self.simulation.calls.reset()
        return {"total": 0}

    def clock(self, request: Request) -> Json:
        """Read the clock; POST with `offset` (seconds) or `now` (ISO) sets it."""
        clock = self.simulation.clock
        if request.method == "POST":
            if instant := _instant(request, "now"):
                clock.set(instant)
            else:
                clock.offset = timedelta(seconds=_number(request, "offset"))
        return {"now": clock().isoformat(), "offset": clock.offset.total_seconds()}

    def revoke(self, request: Request) -> Json:
        """End the owner's tokens of a `login` (default both); `subcode` (458) says why."""
        return self._kill(request, int(_number(request, "subcode", 458)), self.simulation.clock())

    def expire(self, request: Request) -> Json:
        """Let the owner's tokens end `in` seconds from now (default at once)."""
        at = self.simulation.clock() + timedelta(seconds=_number(request, "in", 0))
        return self._kill(request, 463, at)

    def data_access(self, request: Request) -> Json:
        """Let the app read for the owner until `in` seconds from now (default: no longer); their token stays valid."""
        account = self._account(request)
        at = self.simulation.clock() + timedelta(seconds=_number(request, "in", 0))
        self.simulation.book.end_data_access(account.user_id, at=at)
        return {"username": account.username, "at": at.isoformat()}

    def permissions(self, request: Request) -> Json:
        """Take the scopes `without` from the owner's tokens, until their next consent; DELETE gives them back."""
        account = self._account(request)
        given_back = request.method == "DELETE"
        scopes = frozenset() if given_back else frozenset(names_in(request.query_params.get("without")))
        if not given_back and not scopes:
            raise ControlError("name scopes with `without`")
        for login in get_args(Login):
            self.simulation.book.withdraw(login, self.simulation.subject_of(account.username, login), scopes)
        return {"username": account.username, "without": sorted(scopes)}

    def endless(self, request: Request) -> Json:
        """A token of the owner that never ends, as a system user's."""
        account, book = self._account(request), self.simulation.book
        scopes = frozenset(USUAL_SCOPES["facebook"])
        generation = book.generation_of("facebook", account.user_id)
        grant = Grant("facebook", "system_user", account.user_id, generation, self.simulation.clock(), None, scopes)
        return {"username": account.username, "token": book.issue(grant)}

    def token_answers(self, request: Request) -> Json:
        """Whether token endpoints answer with `expires_in`: `omitted` or `stated`."""
        wanted = _choice(request, "expires_in", ("omitted", "stated"))
        self.simulation.oddities.expires_in_omitted = wanted == "omitted"
        return {"expires_in": wanted}

    def app(self, request: Request) -> Json:
        """What is wrong with the app: `fault`; DELETE puts it right."""
        oddities = self.simulation.oddities
        if request.method != "GET":
            oddities.app = None if request.method == "DELETE" else _choice(request, "fault", APP_FAULTS)
        return {"fault": oddities.app}

    def pages(self, request: Request) -> Json:
        """Put an odd `row` before the person's Pages, or leave their next `empty` listings empty; DELETE undoes it."""
        subject, oddities = self._person(request), self.simulation.oddities
        oddities.rows.pop(subject, None)
        oddities.empty.pop(subject, None)
        if request.method == "POST" and "row" in request.query_params:
            oddities.rows[subject] = _choice(request, "row", PAGE_ROWS)
        elif request.method == "POST":
            oddities.empty[subject] = int(_number(request, "empty"))
        return {"row": oddities.rows.get(subject), "empty": oddities.empty.get(subject, 0)}

    def grants(self, request: Request) -> Json:
        """Name an `unreadable` id before those the person granted (`alone=1`: instead); DELETE takes it away."""
        subject, oddities = self._person(request), self.simulation.oddities
        oddities.unreadable.pop(subject, None)
        if request.method == "POST":
            oddities.unreadable[subject] = _choice(request, "unreadable", UNREADABLE)
            oddities.only_unreadable = request.query_params.get("alone") == "1"
        return {"id": UNREADABLE_ID, "unreadable": oddities.unreadable.get(subject)}

    def _person(self, request: Request) -> str:
        subject = self.simulation.dialogs.subject("facebook", request.path_params["username"])
        if subject is None:
            raise ControlError("name an account, or agency")
        return subject

    def throttle(self, request: Request) -> Json:
        """Block an account (`app`: all) for `seconds` or `minutes` (60), from the call `after` the next ones on."""
        name = request.path_params["username"]
        subject = APP if name == APP else self._account(request).id
        limits, now = self.simulation.limits, self.simulation.clock()
        if request.method == "DELETE":
            limits.release(subject)
            return {"username": name, "blocked_until": None}
        seconds = _number(request, "seconds", 0) or _MINUTE * _number(request, "minutes", 60)
        after = int(_number(request, "after", 0))
        limits.throttle(subject, now=now, lasting=timedelta(seconds=seconds), after_calls=after)
        until = limits.blocked_until(subject, now)
        return {"username": name, "after": after, "blocked_until": until.isoformat() if until else None}

    def usage(self, request: Request) -> Json:
        """List usage of another use case (`type`, "" for none) at `percent` (100) beside an account's own.

        It regains access in `minutes` (0) and is listed under `id`, by default a business'. DELETE removes all of it.
        """
        account, limits = self._account(request), self.simulation.limits
        if request.method == "DELETE":
            limits.list_alone(account.id)
            return {"username": account.username, "listed": None}
        query = request.query_params
        listed_under = query.get("id") or _BUSINESS
        if not listed_under.isdecimal():
            raise ControlError("id is the number of a business, a Page, an ad account or an Instagram account")
        percent, minutes = int(_number(request, "percent", 100)), int(_number(request, "minutes", 0))
        other = OtherUsage(query.get("type", "ads_management"), percent, minutes, listed_under)
        limits.list_beside(account.id, other)
        return {"username": account.username, "listed": asdict(other)}

    def consent(self, request: Request) -> Json:
        """Agree in an owner's place (`agency`: the person with every Page); gives the code the dialog would give."""
        query = request.query_params
        login: Login = "instagram" if query.get("login") == "instagram" else "facebook"
        subject = self.simulation.dialogs.subject(login, request.path_params["username"])
        if subject is None or "redirect_uri" not in query:
            raise ControlError("name an account, and the redirect_uri the code shall be good for")
        scopes = frozenset(names_in(query.get("scope")) or USUAL_SCOPES[login])
        consent = Consent(login, subject, query["redirect_uri"], scopes, self.simulation.clock())
        return {"code": self.simulation.codes.give(consent)}

    def _kill(self, request: Request, subcode: int, at: datetime) -> Json:
        account = self._account(request)
        chosen = request.query_params.get("login")
        if chosen not in {None, *get_args(Login)}:
            raise ControlError(f"login is facebook or instagram, not {chosen}")
        logins: list[Login] = [login for login in get_args(Login) if chosen in {None, login}]
        for login in logins:
            subject = self.simulation.subject_of(account.username, login)
            self.simulation.book.kill(login, subject, at=at, subcode=subcode)
        return {"username": account.username, "logins": logins, "subcode": subcode, "at": at.isoformat()}

    def _account(self, request: Request) -> Account:
        name = request.path_params["username"]
        try:
            return self.simulation.world.account(name)
        except KeyError:
            raise ControlError(f"no account {name}; GET {PREFIX}/accounts lists them") from None


def _truth_of(account: Account, day: date, at: datetime) -> Json:
    metrics = {name: account.metric(name, day, at) for name in DAILY_METRICS}
    posts = account.posts_on(day, at)
    return {
        "reach": account.reach(day, at),
        "engagement": account.engagement(day, at),
        "posts": [post.id for post in posts],
        "metrics": metrics,
    }


def _day(request: Request, name: str, default: date | None = None) -> date:
    text = request.query_params.get(name)
    if text is None and default is not None:
        return default
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        raise ControlError(f"{name} is a day like 2026-11-20") from None


def _instant(request: Request, name: str) -> datetime | None:
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise ControlError(f"{name} is an instant with its zone, like 2026-11-20T12:00:00Z")
    return instant


def _choice(request: Request, name: str, choices: tuple[T, ...]) -> T:
    text = request.query_params.get(name)
    for choice in choices:
        if choice == text:
            return choice
    raise ControlError(f"{name} is one of {', '.join(map(str, choices))}")


def _number(request: Request, name: str, default: float | None = None) -> float:
    text = request.query_params.get(name)
    if text is None and default is not None:
        return default
    try:
        return float(text or "")
    except ValueError:
        raise ControlError(f"{name} is a number") from None
