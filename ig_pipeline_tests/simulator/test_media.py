"""`/{ig-user-id}/media`, single posts and their insights: docs/graph_api.md#media-listing."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from ig_pipeline.simulator.posts import Post
from ig_pipeline_tests.simulator.conftest import NOW, Asker

FIELDS = "id,caption,media_type,media_product_type,media_url,thumbnail_url,timestamp,like_count,comments_count"


def walk(ask: Asker, username: str, **params: Any) -> list[list[dict[str, Any]]]:
    """The pages of a listing, by cursor, until there is no `next`."""
    pages: list[list[dict[str, Any]]] = []
    path = f"{ask.account(username).id}/media"
    after: dict[str, str] = {}
    while True:
        page = ask.get(path, username, **params, **after).json()
        pages.append(page["data"])
        if "next" not in page.get("paging", {}):
            return pages
        after = {"after": page["paging"]["cursors"]["after"]}


def test_the_posts_of_a_window_come_newest_first_and_each_once(ask: Asker) -> None:
    window = {"since": "2026-09-01", "until": "2026-11-01"}
    pages = walk(ask, "acme.studio", fields="id,timestamp", limit=10, **window)
    items = [item for page in pages for item in page]
    assert [len(page) for page in pages[:-1]] == [10] * (len(pages) - 1)
    assert [item["timestamp"] for item in items] == sorted((item["timestamp"] for item in items), reverse=True)
    account = ask.account()
    truth = account.posts_between(datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
    assert [item["id"] for item in items] == [post.id for post in truth]


def test_the_last_page_carries_a_cursor_but_no_next_and_links_work_as_they_are(ask: Asker) -> None:
    path = f"{ask.account().id}/media"
    first = ask.get(path, limit=20, since="2026-10-20", until="2026-11-20").json()
    assert set(first["paging"]) == {"cursors", "next"}
    second = httpx.get(first["paging"]["next"]).json()
    assert set(second["paging"]) == {"cursors", "previous"}
    assert set(second["paging"]["cursors"]) == {"before", "after"}
    back = httpx.get(second["paging"]["previous"]).json()
    assert back["data"] == first["data"]


def test_an_empty_window_has_no_paging(ask: Asker) -> None:
    assert ask.get(f"{ask.account('still.waters').id}/media", "still.waters").json() == {"data": []}


def test_children_and_insights_are_expanded_in_the_same_page(ask: Asker) -> None:
    fields = "id,media_type,children{id,media_type,media_url},insights.metric(saved,reach)"
    page = ask.get(f"{ask.account().id}/media", fields=fields, limit=100).json()["data"]
    albums = [item for item in page if item["media_type"] == "CAROUSEL_ALBUM"]
    assert all(2 <= len(album["children"]["data"]) <= 10 for album in albums)
    assert all(set(child) >= {"id", "media_type", "media_url"} for a in albums for child in a["children"]["data"])
    assert not [item for item in page if item["media_type"] == "IMAGE" and "children" in item]
    for item in page:
        post = ask.account().post(item["id"])
        assert post is not None
        values = {row["name"]: row["values"][0]["value"] for row in item["insights"]["data"]}
        assert values == {"saved": post.metric("saved", NOW), "reach": post.metric("reach", NOW)}


def test_what_a_post_lacks_is_left_out(ask: Asker) -> None:
    hidden = ask.get(f"{ask.account('velvet.runway').id}/media", "velvet.runway", fields=FIELDS, limit=100).json()
    assert not [item for item in hidden["data"] if "like_count" in item]
    lost = ask.get(f"{ask.account('echo.mixtape').id}/media", "echo.mixtape", fields=FIELDS, limit=100).json()["data"]
    assert {"media_url" in item for item in lost if item["media_type"] == "VIDEO"} == {False}
    busy = ask.get(f"{ask.account().id}/media", fields=FIELDS, limit=100).json()["data"]
    assert 0 < sum("caption" not in item for item in busy) < 30
    assert not [item for item in busy if item["media_type"] != "VIDEO" and "thumbnail_url" in item]


def test_one_post_from_before_the_conversion_loses_the_whole_page(ask: Asker) -> None:
    path = f"{ask.account('second.bloom').id}/media"
    refused = ask.get(path, "second.bloom", fields="id,insights.metric(reach)", since="2026-10-20", until="2026-11-20")
    error = ask.error(refused)
    assert (error["message"], error["code"], error["error_subcode"]) == ("Invalid parameter", 100, 2108006)
    assert error["error_user_title"] == "Media posted before business account conversion"
    recent = ask.get(path, "second.bloom", fields="id,insights.metric(reach)", since="2026-11-03", until="2026-11-20")
    assert recent.json()["data"]
    instagram = ask.get(path, "second.bloom", "instagram", fields="insights.metric(reach)")
    assert ask.error(instagram)["type"] == "IGApiException"
    assert ask.error(instagram)["message"].startswith("The media was posted before the most recent time")


def test_a_bad_metric_loses_a_page_only_if_there_is_a_post_in_it(ask: Asker) -> None:
    path = f"{ask.account().id}/media"
    bad = {"fields": "insights.metric(impressions,reach,engagement,saved)"}
    refused = ask.error(ask.get(path, **bad))
    assert refused["message"].startswith("(#100) metric[2] must be one of the following values: impressions, reach,")
    empty = ask.get(path, **bad, since="2019-01-01", until="2019-02-01")
    assert (empty.status_code, empty.json()) == (200, {"data": []})


def test_a_metric_of_another_kind_of_post_is_refused(ask: Asker) -> None:
    page = ask.get(f"{ask.account().id}/media", fields="id,media_product_type", limit=100).json()["data"]
    reel = next(item["id"] for item in page if item["media_product_type"] == "REELS")
    refused = ask.error(ask.get(f"{reel}/insights", metric="reach,follows"))
    assert refused["message"] == (
        "(#100) The Media Insights API does not support the follows metric for this media product type."
    )
    assert ask.get(f"{reel}/insights", metric="ig_reels_avg_watch_time").status_code == 200
    assert ask.error(ask.get(f"{reel}/insights", metric="saves"))["code"] == 100


def post_of(ask: Asker, product_type: str, *, shared: bool = True) -> Post:
    """A post the busy account made in the last year, or a story it has now; shared to Facebook or not."""
    account = ask.account()
    posts = account.live_stories(NOW) if product_type == "STORY" else account.posts_between(None, NOW)
    return next(
        post
        for post in posts
        if (post.product_type, post.shared_to_facebook) == (product_type, shared) and post.metric("reach", NOW) >= 5
    )


@pytest.mark.parametrize("metric", ["follows", "profile_visits", "profile_activity"])
def test_reels_have_no_follows_and_no_visits(ask: Asker, metric: str) -> None:
    for product_type in ("FEED", "STORY"):
        assert ask.get(f"{post_of(ask, product_type).id}/insights", metric=metric).status_code == 200
    refused = ask.error(ask.get(f"{post_of(ask, 'REELS').id}/insights", metric=f"reach,{metric}"))
    assert f"does not support the {metric} metric" in refused["message"]


def test_views_on_facebook_are_refused_without_a_word_where_the_post_is_not_there(ask: Asker) -> None:
    for product_type in ("FEED", "REELS"):
        shared, unshared = post_of(ask, product_type), post_of(ask, product_type, shared=False)
        [row] = ask.get(f"{shared.id}/insights", metric="facebook_views").json()["data"]
        assert row["values"] == [{"value": shared.metric("facebook_views", NOW)}]
        refused = ask.get(f"{unshared.id}/insights", metric="reach,facebook_views")
        error = ask.error(refused)
        assert (refused.status_code, error["code"], error["error_subcode"], error["message"]) == (
            400,
            -1,
            2207086,
            "Fatal",
        )
        assert ask.get(f"{unshared.id}/insights", metric="reach").status_code == 200
    crossposted = ask.error(ask.get(f"{post_of(ask, 'REELS', shared=False).id}/insights", metric="crossposted_views"))
    assert (crossposted["code"], crossposted["error_subcode"]) == (-1, 2207086)
    of_a_picture = ask.error(ask.get(f"{post_of(ask, 'FEED').id}/insights", metric="crossposted_views"))
    assert "does not support the crossposted_views metric" in of_a_picture["message"]


@pytest.mark.parametrize(
    ("product_type", "metric"),
    [("STORY", "link_clicks"), ("STORY", "total_views"), ("REELS", "total_likes"), ("FEED", "total_comments")],
)
def test_what_only_facebook_login_has_is_unknown_to_the_other(ask: Asker, product_type: str, metric: str) -> None:
    path = f"{post_of(ask, product_type).id}/insights"
    assert ask.get(path, metric=f"reach,{metric}").status_code == 200
    refused = ask.error(ask.get(path, login="instagram", metric=f"reach,{metric}"))
    assert refused["message"].startswith("metric[1] must be one of the following values: ")
    assert metric not in refused["message"]


@pytest.mark.parametrize(
    ("product_type", "metric", "breakdown", "values"),
    [
        (
            "STORY",
            "navigation",
            "story_navigation_action_type",
            {"tap_forward", "tap_back", "tap_exit", "swipe_forward"},
        ),
        (
            "FEED",
            "profile_activity",
            "action_type",
            {"BIO_LINK_CLICKED", "CALL", "DIRECTION", "EMAIL", "OTHER", "TEXT"},
        ),
    ],
)
def test_a_media_breakdown_has_its_own_values(
    ask: Asker, product_type: str, metric: str, breakdown: str, values: set[str]
) -> None:
    path = f"{post_of(ask, product_type).id}/insights"
    [row] = ask.get(path, metric=metric, breakdown=breakdown).json()["data"]
    [found] = row["total_value"]["breakdowns"]
    assert found["dimension_keys"] == [breakdown]
    assert {result["dimension_values"][0] for result in found["results"]} <= values
    assert sum(result["value"] for result in found["results"]) == row["total_value"]["value"] > 0


def test_other_breakdowns_of_posts_are_refused(ask: Asker) -> None:
    path = f"{post_of(ask, 'FEED').id}/insights"
    unknown = ask.error(ask.get(path, metric="views", breakdown="media_product_type"))
    assert unknown["message"] == (
        "(#100) breakdown[0] must be one of the following values: follow_type, surface_type, action_type, "
        "story_navigation_action_type"
    )
    for metric in ("reach", "views"):
        refused = ask.error(ask.get(path, metric=metric, breakdown="follow_type"))
        assert refused["message"] == f"(#100) Incompatible breakdowns (follow_type) for metric ({metric})"


def test_old_videos_have_no_views(ask: Asker) -> None:
    page = ask.get(f"{ask.account('attic.cinema').id}/media", "attic.cinema", fields="id,media_type", limit=50).json()
    video = next(item["id"] for item in page["data"] if item["media_type"] == "VIDEO")
    refused = ask.error(ask.get(f"{video}/insights", "attic.cinema", metric="reach,views"))
    assert "does not support the views metric" in refused["message"]


def test_media_insights_have_their_lifetime_shape(ask: Asker) -> None:
    post = next(ask.account().posts_between(None, NOW))
    row = ask.get(f"{post.id}/insights", metric="saved").json()["data"][0]
    assert row["period"] == "lifetime"
    assert row["values"] == [{"value": post.metric("saved", NOW)}]
    assert row["id"] == f"{post.id}/insights/saved/lifetime"


@pytest.mark.parametrize("media_id", ["18066122755137560", "17900000000000000"])
def test_an_object_that_is_not_there_is_an_unsupported_get_request(ask: Asker, media_id: str) -> None:
    error = ask.error(ask.get(media_id))
    assert (error["type"], error["code"], error["error_subcode"]) == ("GraphMethodException", 100, 33)
    assert error["message"].startswith(f"Unsupported get request. Object with ID '{media_id}' does not exist")


def test_somebody_elses_account_is_not_there(ask: Asker) -> None:
    assert ask.error(ask.get(ask.account("harbor.bakery").id, "acme.studio"))["error_subcode"] == 33


def test_nested_lists_have_modifiers_of_their_own(ask: Asker) -> None:
    answer = ask.get(ask.account().id, fields="username,media.limit(2){id,caption}").json()
    assert len(answer["media"]["data"]) == 2
    assert answer["username"] == "acme.studio"
    assert "next" in answer["media"]["paging"]


def test_an_unknown_path_and_an_edge_of_others_are_told_apart(ask: Asker) -> None:
    account = ask.account().id
    assert ask.error(ask.get(f"{account}/navigation"))["message"] == "Unknown path components: /navigation"
    assert ask.error(ask.get(f"{account}/feed"))["message"] == "(#100) Tried accessing nonexisting field (feed)"
    assert ask.error(ask.get(f"{account}/tags"))["message"] == (
        "(#10) Application does not have permission for this action"
    )
    assert ask.error(ask.get(account, fields="id,nonsense"))["code"] == 100
    assert ask.error(ask.get(account, fields="id,media{"))["code"] == 2500
