"""Gets all that can be had when one bad metric would refuse a whole call (facts §1.2): finds it, and goes on without.

The message names the culprit; else the list is halved. A metric that is silently left out is asked for again, alone.
Works for any call that takes a list of metrics; knows neither windows nor posts.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ig_pipeline.graph_api.absences import Absence
from ig_pipeline.graph_api.catalogue import ACCOUNT_METRICS, MIN_FOLLOWERS
from ig_pipeline.graph_api.errors import BadRequestError, GraphError, NoDataError, TransientError

T = TypeVar("T")
Metrics = tuple[str, ...]
Ask = Callable[[Metrics], Awaitable[Mapping[str, T]]]

# A metric counts as silently missing after so many answers to a question of its own lacked it as well. In a storm
# with one lossy answer in fifty, one such question would call every 2,400th metric an absence, three one in 6 million.
# Where silence has a documented reason, the second one is believed.
RE_ASKS = 3
RE_ASKS_IF_EXPECTED = 2
# Reasons that may hold for one metric and not for its neighbour; the others are about the post as a whole.
_OF_A_METRIC = frozenset({"too_few_people", "too_few_followers", "not_shared_to_facebook"})
# Refusals that are about the request as a whole; no metric is to blame.
_NO_CULPRIT = frozenset({"app_secret_proof", "range_too_long"})


@dataclass
class Found(Generic[T]):
    """What a call gave: a value or an absence for every metric asked for."""

    values: dict[str, T] = field(default_factory=dict)
    absences: dict[str, Absence] = field(default_factory=dict)


async def ask_for(metrics: Metrics, ask: Ask[T]) -> Found[T]:
    """The values of `metrics`, by as few calls of `ask` as possible, and an absence for each that cannot be had.

    Raises the `GraphError` of a refusal that is not about metrics: also when every single metric is refused without
    being named, for then the request is at fault. Raises `NoDataError` when it is about the post asked for.
    """
    found: Found[T] = Found()
    unnamed: dict[str, GraphError] = {}
    await _ask(metrics, ask, found, unnamed)
    if unnamed and not found.values and len(unnamed) == len(metrics):
        raise next(iter(unnamed.values()))
    for metric, error in unnamed.items():
        found.absences[metric] = absence_of(metric, error)
    return found


def absence_of(metric: str, error: GraphError) -> Absence:
    """Why `metric` is absent, when `error` was the answer to it."""
    if isinstance(error, NoDataError):
        return Absence(error.reason, str(error))
    if isinstance(error, BadRequestError):
        if error.rule == "history_limit":
            return Absence("history_limit", f"Instagram keeps {metric} for fewer days. {error}")
        if error.rule == "other" and _needs_followers(metric):
            return too_few_followers(metric)
    return Absence("not_supported", f"Instagram does not give {metric} here. {error}")


def silent_absence(metric: str) -> Absence:
    """Why `metric` is absent, when answers simply left it out."""
    if _needs_followers(metric):
        return too_few_followers(metric)
    return Absence("silently_missing", f"Instagram answered without {metric}, also when asked for it alone.")


def too_few_followers(metric: str) -> Absence:
    """The documented reason for account metrics with a threshold."""
    return Absence("too_few_followers", f"Instagram gives {metric} only from {MIN_FOLLOWERS} followers on.")


def _needs_followers(metric: str) -> bool:
    return metric in ACCOUNT_METRICS and ACCOUNT_METRICS[metric].min_followers > 0


async def _ask(metrics: Metrics, ask: Ask[T], found: Found[T], unnamed: dict[str, GraphError]) -> None:
    if not metrics:
        return
    try:
        values = await ask(metrics)
    except BadRequestError as error:
        if error.rule in _NO_CULPRIT:
            raise
        culprits = error.culprits_among(metrics) if len(metrics) > 1 or error.culprits or error.allowed else ()
        if culprits:
            found.absences.update({metric: absence_of(metric, error) for metric in culprits})
            await _ask(tuple(m for m in metrics if m not in culprits), ask, found, unnamed)
        else:
            await _halve(metrics, ask, found, unnamed, error)
        return
    except NoDataError as error:
        if error.reason not in _OF_A_METRIC:
            raise
        if len(metrics) == 1:
            found.absences[metrics[0]] = absence_of(metrics[0], error)
        else:
            await _halve(metrics, ask, found, unnamed, error)
        return
    except TransientError as error:
        # Code 1 outlived its retries: too much data, or a metric the API cannot compute now (facts §4).
        if not error.reduce or len(metrics) == 1:
            raise
        await _halve(metrics, ask, found, unnamed, error)
        return
    found.values.update({metric: values[metric] for metric in metrics if metric in values})
    await _ask_again(tuple(metric for metric in metrics if metric not in values), ask, found)


async def _halve(
    metrics: Metrics, ask: Ask[T], found: Found[T], unnamed: dict[str, GraphError], error: GraphError
) -> None:
    if len(metrics) == 1:
        unnamed[metrics[0]] = error
        return
    middle = len(metrics) // 2
    await _ask(metrics[:middle], ask, found, unnamed)
    await _ask(metrics[middle:], ask, found, unnamed)


async def _ask_again(missing: Metrics, ask: Ask[T], found: Found[T]) -> None:
    for asked in range(RE_ASKS):
        silent = [m for m in missing if asked == RE_ASKS_IF_EXPECTED and _needs_followers(m)]
        found.absences.update({metric: silent_absence(metric) for metric in silent})
        missing = tuple(metric for metric in missing if metric not in silent)
        if not missing:
            return
        try:
            values = await ask(missing)
        except (BadRequestError, NoDataError) as error:
            found.absences.update({metric: absence_of(metric, error) for metric in missing})
            return
        found.values.update({metric: values[metric] for metric in missing if metric in values})
        missing = tuple(metric for metric in missing if metric not in values)
    found.absences.update({metric: silent_absence(metric) for metric in missing})
