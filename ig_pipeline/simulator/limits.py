"""Calls counted, and rate limits as the real ones feel: percentages in headers, a stop at 100, a block that grows.

Limits count per account and per app, in a rolling 24 hours (docs/graph_api.md#rate-limits-and-usage-headers).
Deterministic: only calls and the clock decide. Control requests and downloads of files are not calls.
"""

import json
import math
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ig_pipeline.simulator.refusals import RefusalError, account_limit, app_limit

NO_ACCOUNT = "-"


class CallCounts:
    """Counts by (username, endpoint); `NO_ACCOUNT` stands for calls about no account. Safe between threads.

    Endpoints: `insights`, `media`, `media_insights`, `media_node`, `profile`, `accounts`, `stories`, `token`, …
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def add(self, username: str, endpoint: str) -> None:
        """Count one call."""
        with self._lock:
            self._counts[username, endpoint] += 1

    def of(self, username: str, endpoint: str | None = None) -> int:
        """Calls about an account, of one endpoint or of all."""
        with self._lock:
            return sum(n for (who, what), n in self._counts.items() if who == username and endpoint in {None, what})

    def total(self, endpoint: str | None = None) -> int:
        """All calls, of one endpoint or of all."""
        with self._lock:
            return sum(n for (_, what), n in self._counts.items() if endpoint in {None, what})

    def reset(self) -> None:
        """Start counting from zero."""
        with self._lock:
            self._counts.clear()

    def as_json(self) -> dict[str, Any]:
        """`{"total": n, "accounts": {username: {"total": n, "endpoints": {endpoint: n}}}}`."""
        with self._lock:
            counts = dict(self._counts)
        accounts: dict[str, dict[str, Any]] = {}
        for (username, endpoint), number in sorted(counts.items()):
            entry = accounts.setdefault(username, {"total": 0, "endpoints": {}})
            entry["total"] += number
            entry["endpoints"][endpoint] = number
        return {"total": sum(counts.values()), "accounts": accounts}


# ---- limits --------------------------------------------------------------------------------------------------------

APP = "app"
# How long a limit reached by counting shuts, and what each further call adds ("continuing to make calls will
# continue to increase your call count", docs/graph_api.md#rate-limits-and-usage-headers).
BLOCK = timedelta(minutes=10)
LENGTHENED_BY = timedelta(seconds=30)
LONGEST = timedelta(hours=24)
_WINDOW = timedelta(hours=24)
_SLICE = 300  # seconds


@dataclass(frozen=True)
class OtherUsage:
    """Usage of another use case than Instagram, as the business header lists it beside the account's own.

    `use_case`: `ads_management`, `pages`, … and "" for an entry without a type. `listed_under`: the id of the business,
    Page, ad account or other Instagram account it is of.
    """

    use_case: str
    percent: int
    regain_minutes: int
    listed_under: str


@dataclass
class _Meter:
    """The calls of one subject, in slices of five minutes, and its block."""

    slices: Counter[int] = field(default_factory=Counter)
    blocked_until: datetime | None = None
    block_after: int | None = None
    block_for: timedelta = BLOCK

    def used(self, now: datetime) -> int:
        oldest = int((now - _WINDOW).timestamp()) // _SLICE
        for slice_ in [slice_ for slice_ in self.slices if slice_ < oldest]:
            del self.slices[slice_]
        return self.slices.total()

    def blocked(self, now: datetime) -> bool:
        return self.blocked_until is not None and now < self.blocked_until


class Limits:
    """The meters of every account and of the app."""

    def __init__(self, *, calls_a_day: int, app_calls_a_day: int) -> None:
        self._calls_a_day = calls_a_day
        self._app_calls_a_day = app_calls_a_day
        self._meters: dict[str, _Meter] = {}
        self._others: dict[str, list[OtherUsage]] = {}

    def list_beside(self, subject: str, other: OtherUsage) -> None:
        """Let the answers about an account carry usage that is not its own."""
        self._others.setdefault(subject, []).append(other)

    def list_alone(self, subject: str) -> None:
        """Let them carry its own usage alone again."""
        self._others.pop(subject, None)

    def throttle(self, subject: str, *, now: datetime, lasting: timedelta, after_calls: int = 0) -> None:
        """Block an account id (or `APP`) for `lasting`, beginning after `after_calls` more calls."""
        meter = self._meter(subject)
        meter.block_for = lasting
        meter.block_after = after_calls
        if after_calls == 0:
            meter.block_after, meter.blocked_until = None, now + lasting

    def release(self, subject: str) -> None:
        """End a block at once and clear the calls that led to it."""
        self._meters.pop(subject, None)

    def count(self, subject: str, now: datetime) -> None:
        """Count one call. Raises RefusalError when it is one too many; then the block grows."""
        meter = self._meter(subject)
        if meter.blocked(now):
            assert meter.blocked_until is not None
            meter.blocked_until = min(meter.blocked_until + LENGTHENED_BY, now + LONGEST)
            raise self._refusal(subject)
        if meter.blocked_until is not None:  # the block is over: a clean slate
            meter.blocked_until = None
            meter.slices.clear()
        if meter.block_after is not None:
            if meter.block_after == 0:
                meter.block_after, meter.blocked_until = None, now + meter.block_for
                raise self._refusal(subject)
            meter.block_after -= 1
        if meter.used(now) >= self._budget(subject):
            meter.blocked_until = now + BLOCK
            raise self._refusal(subject)
        meter.slices[int(now.timestamp()) // _SLICE] += 1

    def check_app(self, now: datetime) -> None:
        """Raises RefusalError while the whole app is blocked; the block grows with it."""
        if self._meter(APP).blocked(now):
            self.count(APP, now)

    def headers(self, subject: str, now: datetime) -> dict[str, str]:
        """The usage header of an answer: the account's own, or the app's for calls about no account."""
        meter = self._meter(subject)
        percent = 100 if meter.blocked(now) else min(100, 100 * meter.used(now) // self._budget(subject))
        usage = {"call_count": percent, "total_cputime": percent // 4, "total_time": percent // 4}
        if subject == APP:
            return {"x-app-usage": _compact(usage)}
        regain = self.minutes_left(subject, now)
        listed = {subject: [{"type": "instagram", **usage, "estimated_time_to_regain_access": regain}]}
        for other in self._others.get(subject, []):
            listed.setdefault(other.listed_under, []).append(_entry_of(other))
        return {"x-business-use-case-usage": _compact(listed)}

    def minutes_left(self, subject: str, now: datetime) -> int:
        """Minutes until access is regained, rounded up; 0 when nothing is blocked, even at 99 %."""
        meter = self._meter(subject)
        if not meter.blocked(now):
            return 0
        assert meter.blocked_until is not None
        return math.ceil((meter.blocked_until - now).total_seconds() / 60)

    def blocked_until(self, subject: str, now: datetime) -> datetime | None:
        """When a subject's block ends without further calls; None when it is not blocked."""
        meter = self._meter(subject)
        return meter.blocked_until if meter.blocked(now) else None

    def _meter(self, subject: str) -> _Meter:
        return self._meters.setdefault(subject, _Meter())

    def _budget(self, subject: str) -> int:
        return self._app_calls_a_day if subject == APP else self._calls_a_day

    def _refusal(self, subject: str) -> RefusalError:
        return app_limit() if subject == APP else account_limit()


def _entry_of(other: OtherUsage) -> dict[str, object]:
    """An entry of the header; one without a type begins with its numbers."""
    numbers = {"call_count": other.percent, "total_cputime": other.percent // 4, "total_time": other.percent // 4}
    named = {"type": other.use_case} if other.use_case else {}
    return {**named, **numbers, "estimated_time_to_regain_access": other.regain_minutes}


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
