"""How often and how patiently a call is tried again, when trying again can help at all.

Numbers and arithmetic only: which error is transient is a type (`errors`), who sleeps is the client.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ig_pipeline.graph_api.errors import AmbiguousRefusalError, GraphError, TransientError


@dataclass(frozen=True)
class RetryPolicy:
    """How often a call is tried, and with which waits.

    `attempts`: tries of one call in all. `doubtful_attempts`: how many of them may end in a failure that another try of
    the same call seldom mends: "ask for less" (code 1), or a refusal of something that is known to exist.
    With one call in three failing, ten attempts leave one call in 59,000 without an answer, at 1.5 calls each on
    average; five would leave one in 243, so every seventh backfill of 33 calls would lose a day.
    `outage`: failures in a row, over all calls of a client, after which a call is tried only twice: Meta is down, and
    the patience of a hundred accounts, one after the other, would take hours.
    Waits are in seconds: 0.5, 1, 2 … 30, each cut by up to half at random so that accounts don't march in step.
    """

    attempts: int = 10
    doubtful_attempts: int = 3
    base: float = 0.5
    cap: float = 30.0
    outage: int = 50

    def wait(self, failures: int, random: Callable[[], float]) -> float:
        """Seconds before the next try after `failures` failed ones; `random` gives numbers in [0, 1)."""
        full = min(self.cap, self.base * 2 ** (failures - 1))
        return float(full * (1 - random() / 2))

    def allows_another(self, error: GraphError, *, failures: int, doubtful: int, in_a_row: int) -> bool:
        """Whether to try again after `error`.

        It is the last of the call's `failures`, `doubtful` of them of the doubtful sort, and the last of `in_a_row`
        failures of all calls since one succeeded.
        """
        attempts = self.attempts if in_a_row < self.outage else min(self.attempts, 2)
        if not isinstance(error, TransientError) or failures >= attempts:
            return False
        return not is_doubtful(error) or doubtful < self.doubtful_attempts


def is_doubtful(error: GraphError) -> bool:
    """Whether another try of the same call seldom mends `error`."""
    return isinstance(error, AmbiguousRefusalError) or (isinstance(error, TransientError) and error.reduce)


# For the nightly work, which has time; and for somebody who waits for an answer: 3.5 seconds of waits at most.
CALM = RetryPolicy()
BRISK = RetryPolicy(attempts=4, doubtful_attempts=2)
