"""The catalogue keeps its own rules."""

from ig_pipeline.graph_api import catalogue


def test_the_four_named_metrics_are_fetched_by_default() -> None:
    assert catalogue.DEFAULT_SERIES == ("reach", "follower_count")
    assert catalogue.DEFAULT_TOTALS[:2] == ("profile_views", "accounts_engaged")
    assert len(catalogue.DEFAULT_TOTALS) == 12


def test_every_metric_asked_for_is_one_the_api_accepts() -> None:
    assert set(catalogue.ACCOUNT_METRICS) <= set(catalogue.ACCOUNT_METRIC_VOCABULARY)
    assert set(catalogue.MEDIA_METRICS) <= set(catalogue.MEDIA_METRIC_VOCABULARY)


def test_defaults_fit_the_call_they_are_made_in() -> None:
    assert all(catalogue.ACCOUNT_METRICS[name].is_series for name in catalogue.DEFAULT_SERIES)
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


def test_each_product_type_has_its_own_metrics() -> None:
    feed, reels, story = (catalogue.media_metrics_for(name) for name in ("FEED", "REELS", "STORY"))
    assert "profile_visits" in feed
    assert "profile_visits" not in reels
    assert "ig_reels_avg_watch_time" in reels
    assert "ig_reels_avg_watch_time" not in feed
    assert set(story) == set(catalogue.STORY_METRICS)
    assert "saved" not in story
    unknown = catalogue.media_metrics_for(None)
    assert set(unknown) == set(feed) & set(reels)
