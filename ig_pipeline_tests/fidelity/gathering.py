"""What a recording tells of its account: profile, posts, stories, Pages, cursors. The world of it is made in `shaping`.

A field that was asked for and not answered tells something too: it is absent.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ig_pipeline.graph_api.catalogue import MEDIA_METRIC_VOCABULARY
from ig_pipeline.simulator.refusals import RefusalError
from ig_pipeline.simulator.requests import Field, instant_in, parse_fields
from ig_pipeline_tests.fidelity.recordings import Exchange, Recording

# Edges only an Instagram account has; the ids before them are accounts.
_ACCOUNT_EDGES = frozenset({"media", "stories", "tags", "mentioned_media", "live_media", "content_publishing_limit"})
_PROFILE_FIELDS = frozenset({"followers_count", "follows_count", "media_count", "biography", "profile_picture_url"})
_POST_FIELDS = frozenset({"media_type", "media_product_type", "permalink", "shortcode", "like_count", "media_url"})
ACCOUNT_PREFIX = "17841"


@dataclass
class Seen:
    """A post, story or child: the fields it was answered with and those it was asked for."""

    id: str
    values: dict[str, Any] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    latest: datetime | None = None
    refused: list[str] = field(default_factory=list)

    def lacks(self, name: str) -> bool:
        """Whether the field was asked for and is not there."""
        return name in self.asked and name not in self.values


@dataclass
class Gathered:
    """Everything a recording tells, by id."""

    profiles: dict[str, Seen] = field(default_factory=dict)
    posts: dict[str, Seen] = field(default_factory=dict)
    stories: dict[str, Seen] = field(default_factory=dict)
    pages: dict[str, Seen] = field(default_factory=dict)
    cursors: dict[str, str] = field(default_factory=dict)

    @property
    def account_id(self) -> str | None:
        """The account it is about: the first that was met."""
        return next(iter(self.profiles), None)


def gather(recording: Recording) -> Gathered:
    """Read every exchange of a recording."""
    found = Gathered()
    for exchange in (part for whole in recording.exchanges for part in whole.parts()):
        segments = exchange.segments
        if not segments:
            continue
        if is_account(exchange):
            found.profiles.setdefault(segments[0], Seen(segments[0]))
        answer = exchange.answer
        if isinstance(answer, dict) and exchange.status == 200:
            _read(found, exchange, answer, recording.now)
    return found


def is_account(exchange: Exchange) -> bool:
    """Whether the path begins with the id of an Instagram account."""
    first = exchange.segments[0]
    if not first.isdigit():
        return False
    answer = exchange.answer
    profile = not exchange.edge and isinstance(answer, dict) and bool(_PROFILE_FIELDS & answer.keys())
    return first.startswith(ACCOUNT_PREFIX) or exchange.edge in _ACCOUNT_EDGES or profile


def fields_of(exchange: Exchange) -> tuple[Field, ...]:
    """The fields asked for; none when the list cannot be read."""
    try:
        return parse_fields(exchange.params.get("fields"))
    except RefusalError:
        return ()


def window_of(exchange: Exchange, now: datetime) -> tuple[datetime | None, datetime]:
    """`since` (or None) and `until` (or now) of a listing."""
    try:
        since, until = instant_in(exchange.params, "since", now), instant_in(exchange.params, "until", now)
    except RefusalError:
        since, until = None, None
    return since, min(until or now, now)


def _read(found: Gathered, exchange: Exchange, answer: dict[str, Any], now: datetime) -> None:
    fields, edge, first = fields_of(exchange), exchange.edge, exchange.segments[0]
    if edge in {"media", "stories"}:
        _list(found, edge, answer, fields, window_of(exchange, now)[1])
    elif edge == "accounts":
        _pages(found, answer, fields)
    elif edge == "insights" and first.isdigit() and not is_account(exchange) and _of_a_post(answer):
        seen = found.posts.setdefault(first, Seen(first))
        seen.values.setdefault("insights", answer)
    elif not edge and is_account(exchange):
        _note(found.profiles[first], answer, fields)
        for name in ("media", "stories"):
            if isinstance(answer.get(name), dict):
                nested = next((f.children for f in fields if f.name == name), ())
                _list(found, name, answer[name], nested, now)
    elif not edge and "instagram_business_account" in {field.name for field in fields}:
        _pages(found, {"data": [{"id": first, **answer}]}, fields)
    elif not edge and first.isdigit() and _POST_FIELDS & answer.keys():
        _note(found.posts.setdefault(first, Seen(first)), answer, fields)


def _of_a_post(answer: dict[str, Any]) -> bool:
    """Whether insights are a post's: Pages and advertisements have others, under the same name of edge."""
    rows = answer.get("data")
    names = [row.get("name") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return bool(names) and all(name in MEDIA_METRIC_VOCABULARY for name in names)


def _list(found: Gathered, edge: str, answer: dict[str, Any], fields: tuple[Field, ...], until: datetime) -> None:
    shelf = found.posts if edge == "media" else found.stories
    rows = [row for row in answer.get("data", []) if isinstance(row, dict) and "id" in row]
    for place, row in enumerate(rows):
        seen = shelf.setdefault(row["id"], Seen(row["id"]))
        # Without a timestamp all that is known is the order and the window.
        seen.latest = seen.latest or until - timedelta(minutes=place + 1)
        _note(seen, row, fields)
    _cursors(found, answer, rows)


def _pages(found: Gathered, answer: dict[str, Any], fields: tuple[Field, ...]) -> None:
    rows = [row for row in answer.get("data", []) if isinstance(row, dict) and "id" in row]
    for row in rows:
        _note(found.pages.setdefault(row["id"], Seen(row["id"])), row, fields)
        linked = row.get("instagram_business_account")
        if isinstance(linked, dict) and "id" in linked:
            found.profiles.setdefault(linked["id"], Seen(linked["id"]))
    _cursors(found, answer, rows)


def _cursors(found: Gathered, answer: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    cursors = answer.get("paging", {}).get("cursors", {})
    if rows and cursors:
        found.cursors[cursors.get("before", "")] = rows[0]["id"]
        found.cursors[cursors.get("after", "")] = rows[-1]["id"]


def _note(seen: Seen, row: dict[str, Any], fields: tuple[Field, ...]) -> None:
    seen.values.update(row)
    seen.asked.update(field.name for field in fields)


def timestamp_of(seen: Seen, default: datetime) -> datetime:
    """When it was posted, UTC: as answered, else as the lists let guess."""
    text = seen.values.get("timestamp")
    return datetime.fromisoformat(text).astimezone(UTC) if text else seen.latest or default


def metrics_of(seen: Seen) -> Iterator[str]:
    """The names of the insights it was answered with."""
    insights = seen.values.get("insights", {})
    for row in insights.get("data", []) if isinstance(insights, dict) else ():
        if row.get("name") in MEDIA_METRIC_VOCABULARY:
            yield row["name"]
