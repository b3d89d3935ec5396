"""A runner's lease on the tasks that it runs.

Runners and API processes take over the tasks of a runner whose heartbeat is older than `runner_lost_after_seconds`. A
runner that cannot renew its lease stops its own attempts well before that, so that a task never runs twice.
"""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg

from agentcontainer import db
from agentcontainer.periodic import repeat

HEARTBEAT_SECONDS = 2.0
FENCE_SHARE = 0.7  # of the time after which others take over the tasks


async def keep_lease(
    renew: Callable[[], Awaitable[None]], lost_after_seconds: float, stop_attempts: Callable[[], None]
) -> None:
    """Renew the lease every `HEARTBEAT_SECONDS` until cancelled; call `stop_attempts` when that fails for too long."""
    loop = asyncio.get_running_loop()
    fence_seconds = lost_after_seconds * FENCE_SHARE
    fence = loop.call_later(fence_seconds, stop_attempts)

    async def heartbeat() -> None:
        nonlocal fence
        began_at = loop.time()
        async with asyncio.timeout(HEARTBEAT_SECONDS):
            await renew()
        fence.cancel()
        fence = loop.call_at(began_at + fence_seconds, stop_attempts)

    expected = (asyncpg.PostgresError, *db.UNREACHABLE)
    try:
        await repeat(
            "renewing the runner's lease",
            heartbeat,
            HEARTBEAT_SECONDS,
            expected,
            retry_seconds=db.RECONNECT_SECONDS,
        )
    finally:
        fence.cancel()
