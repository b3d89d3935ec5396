"""Decides which of many similar log lines are written: the first ones, then one a minute."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

AGAIN_SECONDS = 60.0
MAX_KEYS = 1000


@dataclass
class _Count:
    quiet_until: float
    admitted: int
    left_out: int = 0


class Repetition:
    """Counts similar log lines. In `again_seconds`, a limited number of lines with the same key is admitted."""

    def __init__(
        self, again_seconds: float = AGAIN_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._again_seconds = again_seconds
        self._clock = clock
        self._counts: dict[Hashable, _Count] = {}

    def admit(self, key: Hashable, limit: int = 1) -> int | None:
        """How many lines with the same key were left out since the last one. None: leave this line out, too."""
        now = self._clock()
        count = self._counts.get(key)
        if count is not None and now < count.quiet_until:
            if count.admitted < limit:
                count.admitted += 1
                return 0
            count.left_out += 1
            return None
        if len(self._counts) >= MAX_KEYS:
            self._forget(now)
        self._counts[key] = _Count(now + self._again_seconds, 1)
        return 0 if count is None else count.left_out

    def _forget(self, now: float) -> None:
        self._counts = {key: count for key, count in self._counts.items() if now < count.quiet_until}
        if len(self._counts) >= MAX_KEYS:
            self._counts.clear()
