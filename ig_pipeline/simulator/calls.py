"""How many calls were made, by account and endpoint: what the promises about cost are measured with.

Control requests and downloads of files are not calls.
"""

import threading
from collections import Counter
from typing import Any

NO_ACCOUNT = "-"


class CallCounts:
    """Counts by (username, endpoint); `NO_ACCOUNT` stands for calls about no account. Safe between threads.

    Endpoints: `insights`, `media`, `media_insights`, `media_node`, `profile`, `accounts`, `stories`, `token`, …
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def add(self, username: str, endpoint: str) -> None:
        """Count one call."""
        with self._lock:
            self._counts[username, endpoint] += 1

    def of(self, username: str, endpoint: str | None = None) -> int:
        """Calls about an account, of one endpoint or of all."""
        with self._lock:
            return sum(n for (who, what), n in self._counts.items() if who == username and endpoint in {None, what})

    def total(self, endpoint: str | None = None) -> int:
        """All calls, of one endpoint or of all."""
        with self._lock:
            return sum(n for (_, what), n in self._counts.items() if endpoint in {None, what})

    def reset(self) -> None:
        """Start counting from zero."""
        with self._lock:
            self._counts.clear()

    def as_json(self) -> dict[str, Any]:
        """`{"total": n, "accounts": {username: {"total": n, "endpoints": {endpoint: n}}}}`."""
        with self._lock:
            counts = dict(self._counts)
        accounts: dict[str, dict[str, Any]] = {}
        for (username, endpoint), number in sorted(counts.items()):
            entry = accounts.setdefault(username, {"total": 0, "endpoints": {}})
            entry["total"] += number
            entry["endpoints"][endpoint] = number
        return {"total": sum(counts.values()), "accounts": accounts}
