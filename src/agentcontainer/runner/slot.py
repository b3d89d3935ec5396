"""One of a runner's slots.

While the conversation in it is idle, it can be evicted for other work.
"""

import asyncio
from collections.abc import Callable


class Slot:
    """A slot that one attempt occupies. `is_work_waiting`: whether more jobs of this runner wait for a slot
    than slots are being evicted."""

    def __init__(self, is_work_waiting: Callable[[], bool]) -> None:
        self.is_work_waiting = is_work_waiting
        self.idle_since: float | None = None
        """When its container began to wait for the user, in the event loop's time; None while it works."""
        self.became_idle = asyncio.Event()
        """Set when the container becomes idle for the first time."""
        self._eviction = asyncio.Event()

    @property
    def is_evicting(self) -> bool:
        """Whether the container was asked to give up the slot and has not resumed work since."""
        return self._eviction.is_set()

    def begin_idle(self) -> None:
        """Record that the container waits for the user. If a job waits for a slot, it is evicted at once."""
        self.idle_since = asyncio.get_running_loop().time()
        self._eviction.clear()
        self.became_idle.set()
        if self.is_work_waiting():
            self._eviction.set()

    def end_idle(self) -> None:
        """Record that the container does not wait any more: it works again, or stops."""
        self.idle_since = None

    def resume(self) -> None:
        """Record that the container works again and keeps the slot, even if it was asked to give it up."""
        self._eviction.clear()

    def evict(self) -> bool:
        """Ask the container to give up the slot. False: it is not idle, or was asked before."""
        if self.idle_since is None or self._eviction.is_set():
            return False
        self._eviction.set()
        return True

    async def evicted(self) -> None:
        """Wait until the container is asked to give up the slot."""
        await self._eviction.wait()
