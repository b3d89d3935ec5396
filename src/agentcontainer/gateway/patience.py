"""How long a request waits for a provider that is overloaded or unavailable: exponential backoff, Retry-After."""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_BACKOFF_SECONDS = 30.0
MAX_RETRY_AFTER_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Outage:
    """The provider has failed for longer than a container waits. `message`: a clause that names the provider.
    `retry_after_seconds`: as it asked for."""

    message: str
    retry_after_seconds: float


class Patience:
    """The waits of one attempt's requests for an overloaded provider. Together they last at most `seconds` from the
    first failure on; a successful answer resets them."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.outage: asyncio.Future[Outage] = asyncio.get_running_loop().create_future()
        """Set once a request has waited as long as it may."""
        self.was_answered = False
        """Whether the provider has answered a request to its end."""
        self._seconds = seconds
        self._failures = 0
        self._failing_since: float | None = None

    @property
    def is_limited_to_none(self) -> bool:
        """Whether no request waits, and no outage is reported."""
        return self._seconds <= 0

    @property
    def failures(self) -> int:
        """How many requests failed in a row."""
        return self._failures

    def start_over(self) -> None:
        """Forget earlier failures, because the provider begins to answer or another turn begins."""
        self._failures, self._failing_since = 0, None

    def answered(self) -> None:
        """Record that the provider answered to the end."""
        self.was_answered = True

    def wait_seconds(self, retry_after: float) -> float | None:
        """A request failed: how long to wait before it is repeated. None: it has waited long enough, or would."""
        now = time.monotonic()
        self._failing_since = now if self._failing_since is None else self._failing_since
        left = self._failing_since + self._seconds - now
        if left <= 0 or retry_after > left:
            return None
        backoff = min(MAX_BACKOFF_SECONDS, 2.0**self._failures) * random.uniform(0.5, 1.0)  # noqa: S311
        self._failures += 1
        return min(left, max(backoff, retry_after))

    def report(self, outage: Outage) -> None:
        """Record that a request has waited as long as it may."""
        if not self.outage.done():
            self.outage.set_result(outage)


def retry_after(headers: Mapping[str, str]) -> float:
    """For how many seconds the provider asks to wait; 0 if it does not say."""
    for name, unit in (("Retry-After-Ms", 0.001), ("Retry-After", 1.0)):
        value = headers.get(name, "").strip()
        try:
            seconds = float(value) * unit if value else None
        except ValueError:
            seconds = _seconds_until(value)
        if seconds is not None and seconds == seconds:  # not NaN
            return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
    return 0.0


def _seconds_until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, TypeError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - datetime.now(UTC)).total_seconds()
