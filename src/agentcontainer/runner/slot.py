"""An attempt's slot among those that its runner has, which a waiting conversation gives up when work comes."""

import asyncio
from collections.abc import Callable


class Slot:
    """One slot. `is_wanted` says whether work waits for any slot of the runner."""

    def __init__(self, is_wanted: Callable[[], bool]) -> None:
        self.is_wanted = is_wanted
        self.idle_since: float | None = None
        """When its container began to wait for the user; None: it works."""
        self.became_idle = asyncio.Event()
        """Set once its container has waited for the user."""
        self._evicted = asyncio.Event()

    def begin_idle(self) -> None:
        """The container waits for the user from now on."""
        self.idle_since = asyncio.get_running_loop().time()
        self._evicted.clear()
        self.became_idle.set()
        if self.is_wanted():
            self._evicted.set()

    def end_idle(self) -> None:
        """The container works again, or is gone."""
        self.idle_since = None

    def evict(self) -> bool:
        """Ask for the slot; False when the container works, or was asked before."""
        if self.idle_since is None or self._evicted.is_set():
            return False
        self._evicted.set()
        return True

    async def evicted(self) -> None:
        """Returns when the slot is needed."""
        await self._evicted.wait()
