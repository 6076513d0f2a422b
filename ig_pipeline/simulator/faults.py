"""Faults on demand: which calls go wrong, and how. Seeded: the same plan and seed give the same storm.

A call's fate hangs on what it asks and on how often it was asked before, not on the order of calls, so that a
concurrent client meets the same storm at each run.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ig_pipeline.simulator.draws import choose, fraction, opaque
from ig_pipeline.simulator.requests import Answer, Call, Json
from ig_pipeline.simulator.views import DETOUR

FaultKind = Literal[
    "server_error_1",
    "server_error_2",
    "unavailable",
    "bad_gateway",
    "too_many_requests",
    "transient_400",
    "reduce_data",
    "hang",
    "reset",
    "truncated",
    "cut_json",
    "html",
    "empty",
    "not_a_list",
    "missing_metric",
    "repeated_cursor",
    "wrong_content_type",
    "empty_set",
    "empty_page",
    "odd_row",
    "unnamed_refusal",
    "vanished",
    "slow",
    "huge",
    "deep",
    "odd_numbers",
    "error",
]
KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
# What `kinds: storm` means: everything a client should survive without help. The last five say nothing, or refuse
# without naming a rule: near its limits Meta has done both (airbyte #4028).
STORM: tuple[FaultKind, ...] = KINDS[: KINDS.index("slow")]
# They spoil a good answer; the others take its place.
_SPOILING = frozenset(
    {
        "truncated",
        "cut_json",
        "not_a_list",
        "missing_metric",
        "repeated_cursor",
        "wrong_content_type",
        "empty_set",
        "empty_page",
        "odd_row",
        "odd_numbers",
    }
)
_LISTINGS = frozenset({"media", "accounts", "stories"})
_INSIGHTS = frozenset({"insights", "media_insights"})
# Kinds that some endpoints alone can have.
_ENDPOINTS: dict[FaultKind, frozenset[str]] = {
    "missing_metric": _INSIGHTS,
    "repeated_cursor": _LISTINGS,
    "not_a_list": _INSIGHTS | _LISTINGS,
    "empty_set": _INSIGHTS | _LISTINGS,
    "empty_page": _LISTINGS,
    "odd_row": frozenset({"insights", "media", "stories"}),
    "unnamed_refusal": _INSIGHTS,
    "vanished": _INSIGHTS | {"media", "stories", "media_node", "profile"},
}
# More than any answer of Meta's.
_HUGE = 17 * 1024 * 1024
_HTML = (
    "<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Sorry, something went wrong.</h1></body></html>"
)


class FaultPlanError(Exception):
    """A plan that cannot be read; the text names the place and what would be right."""


class FaultError(BaseModel):
    """The error of a rule of kind `error`, word for word."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: int = 400
    body: dict[str, Any]


class FaultRule(BaseModel):
    """One line of a plan: `kinds` fall on calls whose `endpoint` and `account` (patterns) fit, with `probability`.

    `times`: at most so often in all; `after`: not on the first so many fitting calls; `in_a_row`: at most so often on
    the same question; `above_limit`: only on pages of more rows; `seconds`: for hang and slow; `error`: for kind error.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kinds: tuple[FaultKind, ...] = Field(min_length=1)
    probability: float = Field(default=1.0, ge=0, le=1)
    endpoint: str = "*"
    account: str = "*"
    times: int | None = Field(default=None, ge=1)
    after: int = Field(default=0, ge=0)
    in_a_row: int | None = Field(default=None, ge=1)
    above_limit: int | None = Field(default=None, ge=0)
    seconds: float = Field(default=30.0, gt=0)
    error: FaultError | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_or_many(cls, given: object) -> object:
        """`kind: x` and `kinds: storm` are short for lists."""
        if not isinstance(given, dict):
            return given
        rule = dict(given)
        if "kind" in rule:
            rule["kinds"] = (rule.pop("kind"),)
        if rule.get("kinds") == "storm":
            rule["kinds"] = STORM
        return rule

    @model_validator(mode="after")
    def _error_is_given(self) -> Self:
        if "error" in self.kinds and self.error is None:
            raise ValueError("kind error needs `error:` with `status` and `body`")
        return self


class FaultPlan(BaseModel):
    """A seed and rules; the first rule that strikes decides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 1
    faults: tuple[FaultRule, ...] = ()


def read_plan(given: object) -> FaultPlan:
    """A plan from parsed YAML or JSON. Raises FaultPlanError."""
    try:
        return FaultPlan.model_validate({} if given is None else given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the plan"
        raise FaultPlanError(f"{place}: {first['msg']}. Kinds are {', '.join(KINDS)}.") from None


def load_plan(path: Path) -> FaultPlan:
    """A plan from a YAML file. Raises FaultPlanError."""
    try:
        return read_plan(yaml.safe_load(path.read_text()))
    except (OSError, yaml.YAMLError) as error:
        raise FaultPlanError(f"{path} cannot be read: {error}") from None


@dataclass(frozen=True)
class Fault:
    """A fault that strikes: its kind, and a name for further draws."""

    kind: FaultKind
    rule: FaultRule
    name: str

    @property
    def spoils(self) -> bool:
        """Whether it needs the good answer."""
        return self.kind in _SPOILING


class Faults:
    """A plan at work: remembers how often each question was asked and each rule struck."""

    def __init__(self, plan: FaultPlan) -> None:
        self.plan = plan
        self.struck: Counter[FaultKind] = Counter()
        self._asked: Counter[str] = Counter()
        self._fitting: Counter[int] = Counter()
        self._times: Counter[int] = Counter()
        self._row: Counter[tuple[int, str]] = Counter()

    def draw(self, call: Call, *, endpoint: str, account: str) -> Fault | None:
        """The fault of this call; None when it goes well."""
        if not self.plan.faults:
            return None
        asked = {k: v for k, v in call.params.items() if k not in {"access_token", "appsecret_proof"}}
        question = json.dumps([call.method, call.path, asked], sort_keys=True)
        attempt = self._asked[question]
        self._asked[question] += 1
        for n, rule in enumerate(self.plan.faults):
            if _meant(rule, call, endpoint, account):
                name = f"{self.plan.seed}/{n}/{question}/{attempt}"
                if self._strikes(n, rule, question, name):
                    kinds = tuple(kind for kind in rule.kinds if _fits(kind, call, endpoint))
                    return Fault(choose(kinds, name, "kind"), rule, name) if kinds else None
        return None

    def note(self, fault: Fault) -> None:
        """Count a fault that really fell."""
        self.struck[fault.kind] += 1

    def _strikes(self, n: int, rule: FaultRule, question: str, name: str) -> bool:
        self._fitting[n] += 1
        exhausted = rule.times is not None and self._times[n] >= rule.times
        enough = rule.in_a_row is not None and self._row[n, question] >= rule.in_a_row
        if self._fitting[n] <= rule.after or exhausted or enough or fraction(name) >= rule.probability:
            self._row[n, question] = 0
            return False
        self._row[n, question] += 1
        self._times[n] += 1
        return True


def _meant(rule: FaultRule, call: Call, endpoint: str, account: str) -> bool:
    if rule.above_limit is not None and int(call.params.get("limit") or 0) <= rule.above_limit:
        return False
    return fnmatchcase(endpoint, rule.endpoint) and fnmatchcase(account, rule.account)


def _fits(kind: FaultKind, call: Call, endpoint: str) -> bool:
    """Whether this call can have a fault of this kind at all."""
    if kind == "repeated_cursor" and "after" not in call.params:
        return False
    if kind == "unnamed_refusal" and "insights.metric" in call.params.get("fields", ""):
        return True
    return endpoint in _ENDPOINTS.get(kind, {endpoint})


def spoiled(fault: Fault, answer: Answer, call: Call) -> Answer:
    """The good `answer` after a spoiling fault; untouched when there is nothing in it to spoil."""
    body = answer.body
    if answer.status != 200 or not isinstance(body, dict):
        return answer
    text = answer.encoded().decode()
    ways: dict[FaultKind, Callable[[], Answer]] = {
        "truncated": lambda: replace(answer, delivery="truncated"),
        "cut_json": lambda: replace(answer, body=text[: len(text) * 2 // 3]),
        "not_a_list": lambda: replace(answer, body={**body, "data": None}),
        "wrong_content_type": lambda: replace(answer, content_type="text/plain; charset=UTF-8"),
        "missing_metric": lambda: replace(answer, body={**body, "data": body["data"][:-1]}),
        "repeated_cursor": lambda: _repeating(answer, body, call),
        "empty_set": lambda: replace(answer, body={"data": []}) if body["data"] else answer,
        "empty_page": lambda: _leading_on(answer, call),
        "odd_row": lambda: _with_an_odd_row(fault, answer, body),
        "odd_numbers": lambda: replace(answer, body=re.sub(r'"value":\d+', _odd_value, text)),
    }
    return ways[fault.kind]()


def _odd_value(found: re.Match[str]) -> str:
    return '"value":' + ("1e400", "NaN", "9" * 400)[found.start() % 3]


def _repeating(answer: Answer, body: Json, call: Call) -> Answer:
    """A page that points to itself: its cursor and `next` are those the caller came with."""
    paging = dict(body.get("paging", {}))
    if "next" not in paging:
        return answer
    cursor = call.params["after"]
    link = call.link(call.path, {**call.params, "after": cursor})
    again = {**paging, "cursors": {**paging["cursors"], "after": cursor}, "next": link}
    return replace(answer, body={**body, "paging": again})


def _leading_on(answer: Answer, call: Call) -> Answer:
    """A page without rows, and a cursor to the place that the walk has reached (restfb #916)."""
    cursor = call.params.get("after", "")
    if cursor.endswith(DETOUR):
        return answer  # once on the way is enough
    link = call.link(call.path, {**call.params, "after": cursor + DETOUR})
    return replace(answer, body={"data": [], "paging": {"cursors": {"after": cursor + DETOUR}, "next": link}})


def _with_an_odd_row(fault: Fault, answer: Answer, body: Json) -> Answer:
    """One row without what makes it one: its time, its name, the end of a bucket, or anything at all."""
    rows = list(body["data"])
    if not rows:
        return answer
    place = int(fraction(fault.name, "which row") * len(rows))
    row = dict(rows[place])
    if isinstance(row.get("values"), list) and len(row["values"]) > 1:
        odd = dict(row["values"][-1])
        odd.pop("end_time", None)
        row["values"] = [*row["values"][:-1], odd]
    elif "timestamp" in row:
        row.pop("timestamp") if fraction(fault.name, "how") < 0.5 else row.update(children=None, timestamp="soon")
    else:
        row.pop("name", None)
    rows[place] = row
    return replace(answer, body={**body, "data": rows})


def instead(fault: Fault) -> Answer:
    """The answer of a fault that takes the good one's place."""
    trace = "A" + opaque(22, fault.name, "trace")
    plain = "text/plain; charset=utf-8"
    page = "text/html; charset=utf-8"
    answers: dict[FaultKind, Answer] = {
        "server_error_1": Answer(500, _error(trace, 1, "An unknown error occurred")),
        "server_error_2": Answer(
            500, _error(trace, 2, "An unexpected error has occurred. Please retry your request later.", transient=True)
        ),
        "reduce_data": Answer(
            500,
            {
                "error": {
                    "code": 1,
                    "message": "Please reduce the amount of data you're asking for, then retry your request",
                }
            },
        ),
        "transient_400": Answer(
            400, _error(trace, 2, "Service temporarily unavailable", transient=True, kind="FacebookApiException")
        ),
        "unnamed_refusal": Answer(400, _error(trace, 100, "(#100) Invalid parameter")),
        "vanished": Answer(400, _vanished(trace)),
        "unavailable": Answer(503, "Service Unavailable", content_type=plain),
        "bad_gateway": Answer(502, _HTML, content_type=page),
        "too_many_requests": Answer(429, "Too Many Requests", content_type=plain),
        "html": Answer(200, _HTML, content_type=page),
        "empty": Answer(200, ""),
        "huge": Answer(200, '{"data":"' + " " * _HUGE + '"}'),
        "deep": Answer(200, "[" * 200_000),
        "reset": Answer(200, "", delivery="reset"),
        "hang": Answer(200, "", delivery="reset", delay=fault.rule.seconds),
    }
    if fault.kind == "error":
        assert fault.rule.error is not None
        return Answer(fault.rule.error.status, fault.rule.error.body)
    return answers[fault.kind]


def _vanished(trace: str) -> Json:
    """What of an object that exists is now and then a rate limit in disguise (airbyte #4028)."""
    message = (
        "Unsupported get request. Object with ID does not exist, cannot be loaded due to missing permissions, or does "
        "not support this operation."
    )
    body = _error(trace, 100, message, kind="GraphMethodException")
    return {"error": {**body["error"], "error_subcode": 33}}


def _error(trace: str, code: int, message: str, *, transient: bool = False, kind: str = "OAuthException") -> Json:
    error: Json = {"message": message, "type": kind, "code": code}
    if transient:
        error["is_transient"] = True
    return {"error": {**error, "fbtrace_id": trace}}
