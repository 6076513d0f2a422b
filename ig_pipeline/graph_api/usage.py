"""Meta's usage headers: how much of which limit is spent, in percent, and when access returns.

See docs/graph_api.md#errors-and-what-to-do.

Pure. `X-Business-Use-Case-Usage` lists every use case of a business side by side: advertisements and Pages at their
limit say nothing about Instagram. What follows from a percentage is `throttle`'s, from a refusal `classify`'s.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from ig_pipeline.bounded_answers import parse_json

Headers = Mapping[str, str]

_INSTAGRAM = "instagram"
# Ids of Instagram professional accounts begin so; those of businesses, Pages and ad accounts do not.
_INSTAGRAM_ID = "17841"
# Error code → the use cases its limit is of. A code from 80000 on that is missing here may be of any.
_USE_CASES: Mapping[int, frozenset[str]] = {
    32: frozenset({"pages"}),
    80000: frozenset({"ads_insights"}),
    80001: frozenset({"pages"}),
    80002: frozenset({_INSTAGRAM}),
    80003: frozenset({"custom_audience", "ads_management"}),
    80004: frozenset({"ads_management"}),
    80005: frozenset({"leadgen"}),
    80006: frozenset({"messenger"}),
}
_FIRST_OF_A_USE_CASE = 80000
# The limits are counted over an hour or a day: a longer time is a number gone wrong.
_LONGEST_MINUTES = 7 * 24 * 60


@dataclass(frozen=True)
class _Entry:
    """One entry of the business header. `subject`: the id it stands under; `use_case` None: the entry has no type."""

    subject: str
    use_case: str | None
    usage: Mapping[str, object]

    def is_of_instagram(self, account_id: str) -> bool:
        """Whether it counts for calls about the account, "" before one is known.

        A call is listed under the account's id and under its business' id alike (recorded): both count. An entry of
        another Instagram account does not, for each account has a limit of its own.
        """
        if self.use_case not in {None, _INSTAGRAM}:
            return False
        another = self.subject.startswith(_INSTAGRAM_ID) and self.subject != account_id
        return not (account_id and another)


def app_percent(headers: Headers) -> float | None:
    """What the app has spent of its limit, by `X-App-Usage` (names in lower case); None without the header."""
    return _percent([_parsed(headers.get("x-app-usage"))])


def instagram_percent(headers: Headers, account_id: str) -> float | None:
    """What an account has spent of its Instagram limit; None when the header has nothing about it."""
    return _percent(entry.usage for entry in _entries(headers) if entry.is_of_instagram(account_id))


def regain_time(headers: Headers, now: datetime, *, account_id: str = "", code: int | None = None) -> datetime | None:
    """When access comes back (UTC), by the business header's minutes; None when it names no block.

    `code`: the error of a refusal, which may be about another use case than Instagram; its own entries count then.
    """
    minutes = [
        found
        for entry in _entries(headers)
        if _tells_of(entry, account_id, code)
        and isinstance(found := entry.usage.get("estimated_time_to_regain_access"), int | float)
    ]
    longest = max(minutes, default=0)
    return now + timedelta(minutes=min(longest, _LONGEST_MINUTES)) if longest > 0 else None


def _tells_of(entry: _Entry, account_id: str, code: int | None) -> bool:
    use_cases = _USE_CASES.get(code or 0)
    if use_cases is None and code is not None and code >= _FIRST_OF_A_USE_CASE:
        return True
    if use_cases is None or _INSTAGRAM in use_cases:
        return entry.is_of_instagram(account_id)
    return entry.use_case is None or entry.use_case in use_cases


def _entries(headers: Headers) -> list[_Entry]:
    listed = _parsed(headers.get("x-business-use-case-usage"))
    return [
        _Entry(subject, use_case if isinstance(use_case := usage.get("type"), str) else None, usage)
        for subject, usages in listed.items()
        if isinstance(usages, list)
        for usage in usages
        if isinstance(usage, Mapping)
    ]


def _percent(usages: Iterable[Mapping[str, object]]) -> float | None:
    """The greatest percentage: any of the three that reaches 100 throttles; None without one."""
    values = [
        float(value)
        for usage in usages
        for name in ("call_count", "total_cputime", "total_time")
        if isinstance(value := usage.get(name), int | float)
    ]
    return max(values, default=None)


def _parsed(header: str | None) -> Mapping[str, object]:
    try:
        value = parse_json(header) if header else {}
    except ValueError:
        return {}
    return value if isinstance(value, Mapping) else {}
