"""How often callers may ask without proving who they are, and how often they may guess: per purpose and network.

Counted per process and minute. What is proven (a token, a signature, a login of this browser) is never counted, so that
no one's requests are refused for what others do.
"""

import ipaddress
from typing import Literal

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.requests import HTTPConnection

Purpose = Literal["token", "sign_in", "start", "callback", "meta", "look_up"]
"""What is counted apart: guessing a token, signing in, starting a login, coming back from one, Meta's callbacks, and
looking for a result or a deletion one has no code of."""

# A proxy no setting names stands for all its callers: together they get this many times what one of them gets.
_CALLERS_OF_A_PROXY = 10


class RateLimit:
    """A sliding minute for each purpose and caller."""

    def __init__(self, per_minute: int) -> None:
        self._one = RateLimitItemPerMinute(per_minute)
        self._many = RateLimitItemPerMinute(per_minute * _CALLERS_OF_A_PROXY)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def allows(self, purpose: Purpose, caller: tuple[str, str]) -> bool:
        """Count a request of `caller` (from `caller_of`); False when there were too many."""
        peer, behind = caller
        if not behind:
            return self._limiter.hit(self._one, purpose, peer)
        return self._limiter.hit(self._one, purpose, peer, behind) and self._limiter.hit(self._many, purpose, peer)


def caller_of(connection: HTTPConnection) -> tuple[str, str]:
    """The network a request comes from, and the one a proxy says it passed it on for (empty without).

    What a proxy adds is the last entry; only a proxy that is named in the settings is taken at its word, and then the
    first part is the caller already. Another's word tells its callers apart, and no more.
    """
    peer = network_of(connection.client.host if connection.client else "")
    last = connection.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    behind = network_of(last) if last else ""
    return peer, behind if behind != peer else ""


def network_of(address: str) -> str:
    """An IPv4 address, or the /64 of an IPv6 address, which is what one connection to the Internet is given."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0].strip("[]"))
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
