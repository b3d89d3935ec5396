"""Records that this API process lives, and reports regions that have waiting tasks and no runner."""

import asyncio
import logging
import socket
from contextlib import suppress

import asyncpg

from agentcontainer import __version__, db
from agentcontainer.db import Pool
from agentcontainer.domain.processes import store
from agentcontainer.domain.processes.model import regions_without_runner
from agentcontainer.ids import new_id
from agentcontainer.periodic import repeat

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10.0
REPORT_SECONDS = 60.0
STOP_SECONDS = 2.0  # the process must stop also while the database is away
FAILURES = (asyncpg.PostgresError, *db.UNREACHABLE)


class Presence:
    """This API process as the others and the operator see it."""

    def __init__(self, pool: Pool, port: int, lost_after_seconds: float) -> None:
        self._pool = pool
        self._port = port
        self._lost_after_seconds = lost_after_seconds
        self._id = new_id("api")

    async def beat_forever(self) -> None:
        """Record a heartbeat every few seconds, until cancelled; then remove this process."""
        try:
            await repeat("recording that this API runs", self._beat, HEARTBEAT_SECONDS, FAILURES)
        finally:
            with suppress(*FAILURES):
                async with asyncio.timeout(STOP_SECONDS):
                    await store.remove(self._pool, self._id)

    async def report_forever(self) -> None:
        """Report once a minute what only an operator can mend, until cancelled."""
        await repeat("looking for regions without a runner", self.report, REPORT_SECONDS, FAILURES)

    async def report(self) -> None:
        """Log each region in which tasks wait and no runner lives. One API process of the installation does so."""
        living = [process.id for process in await store.api_processes(self._pool) if process.is_alive]
        if min(living, default=self._id) != self._id:
            return
        queues, runners = await store.queues(self._pool), await store.runners(self._pool)
        for queue in regions_without_runner(queues, runners, self._lost_after_seconds):
            logger.error(
                "no runner takes tasks of region %s: %d wait, the oldest for %d s. Start a runner with --region %s.",
                queue.region, queue.waiting, queue.oldest_seconds, queue.region,
            )  # fmt: skip

    async def _beat(self) -> None:
        await store.beat(self._pool, self._id, socket.gethostname(), self._port, __version__)
