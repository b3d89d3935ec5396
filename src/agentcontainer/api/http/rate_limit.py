"""Limits the requests of each API key, or of each account, to this process, with a token bucket for each."""

import math
import time
from collections.abc import Callable

from agentcontainer.errors import RateLimited

MAX_BUCKETS = (
    10_000  # beyond this, the least recently used bucket is dropped, so its key starts with a full one
)


class RateLimit:
    """A burst of `per_minute` requests, refilled evenly over a minute. 0: no limit. `allowance`: the subject and verb
    of the sentence that a refused client reads."""

    def __init__(
        self,
        per_minute: int,
        clock: Callable[[], float] = time.monotonic,
        allowance: str = "This API key may send",
    ) -> None:
        self._allowance = allowance
        self._capacity = per_minute
        self._per_second = per_minute / 60
        self._clock = clock
        self._buckets: dict[
            str, tuple[float, float]
        ] = {}  # id of the key or account: (tokens, time); least recently used first

    def take(self, id_: str) -> None:
        """Count a request of this key or account.

        Raises:
            RateLimited: the bucket is empty; says when the next request may be sent.
        """
        if not self._capacity:
            return
        now = self._clock()
        tokens, at = self._buckets.pop(id_, (float(self._capacity), now))
        tokens = min(self._capacity, tokens + (now - at) * self._per_second)
        is_allowed = tokens >= 1
        self._buckets[id_] = (tokens - is_allowed, now)
        if len(self._buckets) > MAX_BUCKETS:
            del self._buckets[next(iter(self._buckets))]
        if not is_allowed:
            wait = math.ceil((1 - tokens) / self._per_second)
            raise RateLimited(
                f"{self._allowance} {self._capacity} requests a minute. Try again in {wait} s.", wait
            )
