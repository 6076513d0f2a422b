"""Pages of a list: cursors, `next` and `previous`, as `/media` and `/me/accounts` have them (facts §2.1).

The last page still carries cursors but no `next`; an empty one carries no paging at all.
"""

import base64
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from ig_pipeline.simulator.refusals import RefusalError
from ig_pipeline.simulator.requests import Call, Json, number_in

T = TypeVar("T")

DEFAULT_LIMIT = 25
HIGHEST_LIMIT = 100
DETOUR = "~"
"""At the end of a cursor: the same place again, by way of an empty page."""


def cursor_of(key: str) -> str:
    """An opaque cursor that means "beside the item with this key"."""
    return "QVFI" + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def key_of(cursor: str) -> str:
    """The item key a cursor stands for. Raises RefusalError for a cursor of somebody else's making."""
    try:
        body = cursor.removeprefix("QVFI")
        return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()
    except ValueError:
        raise RefusalError("Invalid parameter", code=100) from None


def page_of(
    items: Iterable[T],
    *,
    call: Call,
    path: str,
    params: dict[str, str],
    key: Callable[[T], str],
    show: Callable[[T], Any],
) -> Json:
    """One page of `items` (already in order) as `{"data": […], "paging": {…}}`.

    `params`: limit, after and before are read from it, the rest is repeated in the links.
    """
    limit = number_in(params, "limit", default=DEFAULT_LIMIT, highest=HIGHEST_LIMIT)
    chosen, more_after, more_before = _window(iter(items), key, params, limit)
    if not chosen:
        return {"data": []}
    data = [show(item) for item in chosen]
    before, after = cursor_of(key(chosen[0])), cursor_of(key(chosen[-1]))
    kept = {name: value for name, value in params.items() if name not in {"after", "before"}}
    kept.setdefault("limit", str(limit))
    paging: Json = {"cursors": {"before": before, "after": after}}
    if more_after:
        paging["next"] = call.link(path, {**kept, "after": after})
    if more_before:
        paging["previous"] = call.link(path, {**kept, "before": before})
    return {"data": data, "paging": paging}


def _window(
    items: Iterator[T], key: Callable[[T], str], params: dict[str, str], limit: int
) -> tuple[list[T], bool, bool]:
    """The items of a page, and whether there are more after and before it. Takes no more of `items` than it must.

    Raises RefusalError for a cursor that stands nowhere.
    """
    if before := params.get("before"):
        mark = key_of(before)
        earlier: list[T] = []
        for item in items:
            if key(item) == mark:
                return earlier[-limit:], True, len(earlier) > limit
            earlier.append(item)
        raise RefusalError("Invalid parameter", code=100)
    after = params.get("after", "").removesuffix(DETOUR)
    if after:
        mark = key_of(after)
        if not any(key(item) == mark for item in items):
            raise RefusalError("Invalid parameter", code=100)
    chosen = list(islice(items, limit))
    return chosen, next(items, None) is not None, bool(after)
