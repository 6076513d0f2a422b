"""How often one address may knock where no token is asked for, and how often it may guess one.

Counted per process and minute. Answers that were refused count too.
"""

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter


class RateLimit:
    """A sliding minute for each caller."""

    def __init__(self, per_minute: int) -> None:
        self._item = RateLimitItemPerMinute(per_minute)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def allows(self, caller: str) -> bool:
        """Count a request of `caller` (an address); False when there were too many."""
        return self._limiter.hit(self._item, caller)
