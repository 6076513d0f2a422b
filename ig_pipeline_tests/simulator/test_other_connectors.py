"""The ways in which other people's connectors ask: none of them should notice that this is not Meta.

See docs/graph_api.md#what-other-connectors-do.
"""

import pytest

from ig_pipeline_tests.simulator.conftest import Asker

DAY = "since=2026-11-18T00:00:00%2B0000&until=2026-11-19T00:00:00%2B0000"
MEDIA = (
    "caption,comments_count,id,ig_id,is_comment_enabled,like_count,media_type,media_product_type,media_url,owner,"
    "permalink,shortcode,thumbnail_url,timestamp,username,children%7Bid,media_type,media_url,permalink,timestamp%7D"
)


@pytest.mark.parametrize(
    "asked",
    [
        "me/accounts?fields=id,instagram_business_account&limit=100",
        "{id}?fields=id,biography,ig_id,followers_count,follows_count,media_count,name,profile_picture_url,username,website",
        f"{{id}}/insights?metric=follower_count,reach&period=day&{DAY}",
        f"{{id}}/insights?metric=reach&period=week&{DAY}",
        f"{{id}}/insights?metric=reach&period=days_28&{DAY}",
        f"{{id}}/insights?metric=online_followers&period=lifetime&{DAY}",
        "{id}/insights?metric=follower_demographics&period=lifetime&metric_type=total_value&breakdown=age,gender",
        "{id}/insights?metric=reached_audience_demographics&period=lifetime&metric_type=total_value"
        "&breakdown=city&timeframe=this_month",
        f"{{id}}/insights?metric=views&period=day&metric_type=total_value&breakdown=media_product_type,follow_type&{DAY}",
        f"{{id}}/insights?metric=profile_links_taps&period=day&metric_type=total_value&breakdown=contact_button_type&{DAY}",
        f"{{id}}/media?fields={MEDIA}&limit=100",
        "{id}/stories?fields=id,caption,like_count,media_type,media_url,permalink,timestamp,username&limit=100",
        "{id}?fields=media.limit(3)%7Bid,insights.metric(reach,saved)%7D,insights.metric(reach).period(day)",
        "{post}/insights?metric=comments,likes,reach,saved,shares,total_interactions,views",
        "{post}?fields=id,owner,media_type,timestamp,shortcode,children",
        "{album}/children?fields=id,media_url",
        "{post}/comments?fields=id,text,timestamp",
        "?ids={post},{album}&fields=id,timestamp",
    ],
)
def test_what_others_ask_is_answered(ask: Asker, asked: str) -> None:
    account = ask.account()
    page = ask.get(f"{account.id}/media", fields="id,media_type", limit=50).json()["data"]
    album = next(item["id"] for item in page if item["media_type"] == "CAROUSEL_ALBUM")
    path = asked.replace("{id}", account.id).replace("{post}", page[0]["id"]).replace("{album}", album)
    joint = "&" if "?" in path else "?"
    answer = ask.http.get(f"{ask.sim.url}/v25.0/{path}{joint}access_token={ask.sim.token('acme.studio')}")
    assert answer.status_code == 200, answer.text
    assert answer.json()


def test_a_walk_by_cursor_that_ignores_next_ends_with_an_empty_page(ask: Asker) -> None:
    path = f"{ask.account('attic.cinema').id}/media"
    after, pages = "", 0
    while True:
        page = ask.get(path, "attic.cinema", limit=100, **({"after": after} if after else {})).json()
        if "paging" not in page:
            break
        after, pages = page["paging"]["cursors"]["after"], pages + 1
    assert (page, pages > 2) == ({"data": []}, True)
