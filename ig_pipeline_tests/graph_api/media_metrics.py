"""Which metrics a login gives for a kind of post, read off the catalogue."""

from ig_pipeline.graph_api.catalogue import MEDIA_METRICS
from ig_pipeline.graph_api.hosts import Login

POSTS = {"FEED", "REELS"}
KINDS = {*POSTS, "STORY"}


def media_metrics_for(product_type: str | None, login: Login) -> tuple[str, ...]:
    """Every metric `login` gives for any post of `product_type`; for an unknown or missing type, those all types have.

    Without those that only posts shared to Facebook have: one such post less would refuse the whole call.
    """
    return tuple(
        name
        for name, metric in MEDIA_METRICS.items()
        if (product_type in metric.product_types if product_type in KINDS else metric.product_types >= POSTS)
        and login in metric.logins
        and not metric.only_if_shared
    )
