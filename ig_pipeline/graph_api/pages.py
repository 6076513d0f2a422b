"""Walks a listing page by page: the only loop over pages there is.

Follows the `after` cursor, never Meta's `next` link, which carries the token in its URL.
A listing ends where `next` ends and nowhere else: a page may be empty and lead on.
"""

from collections.abc import AsyncIterator, Callable
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

from ig_pipeline.graph_api.answers import Json, rows_of
from ig_pipeline.graph_api.client import CallMeter, Credentials, GraphClient, Parameters
from ig_pipeline.graph_api.errors import GraphError, MalformedAnswerError, TransientError

T = TypeVar("T")

PAGE_SIZE = 100
# Meta's "reduce the amount of data" halves a page; below this a page is not too large but broken.
_SMALLEST_PAGE = 5
# The edge gives 10,000 posts at most: 100 full pages, or 400 when Meta asks for less data a page. A listing beyond
# that is a loop of someone's making.
PAGE_CAP = 420
# A page that was promised by `next` and comes empty, with nothing after it, is asked for again so often: near its
# limits Meta has answered with empty sets (airbyte #4028).
_EMPTY_ENDS = 2


class PageCapError(GraphError):
    """A listing did not end: stopped, so that it cannot spend the account's budget."""


def next_cursor(answer: Json) -> str | None:
    """The cursor of the page after this one; None on the last.

    The last page still carries a cursor but no `next`: following the cursor costs an empty call. Where only the link
    names the cursor, it is read from there. Raises `MalformedAnswerError` when neither does.
    """
    paging = answer.get("paging")
    if not isinstance(paging, dict) or not paging.get("next"):
        return None
    cursors = paging.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    if not isinstance(after, str) or not after:
        after = _cursor_in(paging["next"])
    if not after:
        raise MalformedAnswerError("The page promises a next one but names no cursor for it.")
    return after


def _cursor_in(link: object) -> str | None:
    try:
        found = parse_qs(urlsplit(link).query).get("after") if isinstance(link, str) else None
    except ValueError:  # such as a host with half a bracket
        return None
    return found[-1] if found else None


class Listing:
    """One walk over the pages at `path`. A page that was refused may be asked for again, differently: the walk waits.

    Pages have `PAGE_SIZE` rows, and half of that whenever Meta asks for less data. A page that leads back to a cursor
    already used is malformed, and asked for again.
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
        self._limit = PAGE_SIZE
        self._after: str | None = None
        self._seen: set[str] = set()
        self._empty_ends = 0
        self.done = False

    async def page(self, params: Parameters, parse: Callable[[list[Json]], T]) -> T:
        """`parse` of the rows of the page the walk stands at; then it moves on, or is `done`.

        Raises `GraphError` without moving, `PageCapError` when the listing does not end.
        """
        while True:
            try:
                return await self._page(params, parse)
            except TransientError as error:
                if not error.reduce or self._limit // 2 < _SMALLEST_PAGE:
                    raise
                self._limit //= 2

    async def _page(self, params: Parameters, parse: Callable[[list[Json]], T]) -> T:
        if self._pages >= self._cap:
            raise PageCapError(f"The listing of {self._path} did not end after {self._cap} pages; it was stopped.")

        def read(answer: Json) -> tuple[T, str | None]:
            following, rows = next_cursor(answer), rows_of(answer)
            if following in self._seen:
                raise MalformedAnswerError("The listing repeats a cursor.")
            if not rows and following is None and self._after is not None and self._empty_ends < _EMPTY_ENDS:
                self._empty_ends += 1
                raise MalformedAnswerError("A page that was promised came empty.")
            return parse(rows), following

        asked = {**params, "limit": self._limit, **({} if self._after is None else {"after": self._after})}
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
