"""The limit on calls without login: 20 in 60 s for each method and address."""

from __future__ import annotations

import time
from collections.abc import Callable

CACHE_ENTRIES = 100


class RateLimit:
    """Counts per method and address; ``limit`` 0 switches it off."""

    def __init__(self, limit: int, period: float = 60, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._period, self._clock = limit, period, clock
        self._entries: dict[tuple[str, str], tuple[float, int]] = {}

    def exceeded(self, method: str, address: str) -> bool:
        """Count one call; say whether it is over the limit."""
        if not self._limit:
            return False
        now, key = self._clock(), (method, address)
        began, count = self._entries.get(key, (now, 0))
        if now - began > self._period:
            began, count = now, 0
        if key not in self._entries and len(self._entries) >= CACHE_ENTRIES:
            del self._entries[min(self._entries, key=lambda one: self._entries[one][0])]
        self._entries[key] = (began, count + 1)
        return count + 1 > self._limit
