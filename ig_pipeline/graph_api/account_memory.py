"""What one client has learned about an account, so that thirty days pay for one refusal and not for thirty.

Only what Meta said by a rule is left out of later calls. What was refused without one, or left out of an answer, makes
a metric suspect: its siblings spend one plain call on it and no search, and one success clears it.
Lives as long as its client; what outlives a run is recorded by the engine and handed back as `skip`.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ig_pipeline.graph_api.absences import Absence, AbsenceReason
from ig_pipeline.graph_api.errors import GraphError

# Reasons that hold for every later call of the same kind; a range's own (history, freshness) do not.
_LASTING: frozenset[AbsenceReason] = frozenset(
    {"too_few_followers", "too_few_people", "not_supported", "refused_repeatedly"}
)
# Refused so often in a run without one success, a metric is not asked for again in that run.
GIVE_UP_AFTER = 3


@dataclass(frozen=True)
class AccountFacts:
    """Numbers of the profile that confirm or contradict a silence; None where the API does not tell."""

    followers: int | None
    media: int | None


@dataclass
class Suspicion:
    """What calls of one kind ("series", "totals", …) have met without an explanation in this run."""

    refused: dict[str, GraphError] = field(default_factory=dict)
    """Metric → the last refusal of it alone."""
    refusals: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    silent: set[str] = field(default_factory=set)
    """Metrics that were missing also when asked for alone."""
    whole: GraphError | None = None
    """The refusal of a whole request, every metric of which was refused alone as well."""
    whole_refusals: int = 0

    def has_given_up(self, metric: str) -> bool:
        """Whether `metric` was refused too often in this run to be asked for again."""
        return self.refusals[metric] >= GIVE_UP_AFTER

    def succeeded(self, metrics: Iterable[str]) -> None:
        """A value came: whatever was held against these metrics, or against the request, is void."""
        self.whole, self.whole_refusals = None, 0
        for metric in metrics:
            self.refused.pop(metric, None)
            self.refusals.pop(metric, None)
            self.silent.discard(metric)


@dataclass
class AccountMemory:
    """Absences by kind of call ("series", "totals", …) and metric, and what is suspect."""

    _known: dict[str, dict[str, Absence]] = field(default_factory=lambda: defaultdict(dict))
    _given: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _suspicions: dict[str, Suspicion] = field(default_factory=lambda: defaultdict(Suspicion))
    _locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _first_made: set[str] = field(default_factory=set)
    _facts: AccountFacts | None = None

    def absences(self, kind: str) -> Mapping[str, Absence]:
        """What calls of `kind` need not ask for any more."""
        return dict(self._known[kind])

    def suspicion(self, kind: str) -> Suspicion:
        """What calls of `kind` have met without an explanation."""
        return self._suspicions[kind]

    def remember(self, kind: str, absences: Mapping[str, Absence], *, given: Iterable[str] = ()) -> dict[str, Absence]:
        """Keep those of `absences` that hold for every later call of `kind`; `absences` as they are to be believed.

        A refusal of a metric that this account has given in this run is no rule, whatever it says.
        """
        self._given[kind].update(given)
        told = {
            metric: Absence("refused", absence.detail)
            if absence.reason == "not_supported" and metric in self._given[kind]
            else absence
            for metric, absence in absences.items()
        }
        self._known[kind].update({metric: absence for metric, absence in told.items() if absence.reason in _LASTING})
        return told

    @asynccontextmanager
    async def first_alone(self, kind: str) -> AsyncIterator[None]:
        """The first call of a kind goes alone: what it finds out, its thirty siblings need not."""
        if kind in self._first_made:
            yield
            return
        async with self._locks[kind]:
            if kind not in self._first_made:
                yield
                self._first_made.add(kind)
                return
        yield

    async def facts(self, read: Callable[[], Awaitable[AccountFacts]]) -> AccountFacts:
        """The account's numbers, by `read` the first time."""
        async with self._locks["facts"]:
            if self._facts is None:
                self._facts = await read()
            return self._facts
