"""An attempt's writer to the event log: small batches, in order, under the attempt's fence."""

import asyncio
import json
from typing import Any

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.tasks import events
from agentcontainer.domain.tasks.events import Draft
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.ids import new_id

BATCH_SECONDS = 0.03
MAX_BATCH = 500
MAX_WAITING_BYTES = 4 * 1024**2  # held in memory; above it the writer of events waits


class ClaimLost(Exception):
    """The task is no longer this attempt's: drop everything, write nothing."""


class EventLog:
    """`add` is immediate; `run` writes until cancelled; `flush` returns when all that was added is in."""

    def __init__(self, pool: Pool, claim: Claim) -> None:
        self._pool = pool
        self._claim = claim
        self._waiting: list[Draft] = []
        self._waiting_bytes = 0
        self._added = asyncio.Event()
        self._writing = asyncio.Lock()

    def add(self, type_: str, data: dict[str, Any]) -> None:
        """Queue one event."""
        data = db.storable(data)
        self._waiting.append((type_, data))
        self._waiting_bytes += len(json.dumps(data))
        self._added.set()

    @property
    def is_full(self) -> bool:
        """Whether whoever produces events should wait for `flush` first."""
        return self._waiting_bytes >= MAX_WAITING_BYTES

    async def run(self) -> None:
        """Write batches as events come, until cancelled.

        Raises:
            ClaimLost: the fence moved.
        """
        while True:
            await self._added.wait()
            await asyncio.sleep(BATCH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what waits.

        Raises:
            ClaimLost: the fence moved.
        """
        async with self._writing:
            while batch := self._waiting[:MAX_BATCH]:
                await self._write(batch)
                del self._waiting[: len(batch)]
            self._waiting_bytes = 0
            self._added.clear()

    async def _write(self, batch: list[Draft]) -> None:
        ids = [new_id("evt") for _ in batch]
        is_retry = False

        async def write() -> int | None:
            nonlocal is_retry
            async with db.transaction(self._pool) as connection:
                # A batch whose connection broke at the commit may be in after all.
                if is_retry and await events.has(connection, self._claim.task_id, ids[0]):
                    return 0
                is_retry = True
                return await events.append(connection, self._claim.task_id, batch, self._claim, ids)

        if await db.patiently(write) is None:
            raise ClaimLost
