"""Insights of posts, also when one of them would refuse the whole page (facts §2.2): finds it at few calls.

A page of a hundred with one culprit costs some seven more calls, not a hundred: halves are asked for by time window,
and a refusal for "before conversion" settles all older posts at once. Known culprits cost a call per gap between them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby

from ig_pipeline.graph_api.absences import Absence, AbsenceReason
from ig_pipeline.graph_api.answers import Json, rows_of
from ig_pipeline.graph_api.catalogue import MEDIA_METRICS, MEDIA_PAGE_SIZE
from ig_pipeline.graph_api.client import CallMeter, Credentials, GraphClient
from ig_pipeline.graph_api.culprits import Metrics, absence_of, ask_for
from ig_pipeline.graph_api.errors import BadRequestError, NoDataError, ObjectGoneError
from ig_pipeline.graph_api.insight_values import Number, read_media_insights
from ig_pipeline.graph_api.media_nodes import Media, MediaNode, read_node

Refusal = BadRequestError | NoDataError

# So few posts are asked for one by one: halving them could cost more.
_FEW = 6
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
        )

    found = await ask_for(metrics, ask)
    return found.values, found.absences


class InsightSearch:
    """The insights of one listing's posts, newest first. `hopeless`: no further page has any."""

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
        self._unexplained: dict[str, BadRequestError] = {}

    @property
    def hopeless(self) -> bool:
        """Pages get older: after the first post from before the conversion none has insights any more."""
        return self._cut is not None or not self.metrics

    @property
    def safe(self) -> Metrics:
        """What a page may be asked for without being refused for a post that is known to refuse the rest."""
        refused = {name for absences in self._known.values() for name in absences}
        return () if "insights" in refused else tuple(name for name in self.metrics if name not in refused)

    def without_culprits(self, refusal: Refusal) -> Metrics:
        """What the refused page may be asked for instead; empty when the refusal tells of no metric."""
        asked = self.safe
        culprits = _culprits(refusal, asked)
        return tuple(name for name in asked if name not in culprits) if culprits else ()

    async def after_page(self, posts: list[Media], *, given: Metrics) -> list[Media]:
        """The posts of a page that was asked for the metrics `given`, with the others; around the known culprits."""
        if given == self.metrics:
            return posts
        await self._settle_others(posts, tuple(name for name in self.metrics if name not in given), None)
        self._raise_if_nobody_is_to_blame(posts)
        return [self._with(post) for post in posts]

    async def after_refusal(self, posts: list[Media], refusal: Refusal, *, given: Metrics) -> list[Media]:
        """The posts of a refused page with all insights that can be had; `given`: the metrics they came with.

        Raises a refusal that neither a metric nor a post is to blame for.
        """
        open_ = tuple(name for name in self.metrics if name not in given)
        if isinstance(refusal, BadRequestError) and refusal.rule == "unknown_metric" and given:
            # Not known to this version at all: no post is to blame, and no other page need ask.
            self._dropped.update({name: absence_of(name, refusal) for name in open_})
            self.metrics = given
        else:
            await self._settle_others(posts, open_, refusal)
            self._raise_if_nobody_is_to_blame(posts)
        return [self._with(post) for post in posts]

    async def complete(self, posts: list[Media]) -> list[Media]:
        """`posts` with a value or an absence for every metric; asks again for what an answer left out."""
        missing = [post for post in posts if self._missing(post)]
        together = [post for post in missing if post.id not in self._known]
        if len(together) > 1:
            await self._settle(together, self.metrics, None)
            posts = [self._with(post) for post in posts]
            missing = [post for post in posts if self._missing(post)]
        for post in missing:
            await self._alone(post, self._missing(post))
        return [self._with(post) for post in posts]

    async def _settle_others(self, posts: Sequence[Media], metrics: Metrics, refusal: Refusal | None) -> None:
        """Ask for `metrics` of all but the known culprits: of each stretch of posts between them together."""
        for post in posts:
            if post.id in self._known:
                self._absent.setdefault(post.id, {}).update(self._known[post.id])
        stretches = [list(group) for known, group in groupby(posts, lambda post: post.id in self._known) if not known]
        for stretch in stretches:
            await self._settle(stretch, metrics, refusal if len(stretch) == len(posts) else None)

    async def _settle(self, posts: Sequence[Media], metrics: Metrics, refusal: Refusal | None) -> bool:
        """Ask for `metrics` of `posts` (newest first) together; halve on a refusal. True when none refused.

        `refusal`: the answer to exactly these posts, when it is known already.
        """
        posts = [post for post in posts if not self._before_cut(post)]
        if not posts or not metrics:
            return True
        if refusal is None:
            try:
                await self._window(posts, metrics)
            except (BadRequestError, NoDataError) as error:
                refusal = error
            else:
                return True
        if len(posts) == 1:
            await self._blame(posts[0], metrics, refusal)
            return False
        if len(posts) <= _FEW and not _is_of_the_post(refusal):
            for post in posts:
                await self._alone(post, metrics)
            return False
        middle = len(posts) // 2
        newer_good = await self._settle(posts[:middle], metrics, None)
        # All newer ones are good, so the refusal was about the older ones: no call to learn that.
        await self._settle(posts[middle:], metrics, refusal if newer_good else None)
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
            )
            self._found.setdefault(posts[0].id, {}).update(answer)
            return
        times = [int(post.timestamp.timestamp()) for post in posts]
        nodes = await self._client.fetch(
            f"{self._credentials.account_id}/media",
            {
                "fields": f"id,insights.metric({','.join(metrics)})",
                # A second more on both ends: nothing says whether they are included.
                "since": min(times) - 1,
                "until": max(times) + 1,
                "limit": MEDIA_PAGE_SIZE,
            },
            credentials=self._credentials,
            parse=_read_nodes,
            meter=self._meter,
        )
        for node in nodes:
            self._found.setdefault(node.id, {}).update(node.insights or {})

    async def _blame(self, post: Media, metrics: Metrics, refusal: Refusal) -> None:
        """`post` alone was refused: record why, and get what it can give besides."""
        if isinstance(refusal, NoDataError) and _is_of_the_post(refusal):
            self._record_whole(post, refusal)
            return
        culprits = _culprits(refusal, metrics)
        self._absent.setdefault(post.id, {}).update({name: absence_of(name, refusal) for name in culprits})
        rest = tuple(name for name in metrics if name not in culprits)
        if rest:
            await self._alone(post, rest)

    def _record_whole(self, post: Media, refusal: NoDataError) -> None:
        self._absent.setdefault(post.id, {})["insights"] = absence_of("insights", refusal)
        if refusal.reason == "before_conversion":
            self._cut = max(post.timestamp, self._cut or post.timestamp)

    async def _alone(self, post: Media, metrics: Metrics) -> None:
        try:
            values, absences = await fetch_post_insights(
                self._client, self._credentials, post.id, metrics, meter=self._meter
            )
        except NoDataError as error:
            self._record_whole(post, error)
        except ObjectGoneError as error:
            self._absent.setdefault(post.id, {})["insights"] = Absence("gone", str(error))
        except BadRequestError as error:
            self._absent.setdefault(post.id, {})["insights"] = absence_of("insights", error)
            self._unexplained[post.id] = error
        else:
            self._found.setdefault(post.id, {}).update(values)
            self._absent.setdefault(post.id, {}).update(absences)

    def _raise_if_nobody_is_to_blame(self, posts: Sequence[Media]) -> None:
        """One post that refuses everything is odd; when all do, the request is."""
        errors = [self._unexplained[post.id] for post in posts if post.id in self._unexplained]
        if len(errors) > 1 and len(errors) == len(posts):
            raise errors[0]

    def _missing(self, post: Media) -> Metrics:
        if self._before_cut(post):
            return ()
        absent = {**post.absences, **self._absent.get(post.id, {})}
        if "insights" in absent:
            return ()
        known = {**(post.insights or {}), **self._found.get(post.id, {})}
        return tuple(name for name in self.metrics if name not in known and name not in absent)

    def _with(self, post: Media) -> Media:
        values = {**(post.insights or {}), **self._found.get(post.id, {})}
        absences = {**post.absences, **self._dropped, **self._absent.get(post.id, {})}
        if self._before_cut(post) and not values:
            absences["insights"] = BEFORE_CONVERSION
        return post.model_copy(update={"insights": values, "absences": absences})

    def _before_cut(self, post: Media) -> bool:
        return self._cut is not None and post.timestamp <= self._cut


def _is_of_the_post(refusal: Refusal) -> bool:
    return isinstance(refusal, NoDataError) and refusal.reason in _OF_THE_POST


def _culprits(refusal: Refusal, asked: Metrics) -> Metrics:
    """The metrics of `asked` a refusal is about, by its words or by its rule; empty when neither tells."""
    if isinstance(refusal, BadRequestError):
        return refusal.culprits_among(asked)
    if refusal.reason == "not_shared_to_facebook":
        return tuple(name for name in asked if name in MEDIA_METRICS and MEDIA_METRICS[name].only_if_shared)
    return ()


def _read_nodes(answer: Json) -> list[MediaNode]:
    return [read_node(row) for row in rows_of(answer)]
