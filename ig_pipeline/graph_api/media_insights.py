"""Insights of posts, also when one of them would refuse the whole page: finds it at few calls.

A page of a hundred with one refusing post costs some seven more calls, not a hundred: halves are asked for by time
window, and a refusal for "before conversion" answers for all older posts at once. Posts that are known to refuse cost
a call per gap between them. What one post refuses, for whatever reason, is that post's absence alone.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby

from ig_pipeline.graph_api.absences import Absence, AbsenceReason
from ig_pipeline.graph_api.answers import Json
from ig_pipeline.graph_api.catalogue import MEDIA_METRICS
from ig_pipeline.graph_api.client import CallMeter, Credentials, GraphClient
from ig_pipeline.graph_api.errors import (
    AmbiguousRefusalError,
    BadRequestError,
    GraphError,
    MalformedAnswerError,
    NoDataError,
    ObjectGoneError,
    PermissionMissingError,
)
from ig_pipeline.graph_api.insight_values import Number, read_media_insights
from ig_pipeline.graph_api.media_nodes import Media, MediaNode, read_node
from ig_pipeline.graph_api.metric_fallback import Metrics, absence_of, ask_for
from ig_pipeline.graph_api.pages import Listing

REFUSALS = (BadRequestError, NoDataError, PermissionMissingError, ObjectGoneError, AmbiguousRefusalError)
"""Answers that may be about one post of a page, or about one metric of it."""

# So few posts are asked for one by one: halving them could cost more.
_FEW = 6
# A permission that so many posts lack, and all that were asked, is the account's and not a post's.
_ACCOUNT_WIDE = 3
# Rules about a post as a whole. Any other is about one of its metrics, and the post has the rest.
_OF_THE_POST: frozenset[AbsenceReason] = frozenset({"before_conversion", "too_few_viewers"})
BEFORE_CONVERSION = Absence(
    "before_conversion", "Posted before the account became professional: Instagram never has insights for it."
)


async def fetch_post_insights(
    client: GraphClient, credentials: Credentials, media_id: str, metrics: Metrics, *, meter: CallMeter | None = None
) -> tuple[dict[str, Number], dict[str, Absence]]:
    """Lifetime values of one post or story by metric, and why the others are absent. Raises `GraphError`."""

    async def ask(names: Metrics) -> Mapping[str, Number]:
        return await client.fetch(
            f"{media_id}/insights",
            {"metric": ",".join(names)},
            credentials=credentials,
            parse=read_media_insights,
            meter=meter,
            exists=True,
        )

    found = await ask_for(metrics, ask)
    return found.values, found.absences


class InsightSearch:
    """The insights of one listing's posts, newest first."""

    def __init__(
        self,
        client: GraphClient,
        credentials: Credentials,
        *,
        metrics: Metrics,
        meter: CallMeter,
        known: Mapping[str, Mapping[str, Absence]],
    ) -> None:
        self.metrics = metrics
        self._known = known
        self._client = client
        self._credentials = credentials
        self._meter = meter
        self._cut: datetime | None = None
        self._found: dict[str, dict[str, Number]] = {}
        self._absent: dict[str, dict[str, Absence]] = {}
        self._dropped: dict[str, Absence] = {}
        self._refused_whole: dict[str, GraphError] = {}

    @property
    def is_over(self) -> bool:
        """Whether no further page has any: after the first post from before the conversion all are older."""
        return self._cut is not None or not self.metrics

    @property
    def safe(self) -> Metrics:
        """What a page may be asked for without being refused for a post that is known to refuse the rest."""
        refused = {name for absences in self._known.values() for name in absences}
        return () if "insights" in refused else tuple(name for name in self.metrics if name not in refused)

    def without_named(self, refusal: GraphError) -> Metrics:
        """What the refused page may be asked for instead; empty when the refusal tells of no metric."""
        asked = self.safe
        named = _metrics_of(refusal, asked)
        return tuple(name for name in asked if name not in named) if named else ()

    async def after_page(self, posts: list[Media], *, given: Metrics) -> list[Media]:
        """The posts of a page that was asked for the metrics `given`, with the others; around those known to refuse."""
        if given == self.metrics:
            return posts
        await self._ask_others(posts, tuple(name for name in self.metrics if name not in given), None)
        self._raise_if_the_request_is_at_fault(posts)
        return [self._with(post) for post in posts]

    async def after_refusal(self, posts: list[Media], refusal: GraphError, *, given: Metrics) -> list[Media]:
        """The posts of a refused page with all insights that can be had; `given`: the metrics they came with.

        Raises a refusal that neither a metric nor a post is to blame for.
        """
        open_ = tuple(name for name in self.metrics if name not in given)
        if isinstance(refusal, BadRequestError) and refusal.rule == "unknown_metric" and given:
            # Not known to this version at all: no post is to blame, and no other page need ask.
            self._dropped.update({name: absence_of(name, refusal) for name in open_})
            self.metrics = given
        else:
            if isinstance(refusal, PermissionMissingError):
                await self._raise_if_account_wide(posts, open_)
            await self._ask_others(posts, open_, refusal)
            self._raise_if_the_request_is_at_fault(posts)
        return [self._with(post) for post in posts]

    async def complete(self, posts: list[Media]) -> list[Media]:
        """`posts` with a value or an absence for every metric; asks again for what an answer left out."""
        missing = [post for post in posts if self._missing(post)]
        together = [post for post in missing if post.id not in self._known]
        if len(together) > 1:
            await self._ask_together(together, self.metrics, None)
            posts = [self._with(post) for post in posts]
            missing = [post for post in posts if self._missing(post)]
        for post in missing:
            await self._ask_alone(post, self._missing(post))
        return [self._with(post) for post in posts]

    async def _raise_if_account_wide(self, posts: Sequence[Media], metrics: Metrics) -> None:
        """Ask a few posts far apart alone: where each lacks the permission, the search for one post is spared."""
        if len(posts) < _ACCOUNT_WIDE:
            return
        asked = (posts[0], posts[-1], posts[len(posts) // 2])
        for post in asked:
            await self._ask_alone(post, metrics)
            if not isinstance(self._refused_whole.get(post.id), PermissionMissingError):
                return
        raise self._refused_whole[asked[0].id]

    async def _ask_others(self, posts: Sequence[Media], metrics: Metrics, refusal: GraphError | None) -> None:
        """Ask for `metrics` of all but those known to refuse: of each stretch of posts between them together."""
        for post in posts:
            if post.id in self._known:
                self._absent.setdefault(post.id, {}).update(self._known[post.id])
        stretches = [list(group) for known, group in groupby(posts, lambda post: post.id in self._known) if not known]
        for stretch in stretches:
            await self._ask_together(stretch, metrics, refusal if len(stretch) == len(posts) else None)

    async def _ask_together(self, posts: Sequence[Media], metrics: Metrics, refusal: GraphError | None) -> bool:
        """Ask for `metrics` of `posts` (newest first) together; halve on a refusal. True when none refused.

        `refusal`: the answer to exactly these posts, when it is known already.
        """
        posts = [post for post in posts if not self._is_before_cut(post)]
        if not posts or not metrics:
            return True
        if refusal is None:
            try:
                await self._window(posts, metrics)
            except REFUSALS as error:
                refusal = error
            else:
                return True
        if len(posts) == 1:
            await self._blame(posts[0], metrics, refusal)
            return False
        if len(posts) <= _FEW and not _is_of_the_post(refusal):
            for post in posts:
                await self._ask_alone(post, metrics)
            return False
        middle = len(posts) // 2
        newer_good = await self._ask_together(posts[:middle], metrics, None)
        # All newer ones are good, so the refusal was about the older ones: no call to learn that.
        await self._ask_together(posts[middle:], metrics, refusal if newer_good else None)
        return False

    async def _window(self, posts: Sequence[Media], metrics: Metrics) -> None:
        """One call for the insights of `posts`, by the span of time they were posted in."""
        if len(posts) == 1:
            answer = await self._client.fetch(
                f"{posts[0].id}/insights",
                {"metric": ",".join(metrics)},
                credentials=self._credentials,
                parse=read_media_insights,
                meter=self._meter,
                exists=True,
            )
            self._found.setdefault(posts[0].id, {}).update(answer)
            return
        times = [int(post.timestamp.timestamp()) for post in posts]
        params: dict[str, str | int] = {
            "fields": f"id,insights.metric({','.join(metrics)})",
            # A second more on both ends: nothing says whether they are included.
            "since": min(times) - 1,
            "until": max(times) + 1,
        }
        path = f"{self._credentials.account_id}/media"
        listing = Listing(self._client, path, credentials=self._credentials, meter=self._meter)
        left = {post.id for post in posts}
        while left and not listing.done:
            for node in await listing.page(params, _read_nodes):
                left.discard(node.id)
                self._found.setdefault(node.id, {}).update(node.insights or {})

    async def _blame(self, post: Media, metrics: Metrics, refusal: GraphError) -> None:
        """`post` alone was refused: record why, and get what it can give besides."""
        if isinstance(refusal, NoDataError) and _is_of_the_post(refusal):
            self._record_whole(post, refusal)
            return
        named = _metrics_of(refusal, metrics)
        self._absent.setdefault(post.id, {}).update({name: absence_of(name, refusal) for name in named})
        rest = tuple(name for name in metrics if name not in named)
        if rest:
            await self._ask_alone(post, rest)

    def _record_whole(self, post: Media, refusal: NoDataError) -> None:
        self._absent.setdefault(post.id, {})["insights"] = absence_of("insights", refusal)
        if refusal.reason == "before_conversion":
            self._cut = max(post.timestamp, self._cut or post.timestamp)

    async def _ask_alone(self, post: Media, metrics: Metrics) -> None:
        if post.id in self._refused_whole:
            return
        try:
            values, absences = await fetch_post_insights(
                self._client, self._credentials, post.id, metrics, meter=self._meter
            )
        except NoDataError as error:
            self._record_whole(post, error)
        except REFUSALS as error:
            self._absent.setdefault(post.id, {})["insights"] = absence_of("insights", error)
            self._refused_whole[post.id] = error
        else:
            self._found.setdefault(post.id, {}).update(values)
            self._absent.setdefault(post.id, {}).update(absences)

    def _raise_if_the_request_is_at_fault(self, posts: Sequence[Media]) -> None:
        """One post that refuses everything is odd; when all do, the request is."""
        errors = [self._refused_whole[post.id] for post in posts if post.id in self._refused_whole]
        if len(errors) > 1 and len(errors) == len(posts):
            raise errors[0]

    def _missing(self, post: Media) -> Metrics:
        if self._is_before_cut(post):
            return ()
        absent = {**post.absences, **self._absent.get(post.id, {})}
        if "insights" in absent:
            return ()
        known = {**(post.insights or {}), **self._found.get(post.id, {})}
        return tuple(name for name in self.metrics if name not in known and name not in absent)

    def _with(self, post: Media) -> Media:
        values = {**(post.insights or {}), **self._found.get(post.id, {})}
        absences = {**post.absences, **self._dropped, **self._absent.get(post.id, {})}
        if self._is_before_cut(post) and not values:
            absences["insights"] = BEFORE_CONVERSION
        return post.model_copy(update={"insights": values, "absences": absences})

    def _is_before_cut(self, post: Media) -> bool:
        return self._cut is not None and post.timestamp <= self._cut


def _is_of_the_post(refusal: GraphError) -> bool:
    return isinstance(refusal, NoDataError) and refusal.reason in _OF_THE_POST


def _metrics_of(refusal: GraphError, asked: Metrics) -> Metrics:
    """The metrics of `asked` a refusal is about, by its words or by its rule; empty when neither tells."""
    if isinstance(refusal, BadRequestError):
        return refusal.culprits_among(asked)
    if isinstance(refusal, NoDataError) and refusal.reason == "not_shared_to_facebook":
        return tuple(name for name in asked if name in MEDIA_METRICS and MEDIA_METRICS[name].only_if_shared)
    return ()


def _read_nodes(rows: list[Json]) -> list[MediaNode]:
    """The posts of a page; one without a usable id is left out, for nothing of it could be used."""
    nodes = []
    for row in rows:
        try:
            nodes.append(read_node(row))
        except MalformedAnswerError:
            continue
    return nodes
