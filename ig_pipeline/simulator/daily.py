"""The truth of an account's daily metrics: what each Pacific day measured, and how much of it shows at an instant.

A bucket shows nothing until it has ended, less than its final value for 48 hours, then its final value (facts §1.2).
"""

from datetime import date, datetime

from ig_pipeline.simulator.chance import between, fraction
from ig_pipeline.simulator.days import SETTLES_AFTER, ends

# What a total adds up from; the other metrics of a day are a share of its reach.
INTERACTIONS = ("likes", "comments", "shares", "saves", "replies", "reposts")
_SHARES_OF_REACH = {
    "views": (1.4, 2.6),
    "accounts_engaged": (0.02, 0.08),
    "likes": (0.03, 0.09),
    "comments": (0.002, 0.008),
    "shares": (0.002, 0.012),
    "saves": (0.002, 0.02),
    "replies": (0.0, 0.004),
    "reposts": (0.0, 0.004),
    "profile_views": (0.01, 0.05),
    "website_clicks": (0.0, 0.012),
    "profile_links_taps": (0.0, 0.006),
}
# Instagram's week: Monday first.
_WEEKDAY = (0.95, 0.98, 1.0, 1.04, 1.0, 1.12, 1.18)


def final_value(metric: str, day: date, *, key: str, reach: int, followers: int, posts: int) -> int:
    """What `metric` of `day` settles at.

    `key` names the account, `reach` and `followers` are its typical size, `posts` the number posted on that day.
    Raises KeyError for a metric without a daily truth.
    """
    draw = (key, day, metric)
    if metric == "reach":
        return int(reach * _WEEKDAY[day.weekday()] * between(0.62, 1.28, *draw) * (1 + 0.16 * posts))
    if metric in {"follower_count", "follows"}:
        return int(followers * between(0.0004, 0.0042, key, day, "follows") * (1 + 0.3 * posts))
    if metric == "unfollows":
        return int(followers * between(0.0002, 0.0026, *draw))
    low, high = _SHARES_OF_REACH[metric]
    reached = final_value("reach", day, key=key, reach=reach, followers=followers, posts=posts)
    return int(reached * between(low, high, *draw))


def shown(final: int, metric: str, day: date, *, key: str, at: datetime) -> int:
    """What the API shows of `final` at the instant `at`: 0, a provisional part below it, or all."""
    if at < ends(day):
        return 0
    if at - ends(day) >= SETTLES_AFTER or final == 0:
        return final
    name = "follows" if metric == "follower_count" else metric
    return min(final - 1, int(final * (0.55 + 0.4 * fraction(key, day, name, "settled"))))


def together(values: list[int]) -> int:
    """People reached on several days: some come back, so it is less than the sum (facts §1.1)."""
    if len(values) < 2:
        return sum(values)
    most = max(values)
    return most + int(0.6 * (sum(values) - most))
