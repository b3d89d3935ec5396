"""Chooses one process of the installation to do periodic work: the leader, which holds an advisory lock.

The lock belongs to a database connection, so PostgreSQL releases it when the leader's process or host dies or is cut
off, and another process takes over within seconds. For a moment two processes may believe that they lead, so the work
must be safe to do twice.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import asyncpg

from agentcontainer import db
from agentcontainer.db import Pool, RawConnection
from agentcontainer.periodic import background
from agentcontainer.telemetry import metrics

LOCK_ID = 0x61635F6C656164  # any number, but the same in every process
CANDIDATE_SECONDS = 2.0  # how often a process that does not lead looks whether nobody does
CHECK_SECONDS = 1.0
ANSWER_SECONDS = 2.0
SILENT_SECONDS = (
    4.0  # the server ends the leader's session after that time without a statement, which frees the lock
)

# Asked through the pool, so that a process that does not lead needs no connection of its own.
_HAS_LEADER = """
SELECT EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND classid::bigint << 32 | objid::bigint = $1
)
"""
Loops = Callable[[], Sequence[Coroutine[Any, Any, None]]]

logger = logging.getLogger(__name__)


async def lead(url: str, pool: Pool, loops: Loops, on_outage: Callable[[], None]) -> NoReturn:
    """Wait until this process leads, then run `loops` as long as it does, and so on until cancelled.

    `on_outage` is called when the database could not be reached.

    Raises:
        LoopEnded: one of the loops ended.
    """
    while True:
        try:
            if not await pool.fetchval(_HAS_LEADER, LOCK_ID):
                await _lead_once(url, loops)
        except (asyncpg.PostgresError, *db.UNREACHABLE) as error:
            logger.debug("this process does not do the housekeeping: %s", error or type(error).__name__)
            on_outage()
        await asyncio.sleep(CANDIDATE_SECONDS)


async def _lead_once(url: str, loops: Loops) -> None:
    """Run `loops` until the lock may be lost. Returns at once if another process has it.

    Raises:
        OSError, TimeoutError, PostgresError: the connection that holds the lock is lost, or does not answer.
    """
    async with _connected(url) as connection:
        await connection.execute(f"SET idle_session_timeout = {SILENT_SECONDS * 1000:.0f}")
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_ID):
            return
        logger.debug("this process does the housekeeping now")
        metrics.LEADER.set(1)
        try:
            async with background(*loops()):
                while True:
                    await asyncio.sleep(CHECK_SECONDS)
                    await connection.execute("SELECT 1", timeout=ANSWER_SECONDS)
        finally:
            metrics.LEADER.set(0)


@asynccontextmanager
async def _connected(url: str) -> AsyncGenerator[RawConnection]:
    connection = await db.connect(url)
    try:
        yield connection
    finally:
        connection.terminate()  # which releases the lock
