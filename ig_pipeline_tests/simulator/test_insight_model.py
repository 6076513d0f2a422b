"""Random insight requests, legal and illegal, against an independent model: which buckets, which error.

The model knows nothing of the simulator: it finds midnights by walking the hours, and refuses in the order of the
recordings.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ig_pipeline.simulator.accounts import Account
from ig_pipeline.simulator.requests import Call
from ig_pipeline.simulator.simulation import Simulation
from ig_pipeline.simulator.world import World

LOS_ANGELES = ZoneInfo("America/Los_Angeles")
WORLD = World(accounts=1)
HOUR = timedelta(hours=1)
KNOWN = ("reach", "follower_count", "views", "accounts_engaged", "saves", "profile_views")
UNKNOWN = ("saved", "impressions", "profile_visits")
SERIES = {"reach", "follower_count"}
TOTALS = {"reach", "views", "accounts_engaged", "saves", "profile_views"}

moments = st.datetimes(datetime(2024, 1, 1), datetime(2027, 6, 1)).map(  # noqa: DTZ001 - the zone comes next
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)
# Midnights in Los Angeles, and the seconds beside them, are where mistakes live.
edges = st.tuples(st.dates(datetime(2024, 1, 1).date(), datetime(2027, 6, 1).date()), st.integers(-1, 1)).map(  # noqa: DTZ001
    lambda pair: (
        datetime.combine(pair[0], datetime.min.time(), LOS_ANGELES).astimezone(UTC) + timedelta(seconds=pair[1])
    )
)
requests = st.fixed_dictionaries(
    {
        "metrics": st.lists(st.sampled_from(KNOWN + UNKNOWN), min_size=1, max_size=4),
        "metric_type": st.sampled_from([None, "time_series", "total_value"]),
        "since": moments | edges,
        "length": st.integers(-2, 33).flatmap(
            lambda days: st.integers(-1, 1).map(lambda s: timedelta(days=days, seconds=s))
        )
        | st.just(timedelta(days=30)),
        # Up to now, back to where follower_count ends, and around the two years where everything does.
        "ago": (st.integers(0, 45 * 24) | st.integers(695 * 24, 735 * 24)).map(lambda hours: timedelta(hours=hours)),
    }
)


def midnights(since: datetime, until: datetime) -> list[datetime]:
    """Every Pacific midnight in [since, until]: both ends count."""
    hour = since.replace(minute=0, second=0) - HOUR
    found = []
    while hour <= until:
        if since <= hour <= until and hour.astimezone(LOS_ANGELES).hour == 0:
            found.append(hour)
        hour += HOUR
    # A day of 25 hours does not have its midnight twice: the clock is set back at two.
    return found


def refusal(metrics: list[str], metric_type: str | None, since: datetime, until: datetime, now: datetime) -> str | None:
    """The beginning of the message of the first thing that is wrong; None for a legal request."""
    for place, metric in enumerate(metrics):
        if metric in UNKNOWN:
            return f"(#100) metric[{place}] must be one of the following values: reach, follower_count,"
    without_series = [metric for metric in metrics if metric not in SERIES]
    if metric_type is None and without_series:
        names = ",".join(without_series)
        return f"(#100) The following metrics ({names}) should be specified with parameter metric_type=total_value"
    wrong = without_series if metric_type == "time_series" else [metric for metric in metrics if metric not in TOTALS]
    if metric_type is not None and wrong:
        return f"(#100) The following metric ({','.join(wrong)}) is incompatible with the metric type ({metric_type})"
    if since > until:
        return "(#100)"
    if (until - since).total_seconds() > 2_592_000:
        return "(#100) There cannot be more than 30 days (2592000 s) between since and until."
    leap_day = timedelta(days=(now.month, now.day) == (2, 29))
    if since < (now + leap_day).replace(year=now.year - 2):
        return "(#100) since param is not valid. Metrics data is available for the last 2 years"
    today = now.astimezone(LOS_ANGELES).replace(hour=0, minute=0, second=0, microsecond=0)
    if "follower_count" in metrics and since < today.astimezone(UTC) - timedelta(days=30):
        return "(#100) (follower_count) metric only supports querying data for the last 30 days"
    return None


@settings(max_examples=300, deadline=None)
@given(requests)
@example(  # a window cut exactly at 07:00Z holds two buckets (docs/graph_api.md#which-days-a-window-selects)
    {
        "metrics": ["views"],
        "metric_type": "total_value",
        "since": datetime(2026, 8, 6, 7, tzinfo=UTC),
        "length": timedelta(days=1),
        "ago": timedelta(days=9),
    }
)
@example(  # a window that begins two years ago to the second
    {
        "metrics": ["views", "reach"],
        "metric_type": "total_value",
        "since": datetime(2024, 11, 20, 12, tzinfo=UTC),
        "length": timedelta(days=1),
        "ago": timedelta(days=729),
    }
)
@example(  # the day of 23 hours and the one of 25
    {
        "metrics": ["reach"],
        "metric_type": None,
        "since": datetime(2026, 3, 7, 8, tzinfo=UTC),
        "length": timedelta(days=2),
        "ago": timedelta(days=9),
    }
)
@example(
    {
        "metrics": ["reach"],
        "metric_type": "time_series",
        "since": datetime(2026, 10, 31, 7, tzinfo=UTC),
        "length": timedelta(days=30),
        "ago": timedelta(0),
    }
)
def test_a_random_request_gets_the_buckets_or_the_refusal_of_the_model(request: dict[str, object]) -> None:
    metrics, metric_type = request["metrics"], request["metric_type"]
    since, length, ago = request["since"], request["length"], request["ago"]
    assert isinstance(metrics, list)
    assert isinstance(since, datetime)
    assert isinstance(length, timedelta)
    assert isinstance(ago, timedelta)
    assert metric_type is None or isinstance(metric_type, str)
    until = since + length
    now = until + ago
    answer = ask(metrics, metric_type, since, until, now)
    expected = refusal(metrics, metric_type, since, until, now)
    if expected is not None:
        assert answer["error"]["message"].startswith(expected)
        return
    account, ends = WORLD.accounts[0], midnights(since, until)
    assert [row["name"] for row in answer["data"]] == list(dict.fromkeys(metrics))
    for row in answer["data"]:
        truth = [account.metric(row["name"], measured(end), now) for end in ends]
        if metric_type == "total_value":
            assert "values" not in row
            assert_total(row["total_value"]["value"], truth, row["name"])
        else:
            stamps = [end.strftime("%Y-%m-%dT%H:00:00+0000") for end in ends]
            assert row["values"] == [{"value": v, "end_time": s} for v, s in zip(truth, stamps, strict=True)]


def measured(end: datetime) -> date:
    return (end - timedelta(seconds=1)).astimezone(LOS_ANGELES).date()


def assert_total(value: int, days: list[int], metric: str) -> None:
    """Counts add up; people seen on several days are counted once, so at least the largest day and at most the sum."""
    if metric in {"reach", "accounts_engaged"}:
        assert max(days, default=0) <= value <= sum(days)
    else:
        assert value == sum(days)


def ask(metrics: list[str], metric_type: str | None, since: datetime, until: datetime, now: datetime) -> dict[str, Any]:
    account: Account = WORLD.accounts[0]
    simulation = Simulation(WORLD, clock=lambda: now)
    params = {
        "metric": ",".join(metrics),
        "period": "day",
        "since": str(int(since.timestamp())),
        "until": str(int(until.timestamp())),
        **({"metric_type": metric_type} if metric_type else {}),
    }
    call = Call(
        method="GET",
        path=f"{account.id}/insights",
        params=params,
        version="v21.0",
        base_url="https://graph.facebook.com",
        now=now,
        token=simulation.token(account.username),
    )
    body = simulation.answer(call).body
    assert isinstance(body, dict)
    return body
