"""Gets all that can be had when one bad metric would refuse a whole call: finds the metric, and goes on without it.

The message names the metric; else the list is halved. A metric that is silently left out is asked for again, alone.
Works for any call that takes a list of metrics; knows neither windows nor posts.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ig_pipeline.graph_api.absences import Absence
from ig_pipeline.graph_api.account_memory import GIVE_UP_AFTER, Suspicion
from ig_pipeline.graph_api.catalogue import ACCOUNT_METRICS, MIN_FOLLOWERS
from ig_pipeline.graph_api.errors import (
    AmbiguousRefusalError,
    BadRequestError,
    GraphError,
    NoDataError,
    PermissionMissingError,
    TransientError,
)

T = TypeVar("T")
Metrics = tuple[str, ...]
Ask = Callable[[Metrics], Awaitable[Mapping[str, T]]]

# A metric counts as silently missing after so many answers to a question of its own lacked it as well. In a storm
# with one lossy answer in fifty, one such question would call every 2,400th metric missing, three one in 6 million.
RE_ASKS = 3
# Reasons that may hold for one metric and not for its neighbour; the others are about the object as a whole.
_OF_A_METRIC = frozenset({"too_few_people", "too_few_followers", "not_shared_to_facebook"})
# Refusals that are about the request as a whole; no metric is to blame.
_OF_THE_REQUEST = frozenset({"range_too_long"})
# Refusals that name no rule.
_UNNAMED = frozenset({"other", "unknown_field"})


@dataclass
class Found(Generic[T]):
    """What a call gave: a value or an absence for every metric asked for."""

    values: dict[str, T] = field(default_factory=dict)
    absences: dict[str, Absence] = field(default_factory=dict)


Explain = Callable[[Metrics], Awaitable[Mapping[str, Absence]]]


async def _nothing_explains(_: Metrics) -> Mapping[str, Absence]:
    return {}


async def ask_for(
    metrics: Metrics, ask: Ask[T], *, suspicion: Suspicion | None = None, explain: Explain = _nothing_explains
) -> Found[T]:
    """The values of `metrics`, by as few calls of `ask` as possible, and an absence for each that cannot be had.

    `suspicion`: what calls of the same kind met before; read and updated. `explain`: called with metrics that an answer
    left out or refused without a rule; the absences it knows from another source are not asked for again.
    Raises the `GraphError` of a refusal that is not about metrics; `AmbiguousRefusalError` when every single metric is
    refused without a rule, for then the request is at fault, or Meta of the moment; `NoDataError` when it is about the
    object asked for.
    """
    search = _Search(ask, suspicion or Suspicion(), explain)
    await search.run(metrics)
    return search.found


def absence_of(metric: str, error: GraphError) -> Absence:
    """Why `metric` is absent, when `error` was the answer to it."""
    if isinstance(error, NoDataError):
        return Absence(error.reason, str(error))
    if isinstance(error, BadRequestError) and error.rule == "history_limit":
        return Absence("history_limit", f"Instagram keeps {metric} for fewer days. {error}")
    if names_a_rule(error):
        return Absence("not_supported", f"Instagram does not give {metric} here. {error}")
    return Absence("refused", f"Instagram refused {metric} without naming a rule. {error}")


def names_a_rule(error: GraphError) -> bool:
    """Whether a refusal says something lasting; one that does not may be answered when asked again."""
    return isinstance(error, NoDataError) or (isinstance(error, BadRequestError) and error.rule not in _UNNAMED)


def silent_absence(metric: str) -> Absence:
    """Why `metric` is absent, when answers simply left it out."""
    return Absence("silently_missing", f"Instagram answered without {metric}, also when asked for it alone.")


def too_few_followers(metric: str) -> Absence:
    """The documented reason for account metrics with a threshold, once the profile has shown that it applies."""
    return Absence("too_few_followers", f"Instagram gives {metric} only from {MIN_FOLLOWERS} followers on.")


def needs_followers(metric: str) -> bool:
    """Whether the metric does not exist below a number of followers."""
    return metric in ACCOUNT_METRICS and ACCOUNT_METRICS[metric].min_followers > 0


class _Search(Generic[T]):
    """One question and all that follows from it."""

    def __init__(self, ask: Ask[T], suspicion: Suspicion, explain: Explain) -> None:
        self.found: Found[T] = Found()
        self._call = ask
        self._suspicion = suspicion
        self._explain = explain
        self._unnamed: dict[str, GraphError] = {}
        self._asked_twice = False

    async def run(self, metrics: Metrics) -> None:
        suspicion = self._suspicion
        if suspicion.whole is not None:
            await self._after_a_whole_refusal(metrics, suspicion.whole)
            return
        suspects = tuple(metric for metric in metrics if metric in suspicion.refused)
        await self._ask(tuple(metric for metric in metrics if metric not in suspects))
        for metric in suspects:
            await self._ask_suspect(metric)
        suspicion.succeeded(self.found.values)
        await self._explain_unnamed()
        if self._unnamed and not self.found.values and len(self._unnamed) == len(metrics):
            error = next(iter(self._unnamed.values()))
            if len(metrics) > 1:
                suspicion.whole, suspicion.whole_refusals = error, 1
                raise AmbiguousRefusalError(_WITHOUT_A_RULE.format(error=error), origin=error.origin)
        for metric, error in self._unnamed.items():
            self.found.absences[metric] = absence_of(metric, error)
            suspicion.refused[metric] = error
            suspicion.refusals[metric] += 1

    async def _after_a_whole_refusal(self, metrics: Metrics, error: GraphError) -> None:
        """A sibling was refused whole, metric by metric: one call tells whether that still holds."""
        suspicion = self._suspicion
        if suspicion.whole_refusals < GIVE_UP_AFTER:
            try:
                values = await self._call(metrics)
            except BadRequestError as again:
                if names_a_rule(again):
                    suspicion.whole = None
                    await self.run(metrics)
                    return
                error, suspicion.whole_refusals = again, suspicion.whole_refusals + 1
            else:
                suspicion.succeeded(metrics)
                await self._take(metrics, values)
                return
        raise AmbiguousRefusalError(_WITHOUT_A_RULE.format(error=error), origin=error.origin)

    async def _explain_unnamed(self) -> None:
        if self._unnamed:
            known = await self._explain(tuple(self._unnamed))
            self.found.absences.update(known)
            self._unnamed = {metric: error for metric, error in self._unnamed.items() if metric not in known}

    async def _ask_suspect(self, metric: str) -> None:
        if self._suspicion.has_given_up(metric):
            self.found.absences[metric] = absence_of(metric, self._suspicion.refused[metric])
        else:
            await self._ask((metric,))

    async def _ask(self, metrics: Metrics) -> None:
        if not metrics:
            return
        try:
            values = await self._call(metrics)
        except BadRequestError as error:
            await self._after_bad_request(metrics, error)
        except NoDataError as error:
            if error.reason not in _OF_A_METRIC:
                raise
            if len(metrics) == 1:
                self.found.absences[metrics[0]] = absence_of(metrics[0], error)
            else:
                await self._halve(metrics, error)
        except TransientError as error:
            # Code 1 outlived its retries: too much data, or a metric the API cannot compute now.
            if not error.reduce or len(metrics) == 1:
                raise
            await self._halve(metrics, error)
        else:
            await self._take(metrics, values)

    async def _after_bad_request(self, metrics: Metrics, error: BadRequestError) -> None:
        if error.rule in _OF_THE_REQUEST:
            raise error
        named = error.culprits_among(metrics) if len(metrics) > 1 or error.culprits or error.allowed else ()
        if named:
            self.found.absences.update({metric: absence_of(metric, error) for metric in named})
            await self._ask(tuple(metric for metric in metrics if metric not in named))
        elif not names_a_rule(error) and not self._asked_twice:
            self._asked_twice = True  # the same question once more costs less than a search
            await self._ask(metrics)
        else:
            await self._halve(metrics, error)

    async def _halve(self, metrics: Metrics, error: GraphError) -> None:
        if len(metrics) == 1:
            if names_a_rule(error):
                self.found.absences[metrics[0]] = absence_of(metrics[0], error)
            else:
                self._unnamed[metrics[0]] = error
            return
        middle = len(metrics) // 2
        await self._ask(metrics[:middle])
        await self._ask(metrics[middle:])

    async def _take(self, metrics: Metrics, values: Mapping[str, T]) -> None:
        """Keep what came; ask again for what did not, alone, unless a sibling has done so in vain."""
        self.found.values.update({metric: values[metric] for metric in metrics if metric in values})
        missing = tuple(metric for metric in metrics if metric not in values)
        if not missing:
            return
        explained = await self._explain(missing)
        self.found.absences.update(explained)
        missing = tuple(metric for metric in missing if metric not in explained)
        again = tuple(metric for metric in missing if metric not in self._suspicion.silent)
        left = await self._ask_again(again)
        for metric in missing:
            if metric in left or metric not in again:
                self.found.absences[metric] = silent_absence(metric)
        self._suspicion.silent.update(left)

    async def _ask_again(self, missing: Metrics) -> Metrics:
        """What is silent still after `RE_ASKS` questions for nothing else."""
        for _ in range(RE_ASKS):
            if not missing:
                break
            try:
                values = await self._call(missing)
            except (BadRequestError, NoDataError, PermissionMissingError) as error:
                self.found.absences.update({metric: absence_of(metric, error) for metric in missing})
                return ()
            self.found.values.update({metric: values[metric] for metric in missing if metric in values})
            missing = tuple(metric for metric in missing if metric not in values)
        return missing


_WITHOUT_A_RULE = "Meta refuses every metric of the request without naming a rule. {error}"
