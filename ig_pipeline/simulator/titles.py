"""Titles and descriptions of insights, in words of our own: the real ones are prose, and nobody may depend on them."""

_TITLES = {
    "accounts_engaged": "Accounts engaged",
    "total_interactions": "Content interactions",
    "saved": "Saved",
    "follows_and_unfollows": "Follows and unfollows",
    "ig_reels_avg_watch_time": "Average watch time of the reel",
    "ig_reels_video_view_total_time": "Total watch time of the reel",
}


def title_of(metric: str, *, metric_type: str = "") -> str:
    """What a metric is called; reach goes by two names (recorded)."""
    if metric == "reach" and metric_type == "total_value":
        return "Accounts reached"
    return _TITLES.get(metric, metric.replace("_", " ").capitalize())


def description_of(metric: str) -> str:
    """One sentence about a metric."""
    return f"Simulated {metric.replace('_', ' ')}."
