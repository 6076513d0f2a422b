"""The lists of an account: its media, newest first and filtered by time, and its living stories (facts §2.1, §2.3)."""

from itertools import islice

from ig_pipeline.graph_api.catalogue import MAX_MEDIA
from ig_pipeline.simulator.accounts import Account
from ig_pipeline.simulator.fields import Field
from ig_pipeline.simulator.paging import page_of
from ig_pipeline.simulator.requests import Json, instant_in
from ig_pipeline.simulator.views import View, show_post


def media_page(view: View, account: Account, fields: tuple[Field, ...], params: dict[str, str]) -> Json:
    """A page of posts made in [since, until]; at most the newest 10 000 are listed at all."""
    now = view.call.now
    since, until = instant_in(params, "since", now), instant_in(params, "until", now)
    posts = account.posts_between(since, min(until, now) if until else now)
    return page_of(
        islice(posts, MAX_MEDIA),
        call=view.call,
        path=f"{account.id}/media",
        params=params,
        key=lambda post: post.id,
        show=lambda post: show_post(view, account, post, fields),
    )


def story_page(view: View, account: Account, fields: tuple[Field, ...], params: dict[str, str]) -> Json:
    """A page of the stories one can see now."""
    return page_of(
        account.live_stories(view.call.now),
        call=view.call,
        path=f"{account.id}/stories",
        params=params,
        key=lambda post: post.id,
        show=lambda post: show_post(view, account, post, fields),
    )
