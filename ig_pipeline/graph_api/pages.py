"""Walks a listing page by page: the only loop over pages there is.

Follows the `after` cursor, never Meta's `next` link, which carries the token in its URL.
"""

from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from ig_pipeline.graph_api.answers import Json, rows_of
from ig_pipeline.graph_api.client import CallMeter, Credentials, GraphClient, Parameters
from ig_pipeline.graph_api.errors import GraphError, MalformedAnswerError

T = TypeVar("T")

# The edge gives 10,000 posts at most: 100 full pages, or 400 when Meta asks for less data a page. A listing beyond
# that is a loop of somebody's making.
PAGE_CAP = 420


class PageCapError(GraphError):
    """A listing did not end: stopped, so that it cannot spend the account's budget."""


def next_cursor(answer: Json) -> str | None:
    """The cursor of the page after this one; None on the last.

    The last page still carries a cursor but no `next`: following the cursor costs an empty call (facts §2.1).
    """
    paging = answer.get("paging")
    if not isinstance(paging, dict) or not paging.get("next"):
        return None
    cursors = paging.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    if not isinstance(after, str) or not after:
        raise MalformedAnswerError("The page promises a next one but names no cursor for it.")
    return after


class Listing:
    """One walk over the pages at `path`. A page that was refused may be asked for again, differently: the walk waits.

    A page that leads back to a cursor already used is malformed, and asked for again.
    """

    def __init__(
        self,
        client: GraphClient,
        path: str,
        *,
        credentials: Credentials,
        meter: CallMeter | None = None,
        cap: int = PAGE_CAP,
    ) -> None:
        self._client = client
        self._path = path
        self._credentials = credentials
        self._meter = meter
        self._cap = cap
        self._pages = 0
        self._after: str | None = None
        self._seen: set[str] = set()
        self.done = False

    async def page(self, params: Parameters, parse: Callable[[list[Json]], T]) -> T:
        """`parse` of the rows of the page the walk stands at; then it moves on, or is `done`.

        Raises `GraphError` without moving, `PageCapError` when the listing does not end.
        """
        if self._pages >= self._cap:
            raise PageCapError(f"The listing of {self._path} did not end after {self._cap} pages; it was stopped.")

        def read(answer: Json) -> tuple[T, str | None]:
            following = next_cursor(answer)
            if following in self._seen:
                raise MalformedAnswerError("The listing repeats a cursor.")
            return parse(rows_of(answer)), following

        asked = params if self._after is None else {**params, "after": self._after}
        rows, self._after = await self._client.fetch(
            self._path, asked, credentials=self._credentials, parse=read, meter=self._meter
        )
        self._pages += 1
        if self._after is None:
            self.done = True
        else:
            self._seen.add(self._after)
        return rows


async def iterate_pages(
    client: GraphClient,
    path: str,
    params: Parameters,
    *,
    credentials: Credentials,
    parse: Callable[[list[Json]], T],
    meter: CallMeter | None = None,
    cap: int = PAGE_CAP,
) -> AsyncIterator[T]:
    """`parse` of the rows of each page, in the API's order. Raises what `Listing.page` raises."""
    listing = Listing(client, path, credentials=credentials, meter=meter, cap=cap)
    while not listing.done:
        yield await listing.page(params, parse)
