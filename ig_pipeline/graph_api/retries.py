"""How often a call to Meta is tried again, when trying again can help at all.

Numbers and arithmetic only: whether an error is one of the moment says its type (`errors`); who sleeps is the policy.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ig_pipeline.graph_api.errors import AmbiguousRefusalError, TransientError
from ig_pipeline.retrying import RetryPolicy, helps_now


@dataclass(frozen=True)
class GraphRetryPolicy(RetryPolicy):
    """How often a call is tried, and with which waits.

    `doubtful_attempts`: how many of the attempts may end in a failure that another try of the same call seldom mends:
    "ask for less" (code 1), or a refusal of something that is known to exist.
    With one call in three failing, ten attempts leave one call in 59,000 without an answer, at 1.5 calls each on
    average; five would leave one in 243, so every seventh backfill of 33 calls would lose a day.
    `outage`: failures in a row, over all calls of a client, after which a call is tried only twice: Meta is down, and
    retrying for a hundred accounts, one after the other, would take hours.
    """

    name: str = "Graph API"
    attempts: int | None = 10
    doubtful_attempts: int = 3
    outage: int = 50

    def judge(self, in_a_row: Callable[[], int]) -> Callable[[Exception], bool]:
        """Whether to try again after each of one call's errors, told in their order.

        `in_a_row`: failures of all calls since one succeeded, this one included.
        """
        failures = doubtful = 0

        def helps(error: Exception) -> bool:
            nonlocal failures, doubtful
            failures += 1
            doubtful += is_doubtful(error)
            if in_a_row() >= self.outage and failures >= 2:
                return False
            return helps_now(error) and (not is_doubtful(error) or doubtful < self.doubtful_attempts)

        return helps


def is_doubtful(error: Exception) -> bool:
    """Whether another try of the same call seldom mends `error`."""
    return isinstance(error, AmbiguousRefusalError) or (isinstance(error, TransientError) and error.reduce)


# For the nightly work, which has time; and for someone who waits for an answer: 3.5 seconds of waits at most.
BACKGROUND = GraphRetryPolicy()
INTERACTIVE = GraphRetryPolicy(attempts=4, doubtful_attempts=2)
