"""Pages of a list: cursors, `next` and `previous`, as `/media` and `/me/accounts` have them (facts §2.1).

The last page still carries cursors but no `next`; an empty one carries no paging at all.
"""

import base64
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ig_pipeline.simulator.refusals import RefusalError
from ig_pipeline.simulator.requests import Call, Json, number_in

T = TypeVar("T")

DEFAULT_LIMIT = 25
HIGHEST_LIMIT = 100


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
    items: Sequence[T],
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
    start, stop = _bounds([key(item) for item in items], params, limit)
    chosen = items[start:stop]
    if not chosen:
        return {"data": []}
    data = [show(item) for item in chosen]
    before, after = cursor_of(key(chosen[0])), cursor_of(key(chosen[-1]))
    kept = {name: value for name, value in params.items() if name not in {"after", "before"}}
    kept.setdefault("limit", str(limit))
    paging: Json = {"cursors": {"before": before, "after": after}}
    if stop < len(items):
        paging["next"] = call.link(path, {**kept, "after": after})
    if start > 0:
        paging["previous"] = call.link(path, {**kept, "before": before})
    return {"data": data, "paging": paging}


def _bounds(keys: list[str], params: dict[str, str], limit: int) -> tuple[int, int]:
    """Where the page begins and ends among `keys`. Raises RefusalError for a cursor that stands nowhere."""
    if after := params.get("after"):
        start = _index(keys, after) + 1
        return start, min(len(keys), start + limit)
    if before := params.get("before"):
        stop = _index(keys, before)
        return max(0, stop - limit), stop
    return 0, min(len(keys), limit)


def _index(keys: list[str], cursor: str) -> int:
    try:
        return keys.index(key_of(cursor))
    except ValueError:
        raise RefusalError("Invalid parameter", code=100) from None
