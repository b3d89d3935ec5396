"""Decides which of many similar log lines are written: the first ones, then one a minute."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

AGAIN_SECONDS = 60.0
MAX_KEYS = 1000


@dataclass
class _Seen:
    quiet_until: float
    admitted: int
    left_out: int = 0


class Repetition:
    """Counts similar lines. `most` of one key are admitted in `again_seconds`."""

    def __init__(
        self, again_seconds: float = AGAIN_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._again_seconds = again_seconds
        self._clock = clock
        self._seen: dict[Hashable, _Seen] = {}

    def admit(self, key: Hashable, most: int = 1) -> int | None:
        """None: leave this line out. Otherwise how many of the same key were left out since the last one."""
        now = self._clock()
        seen = self._seen.get(key)
        if seen is not None and now < seen.quiet_until:
            if seen.admitted < most:
                seen.admitted += 1
                return 0
            seen.left_out += 1
            return None
        if len(self._seen) >= MAX_KEYS:
            self._forget(now)
        self._seen[key] = _Seen(now + self._again_seconds, 1)
        return 0 if seen is None else seen.left_out

    def _forget(self, now: float) -> None:
        self._seen = {key: seen for key, seen in self._seen.items() if now < seen.quiet_until}
        if len(self._seen) >= MAX_KEYS:
            self._seen.clear()
