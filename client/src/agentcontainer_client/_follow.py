"""How far a log has been followed: which entries are new, and when to give up reconnecting."""

import time
from dataclasses import dataclass

from agentcontainer_client import _retry

PATIENCE_SECONDS = 300.0
"""A stream is reconnected for so long without any sign of life."""
POLL_SECONDS = 25


@dataclass
class Progress:
    """The position in a log. Entries come in order, but a reconnect may repeat some."""

    after: int
    is_polling: bool = False
    """Lists instead of a stream, because a proxy holds the stream back."""
    signs_of_life: int = 0
    _failures: int = 0
    _failing_since: float | None = None

    def accepts(self, number: int) -> bool:
        """Whether the entry is new. It counts as delivered from now on."""
        self.succeeded()
        if number <= self.after:
            return False
        self.after = number
        return True

    def succeeded(self) -> None:
        """The server answers."""
        self.signs_of_life += 1
        self._failures = 0
        self._failing_since = None

    def pause(self, retry_after: float | None) -> float | None:
        """Seconds before the next connection. None: give up."""
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if now - self._failing_since > PATIENCE_SECONDS:
            return None
        self._failures += 1
        return _retry.pause(min(self._failures, 4), retry_after)


class Deadline:
    """A moment until which the caller wants to wait. None: without end."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._at = None if seconds is None else time.monotonic() + seconds

    def left(self, most: float) -> float:
        """Seconds until the deadline, but not more than `most`."""
        return most if self._at is None else max(0.0, min(most, self._at - time.monotonic()))

    @property
    def remaining(self) -> float | None:
        """Seconds until the deadline. None: without end."""
        return None if self._at is None else max(0.0, self._at - time.monotonic())

    @property
    def has_passed(self) -> bool:
        """Whether the deadline has passed."""
        return self._at is not None and time.monotonic() >= self._at


@dataclass
class Draft:
    """What the agent is saying, as far as it is known. `is_complete`: this is the whole message."""

    text: str = ""
    is_complete: bool = False
