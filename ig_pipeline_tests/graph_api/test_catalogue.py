"""The catalogue keeps its own rules."""

from datetime import date

import pytest

from ig_pipeline.graph_api import catalogue
from ig_pipeline.graph_api.hosts import Login
from ig_pipeline_tests.graph_api.media_metrics import media_metrics_for


def test_the_four_named_metrics_are_fetched_by_default() -> None:
    assert catalogue.DEFAULT_SERIES == ("reach", "follower_count")
    assert catalogue.DEFAULT_TOTALS[:2] == ("profile_views", "accounts_engaged")
    assert len(catalogue.DEFAULT_TOTALS) == 12


def test_every_metric_asked_for_is_one_the_api_accepts() -> None:
    assert set(catalogue.ACCOUNT_METRICS) <= set(catalogue.ACCOUNT_METRIC_VOCABULARY)
    assert set(catalogue.MEDIA_METRICS) <= set(catalogue.MEDIA_METRIC_VOCABULARY)


def test_defaults_fit_the_call_they_are_made_in() -> None:
    assert all("time_series" in catalogue.ACCOUNT_METRICS[name].types for name in catalogue.DEFAULT_SERIES)
    assert all(
        "total_value" in metric.types and not metric.needs_breakdown
        for metric in (catalogue.ACCOUNT_METRICS[name] for name in catalogue.DEFAULT_TOTALS)
    )


def test_a_page_asks_only_for_what_feed_posts_and_reels_both_give() -> None:
    for name in catalogue.DEFAULT_MEDIA_METRICS:
        assert catalogue.MEDIA_METRICS[name].product_types >= {"FEED", "REELS"}


def test_saves_of_an_account_are_saved_of_a_post() -> None:
    assert "saves" in catalogue.ACCOUNT_METRICS
    assert "saved" not in catalogue.ACCOUNT_METRIC_VOCABULARY
    assert "saved" in catalogue.MEDIA_METRICS
    assert "saves" not in catalogue.MEDIA_METRIC_VOCABULARY


@pytest.mark.parametrize("login", ["facebook", "instagram"])
def test_each_product_type_has_its_own_metrics(login: Login) -> None:
    feed, reels, story = (media_metrics_for(name, login) for name in ("FEED", "REELS", "STORY"))
    of_feed_and_stories = {"follows", "profile_visits", "profile_activity"}
    assert of_feed_and_stories <= set(feed)
    assert of_feed_and_stories <= set(story)
    assert not of_feed_and_stories & set(reels)
    assert "ig_reels_avg_watch_time" in reels
    assert "ig_reels_avg_watch_time" not in feed
    assert set(catalogue.story_metrics_for(login)) <= set(story)
    assert "saved" not in story
    unknown = media_metrics_for(None, login)
    assert set(unknown) == set(feed) & set(reels)


def test_a_login_is_asked_only_for_the_metrics_it_has() -> None:
    everything = {metric.name for metric in catalogue.MEDIA_METRICS.values()}
    instagram = {name for name, metric in catalogue.MEDIA_METRICS.items() if "instagram" in metric.logins}
    only_facebook = {"link_clicks", "total_views", "total_likes", "total_comments"}
    assert everything - instagram == only_facebook
    for product_type in ("FEED", "REELS", "STORY", None):
        more = set(media_metrics_for(product_type, "facebook"))
        less = set(media_metrics_for(product_type, "instagram"))
        assert less < more
        assert more - less <= only_facebook
    assert catalogue.story_metrics_for("facebook") == catalogue.STORY_METRICS
    assert set(catalogue.STORY_METRICS) - set(catalogue.story_metrics_for("instagram")) == {"link_clicks"}
    assert all(metric.logins == catalogue.BOTH_LOGINS for metric in catalogue.ACCOUNT_METRICS.values())


def test_views_on_facebook_are_of_every_kind_of_post_and_asked_of_none_by_default() -> None:
    shared = {name: m.product_types for name, m in catalogue.MEDIA_METRICS.items() if m.only_if_shared}
    assert shared == {"facebook_views": {"FEED", "REELS", "STORY"}, "crossposted_views": {"REELS"}}
    for login in catalogue.BOTH_LOGINS:
        assert not shared.keys() & {*media_metrics_for("REELS", login), *catalogue.story_metrics_for(login)}


def test_a_metric_tells_what_it_counts_and_since_when() -> None:
    assert catalogue.unit_of("reels_skip_rate") == "percent"
    assert catalogue.unit_of("ig_reels_avg_watch_time") == "ms"
    assert catalogue.unit_of("saved") == catalogue.unit_of("saves") == "count"
    assert catalogue.unit_of("of_a_later_release") is None
    since = {name: m.since.on for name, m in catalogue.MEDIA_METRICS.items() if m.since is not None}
    assert since["reposts"] == since["reels_skip_rate"] == date(2025, 12, 3)
    assert since["facebook_views"] == since["total_views"] == date(2026, 4, 22)
    assert since["link_clicks"] == date(2026, 6, 22)
    views = catalogue.ACCOUNT_METRICS["views"].since
    assert views is not None
    assert views.version == "v22.0"


def test_every_breakdown_of_a_count_has_its_values() -> None:
    of_accounts = {name for m in catalogue.ACCOUNT_METRICS.values() for name in m.breakdowns}
    assert of_accounts - set(catalogue.DEMOGRAPHIC_BREAKDOWNS) == set(catalogue.ACCOUNT_BREAKDOWN_VALUES)
    assert "follower_type" not in of_accounts
    assert catalogue.ACCOUNT_METRICS["views"].breakdowns == ("follow_type", "media_product_type")
    of_media = {name for m in catalogue.MEDIA_METRICS.values() for name in m.breakdowns}
    assert of_media == set(catalogue.MEDIA_BREAKDOWN_VALUES)
