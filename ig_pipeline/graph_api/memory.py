"""What one client has learned an account cannot give, so that thirty days pay for one refusal and not for thirty.

Lives as long as its client; what outlives a run is recorded by the engine and handed back as `skip`.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ig_pipeline.graph_api.absences import Absence, AbsenceReason

_LASTING: frozenset[AbsenceReason] = frozenset({"too_few_followers", "too_few_people", "not_supported"})


@dataclass
class AccountMemory:
    """Absences by kind of call ("series", "totals", …) and metric."""

    _known: dict[str, dict[str, Absence]] = field(default_factory=lambda: defaultdict(dict))
    _silences: Counter[tuple[str, str]] = field(default_factory=Counter)
    _locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _pioneered: set[str] = field(default_factory=set)

    def absences(self, kind: str) -> Mapping[str, Absence]:
        """What calls of `kind` need not ask for any more."""
        return dict(self._known[kind])

    def remember(self, kind: str, absences: Mapping[str, Absence]) -> None:
        """Keep those of `absences` that hold for every later call of `kind`.

        A range's own reasons (history, freshness) don't; a silence does once a second call met it as well.
        """
        for metric, absence in absences.items():
            if absence.reason == "silently_missing":
                self._silences[kind, metric] += 1
            if absence.reason in _LASTING or self._silences[kind, metric] > 1:
                self._known[kind][metric] = absence

    @asynccontextmanager
    async def pioneer(self, kind: str) -> AsyncIterator[None]:
        """The first call of a kind goes alone: what it finds out, its thirty siblings need not."""
        if kind in self._pioneered:
            yield
            return
        async with self._locks[kind]:
            if kind not in self._pioneered:
                yield
                self._pioneered.add(kind)
                return
        yield
