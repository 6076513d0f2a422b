"""Thirty days of a connected account: the truth, the whole truth, at the promised price."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import groupby
from math import ceil, log2

import pytest

from ig_pipeline.graph_api.absences import Absence
from ig_pipeline.graph_api.catalogue import DEFAULT_SERIES, DEFAULT_TOTALS
from ig_pipeline.graph_api.days import bucket_end
from ig_pipeline.simulator.kinds import KINDS
from ig_pipeline.storage import tables
from ig_pipeline.sync import absence_memory
from ig_pipeline.sync.absence_memory import NOTHING
from ig_pipeline.sync.registry import grid
from ig_pipeline.sync.results import AccountDayResult, summarise
from ig_pipeline_tests.sync.harness import SmallWorld, sqlite_only

pytestmark = pytest.mark.anyio

# Kinds with posts that refuse the insights of a whole page: finding them is a search among the posts.
SEARCHED = {"pre_conversion", "old_videos"}


async def test_thirty_days_of_every_kind_of_account_are_the_worlds_truth(small: SmallWorld) -> None:
    keys = small.connect_all()
    results = await small.sync(keys)
    assert len(results) == len({(r.asset, r.account_key, r.date) for r in results}) == len(keys) * 30 * 3
    # No cell is red, or even partial, for what an account cannot give.
    assert {result.status for result in results} == {"complete"}
    for key in keys:
        assert small.daily(key) == small.truth(key, small.window()), key
        every_metric_is_the_worlds(small, key)
    each_absence_has_its_reason(small, results)


def every_metric_is_the_worlds(small: SmallWorld, key: str) -> None:
    """Every metric of the catalogue that the account can give is in `instagram_insights`, for every day."""
    assert small.insights(key) == small.true_insights(key, small.window()), key
    rows = small.rows(tables.instagram_insights, key)
    assert all(row["end_time"] == bucket_end(row["date"]) for row in rows)
    assert {row["metric_type"] for row in rows if row["metric"] in DEFAULT_SERIES} == {"time_series"}
    assert {row["metric_type"] for row in rows if row["metric"] in DEFAULT_TOTALS} == {"total_value"}


def each_absence_has_its_reason(small: SmallWorld, results: list[AccountDayResult]) -> None:
    """In the results, in the ledger, and remembered where it lasts."""

    def reasons(username: str, asset: str) -> str:
        return " ".join(
            f"{name}: {why}"
            for result in results
            if (result.account_key, result.asset) == (username, asset)
            for name, why in result.absences.items()
        )

    assert "100 followers" in reasons("little.letterpress", "account_insights")
    assert "like_count: hidden_by_owner" in reasons("velvet.runway", "media_engagement")
    assert "insights: before_conversion" in reasons("second.bloom", "media_engagement")
    assert "media_url: withheld" in reasons("echo.mixtape", "media_engagement")
    remembered = small.rows(tables.metric_absences, "little.letterpress")
    assert [(row["metric"], row["reason"]) for row in remembered] == [("follower_count", "too_few_followers")]
    ledger = small.rows(tables.instagram_sync_logs, "little.letterpress")
    assert all("follower_count" in row["absences"] for row in ledger if row["asset"] == "account_insights")


@sqlite_only
async def test_follows_and_unfollows_are_fetched_when_asked_for(small: SmallWorld) -> None:
    settings = small.settings.model_copy(update={"follows_and_unfollows": True})
    small.settings = settings
    small.connect("acme.studio")
    small.connect("little.letterpress")
    settled = small.window(6)[:3]
    results = await small.sync(["acme.studio", "little.letterpress"], days=settled)
    account = small.world.account("acme.studio")
    values = {(r.date, m): v for r in results if r.account_key == "acme.studio" for m, v in r.values.items()}
    for day in settled:
        for metric in ("follows", "unfollows"):
            assert values[day, metric] == account.metric(metric, day, small.clock())
    tiny = [r for r in results if r.account_key == "little.letterpress" and r.asset == "account_insights"]
    assert all("100 followers" in r.absences["follows"] for r in tiny)
    assert {r.status for r in results} == {"complete"}


@sqlite_only
@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_thirty_days_cost_no_more_calls_than_promised(small: SmallWorld, kind: str) -> None:
    username = next(account.username for account in small.world.accounts if account.kind.name == kind)
    small.connect(username)
    results = await small.sync([username])
    posts = len(small.rows(tables.media_engagement, username))
    promised = 31 + ceil(posts / 100) + 2
    first_time = small.calls_of(username)
    assert sum(result.calls for result in results) == first_time
    if kind in SEARCHED:
        # Which posts refuse is learnt once, by halving; afterwards it is known.
        assert first_time <= promised + 2 * ceil(log2(posts)) + 2
    else:
        assert first_time <= promised
    await small.sync([username], days=3)
    # A night: three days of totals, one series, one page. What refuses is known by now: no more calls for it than two.
    # That there are no posts at all is confirmed by the profile.
    assert small.calls_of(username) - first_time <= 5 + {"old_videos": 2, "no_posts": 1}.get(kind, 0)


async def test_a_post_that_refuses_is_searched_for_once_and_asked_again_when_it_is_time(small: SmallWorld) -> None:
    """The price of `old_videos`, whose videos have no views, once they are known."""
    small.connect("attic.cinema")
    window = small.window()
    await small.sync(["attic.cinema"], days=window)
    first_time = small.calls_of("attic.cinema")
    account = small.world.account("attic.cinema")
    posts = [post for day in window for post in account.posts_on(day)]
    refusing = {post.id for post in posts if not post.gives_views}
    remembered = {(row["subject"], row["metric"]) for row in small.rows(tables.metric_absences, "attic.cinema")}
    assert remembered == {(media_id, "views") for media_id in refusing}
    before = small.rows(tables.media_engagement, "attic.cinema")
    # The page without views, then the views of each stretch of posts between two that have none.
    stretches = sum(good for good, _ in groupby(post.gives_views for post in posts))
    small.simulator.calls.reset()
    await small.sync(["attic.cinema"], days=window)
    assert small.calls_of("attic.cinema") == 31 + 1 + stretches < first_time
    after = small.rows(tables.media_engagement, "attic.cinema")
    assert [{**row, "observed_at": None} for row in after] == [{**row, "observed_at": None} for row in before]
    small.simulator.calls.reset()
    small.clock.advance(timedelta(days=31))
    await small.sync(["attic.cinema"], days=window[-5:], assets=["media_engagement"])
    asked_again = {row["subject"]: row["recorded_at"] for row in small.rows(tables.metric_absences, "attic.cinema")}
    due = {post.id for post in posts if post.day in window[-5:]} & refusing
    assert due
    assert all((asked_again[media_id] == small.clock()) == (media_id in due) for media_id in refusing)


async def test_posts_are_kept_with_their_numbers_and_a_dated_snapshot(small: SmallWorld) -> None:
    small.connect("acme.studio")
    await small.sync(["acme.studio"], days=10)
    first_day = small.clock().date()
    account = small.world.account("acme.studio")
    posts = {post.id: post for day in small.window(10) for post in account.posts_on(day)}
    rows = {row["media_id"]: row for row in small.rows(tables.media_engagement, "acme.studio")}
    assert rows.keys() == posts.keys()
    for media_id, post in posts.items():
        row = rows[media_id]
        assert (row["date"], row["posted_at"], row["media_type"]) == (post.day, post.at, post.media_type)
        assert row["like_count"] == post.count("likes", small.clock())
        assert row["saved"] == post.count("saved", small.clock())
        assert row["reach"] == post.metric("reach", small.clock())
    small.clock.advance(timedelta(days=1))
    await small.sync(["acme.studio"], days=[day for day in small.window(11) if day in small.window(10)])
    curve: dict[str, list[tuple[object, int]]] = {}
    for snapshot in small.rows(tables.media_engagement_snapshots, "acme.studio"):
        curve.setdefault(snapshot["media_id"], []).append((snapshot["observed_on"], snapshot["like_count"]))
    grown = [points for points in curve.values() if len(points) == 2]
    assert grown
    assert all(points[0][0] == first_day and points[1][1] >= points[0][1] for points in grown)
    assert any(points[1][1] > points[0][1] for points in grown)


@sqlite_only
async def test_a_remembered_absence_is_not_asked_for_again_until_it_is_time(small: SmallWorld) -> None:
    small.connect("little.letterpress")
    await small.sync(["little.letterpress"], days=1)
    small.simulator.calls.reset()
    (again, *_) = await small.sync(["little.letterpress"], days=1, assets=["account_insights"])
    assert small.calls_of("little.letterpress") == 2
    assert "follower_count" in again.absences
    small.simulator.calls.reset()
    small.clock.advance(timedelta(days=8))
    await small.sync(["little.letterpress"], days=1, assets=["account_insights"])
    assert small.calls_of("little.letterpress") > 2


@sqlite_only
async def test_a_post_that_is_not_on_facebook_is_remembered_for_a_month(small: SmallWorld) -> None:
    small.connect("acme.studio")
    window = small.window(10)
    await small.sync(["acme.studio"], days=window, assets=["media_engagement"])
    post, connection = small.rows(tables.media_engagement, "acme.studio")[0], small.connection("acme.studio")
    why = {"facebook_views": Absence("not_shared_to_facebook", "Not shared to Facebook.")}
    now = small.clock()

    def known_at(at: datetime) -> Mapping[str, Mapping[str, Absence]]:
        with small.engine.connect() as db:
            kept = absence_memory.recall_posts(db, connection, first=window[0], last=window[-1], now=at)
        return {media_id: memory.known for media_id, memory in kept.items() if memory.known}

    with small.engine.begin() as db:
        absence_memory.remember(db, connection, why, memory=NOTHING, now=now, subject=post["media_id"])
    assert known_at(now + timedelta(days=29)) == {post["media_id"]: why}
    assert known_at(now + timedelta(days=31)) == {}


@sqlite_only
async def test_a_day_without_posts_is_complete_with_nothing(small: SmallWorld) -> None:
    small.connect("still.waters")
    results = await small.sync(["still.waters"], days=3, assets=["media_engagement", "account_insights"])
    empty = [result for result in results if result.asset == "media_engagement"]
    assert [(result.status, result.rows, result.values["posts"]) for result in empty] == [("complete", 0, 0)] * 3
    rolled = await small.sync(["still.waters"], days=3, assets=["daily_metrics"])
    assert {result.values["engagement"] for result in rolled} == {0}


async def test_the_ledger_has_a_row_for_every_cell(small: SmallWorld) -> None:
    small.connect("harbor.bakery")
    results = await small.sync(["harbor.bakery"], days=5, run_id="the-run")
    ledger = small.rows(tables.instagram_sync_logs, "harbor.bakery")
    assert {(row["asset"], row["date"], row["status"], row["rows"], row["calls"]) for row in ledger} == {
        (result.asset, result.date, result.status, result.rows, result.calls) for result in results
    }
    assert {row["run_id"] for row in ledger} == {"the-run"}
    assert len(ledger) == 5 * len(grid())


async def test_a_roll_up_needs_both_of_its_day(small: SmallWorld) -> None:
    small.connect("harbor.bakery")
    (alone,) = await small.sync(["harbor.bakery"], days=1, assets=["daily_metrics"])
    assert alone.status == "failed"
    assert alone.error is not None
    assert "account_insights and media_engagement" in alone.error
    assert small.daily("harbor.bakery") == {}
    await small.sync(["harbor.bakery"], days=1, assets=["media_engagement"])
    (half,) = await small.sync(["harbor.bakery"], days=1, assets=["daily_metrics"])
    assert half.error is not None
    assert "account_insights of" in half.error


@sqlite_only
async def test_progress_and_the_summary_are_logged_in_the_users_form(
    small: SmallWorld, caplog: pytest.LogCaptureFixture
) -> None:
    connection = small.connect("acme.studio", email="a@b.example")
    window = small.window()
    with small.engine.begin() as db:
        tables_update = tables.user_tokens.update().values(
            initial_backfill_first=window[0],
            initial_backfill_last=window[-1],
            initial_backfill_requested_at=small.clock(),
        )
        db.execute(tables_update.where(tables.user_tokens.c.id == connection.id))
    with caplog.at_level(logging.INFO, logger="ig_pipeline.sync"):
        results = await small.sync(["acme.studio"])
    assert "[SYNC] Running initial 30-day IG backfill for acme.studio" in caplog.messages
    assert "a@b.example" not in caplog.text
    assert "[SYNC] acme.studio 12/30 days" in caplog.messages
    assert any(message.startswith("[SYNC] acme.studio finished: 30/30 days") for message in caplog.messages)
    (summary,) = summarise(results)
    assert summary.success
    assert summary.metrics_inserted == dict.fromkeys(sorted({*DEFAULT_SERIES, *DEFAULT_TOTALS}), 30)
    assert summary.account_id == connection.account_id
    assert summary.user_id == connection.u_id
