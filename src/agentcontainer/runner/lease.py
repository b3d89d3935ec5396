"""Renews a runner's lease by heartbeats, and stops its attempts in time if that fails.

Runners and API processes take over the tasks of a runner whose heartbeat is older than `runner_lost_after_seconds`. A
runner that cannot renew its lease stops its own attempts well before that, so that no task runs on two runners at once.
"""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg

from agentcontainer import db
from agentcontainer.periodic import repeat

HEARTBEAT_SECONDS = 2.0
STOP_AFTER_SHARE = 0.7  # of the time after which others take over the tasks


async def keep_lease(
    renew: Callable[[], Awaitable[None]], lost_after_seconds: float, stop_attempts: Callable[[], None]
) -> None:
    """Renew the lease every `HEARTBEAT_SECONDS` until cancelled; call `stop_attempts` when that fails for too long."""
    loop = asyncio.get_running_loop()
    stop_after_seconds = lost_after_seconds * STOP_AFTER_SHARE
    stop_timer = loop.call_later(stop_after_seconds, stop_attempts)

    async def heartbeat() -> None:
        nonlocal stop_timer
        began_at = loop.time()
        async with asyncio.timeout(HEARTBEAT_SECONDS):
            await renew()
        stop_timer.cancel()
        stop_timer = loop.call_at(began_at + stop_after_seconds, stop_attempts)

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
        stop_timer.cancel()
