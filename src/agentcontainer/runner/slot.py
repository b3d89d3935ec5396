"""The slots of a runner, and which idle conversations are evicted for other work."""

import asyncio
from collections.abc import Callable

from agentcontainer.domain.tasks.model import Claim


class Slot:
    """A slot that one attempt occupies. `is_work_waiting`: whether more tasks wait for a slot of this runner than slots
    are being evicted."""

    def __init__(self, is_work_waiting: Callable[[], bool]) -> None:
        self.is_work_waiting = is_work_waiting
        self.idle_since: float | None = None
        """When its container began to wait for the user, in the event loop's time; None while it works."""
        self._eviction = asyncio.Event()

    @property
    def is_evicting(self) -> bool:
        """Whether the container was asked to give up the slot and has not resumed work since."""
        return self._eviction.is_set()

    def begin_idle(self) -> None:
        """Record that the container waits for the user. If a task waits for a slot, it is evicted at once."""
        self.idle_since = asyncio.get_running_loop().time()
        self._eviction.clear()
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


class Slots:
    """All slots of a runner."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._occupied: dict[Claim, Slot] = {}
        self._waiting = 0

    @property
    def free(self) -> int:
        """How many slots no attempt occupies. An attempt occupies its slot until its sandbox is gone."""
        return self.capacity - len(self._occupied)

    def occupy(self, claim: Claim) -> Slot:
        """Give a slot to an attempt."""
        slot = self._occupied[claim] = Slot(self._is_one_wanted)
        return slot

    def release(self, claim: Claim) -> None:
        """Take back the slot of an attempt that has ended."""
        del self._occupied[claim]

    def expect(self, waiting: int) -> None:
        """Record how many tasks wait for a slot, and evict as many conversations as they need, longest idle first."""
        self._waiting = waiting
        while self._is_one_wanted() and self.evict_longest_idle():
            pass

    def evict_longest_idle(self) -> bool:
        """Evict the conversation that has been idle for longest. False: none is idle that was not asked already."""
        idle = [slot for slot in self._occupied.values() if slot.idle_since is not None]
        return any(slot.evict() for slot in sorted(idle, key=lambda slot: slot.idle_since or 0))

    def _is_one_wanted(self) -> bool:
        """Whether more tasks wait than slots are free or being evicted."""
        return self._waiting > self.free + sum(slot.is_evicting for slot in self._occupied.values())
