"""An attempt's place among those that its runner has, which a waiting conversation gives up when work comes."""

import asyncio
from collections.abc import Callable


class Place:
    """One place. `is_wanted` says whether work waits for any place of the runner."""

    def __init__(self, is_wanted: Callable[[], bool]) -> None:
        self.is_wanted = is_wanted
        self.idle_since: float | None = None
        """When its container began to wait for the user; None: it works."""
        self.has_rested = asyncio.Event()
        """Set once its container has waited for the user."""
        self._needed = asyncio.Event()

    def rest(self) -> None:
        """The container waits for the user from now on."""
        self.idle_since = asyncio.get_running_loop().time()
        self._needed.clear()
        self.has_rested.set()
        if self.is_wanted():
            self._needed.set()

    def work(self) -> None:
        """The container works again, or is gone."""
        self.idle_since = None

    def give_up(self) -> bool:
        """Ask for the place; False when the container works, or was asked before."""
        if self.idle_since is None or self._needed.is_set():
            return False
        self._needed.set()
        return True

    async def needed(self) -> None:
        """Returns when the place is needed."""
        await self._needed.wait()
