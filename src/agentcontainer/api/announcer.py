"""Tells runners which tasks have live streams in this process, so that they send text for these only."""

import asyncio
from collections.abc import Callable, Iterable

from agentcontainer.db import Pool
from agentcontainer.domain.tasks import deltas


class Announcer:
    """Announces a task at its first follower, and all followed tasks every few seconds."""

    def __init__(self, pool: Pool, followed: Callable[[], Iterable[str]]) -> None:
        self._pool = pool
        self._followed = followed
        self._new: set[str] = set()
        self._is_due = False
        self._has_work = asyncio.Event()

    def add(self, task_id: str) -> None:
        """Announce this task now."""
        self._new.add(task_id)
        self._has_work.set()

    def renew(self) -> None:
        """Announce all followed tasks now, because a runner may not know them."""
        self._is_due = True
        self._has_work.set()

    async def run(self) -> None:
        """Announce until cancelled. It may be called again after a failure."""
        while True:
            self._is_due = False
            await self._announce(self._followed())
            due_at = asyncio.get_running_loop().time() + deltas.RENEW_SECONDS
            while not self._is_due and await self._has_new(due_at):
                await self._announce(self._new)

    async def _has_new(self, until: float) -> bool:
        try:
            async with asyncio.timeout_at(until):
                await self._has_work.wait()
        except TimeoutError:
            return False
        self._has_work.clear()
        return True

    async def _announce(self, task_ids: Iterable[str]) -> None:
        ids = sorted(task_ids)
        self._new.clear()
        if ids:
            await deltas.announce(self._pool, ids)
