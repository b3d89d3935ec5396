"""Receives jobs from the queue (PgQueuer), over a connection of its own that is opened again whenever it is lost."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import asyncpg
from pgqueuer.models import Job
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries

from agentcontainer import db
from agentcontainer.domain.tasks import queue
from agentcontainer.periodic import repeat
from agentcontainer.settings import Settings

POLL = timedelta(seconds=2)  # a job whose notification was lost is received this late
MIN_CONCURRENT_JOBS = 2  # PgQueuer's minimum
Take = Callable[[str, asyncio.Event], Awaitable[None]]


async def deliver(
    settings: Settings, region: str, capacity: int, draining: asyncio.Event, take: Take
) -> None:
    """Call `take(task id, connection lost)` for each job, concurrently, until `draining`; then wait to be cancelled.

    `take` should return soon after its event is set: PgQueuer waits for all jobs before it gives up a connection.
    """

    async def over_one_connection() -> None:
        if draining.is_set():
            await asyncio.Event().wait()
        assert settings.database_url is not None
        connection = await db.connect(settings.database_url)
        is_lost = asyncio.Event()
        connection.add_termination_listener(lambda _: is_lost.set())
        manager = QueueManager(Queries.from_asyncpg_connection(connection))

        async def on_job(job: Job) -> None:
            await take((job.payload or b"").decode(), is_lost)

        for name in {"any", region}:
            manager.entrypoint(queue.entrypoint(name))(on_job)
        try:
            await _receive(manager, capacity, settings.runner_lost_after_seconds, draining)
        finally:
            connection.terminate()

    expected = (asyncpg.PostgresError, *db.UNREACHABLE)
    await repeat("receiving jobs", over_one_connection, db.RECONNECT_SECONDS, expected)


async def _receive(
    manager: QueueManager, capacity: int, lost_after_seconds: float, draining: asyncio.Event
) -> None:
    receiving = asyncio.create_task(
        manager.run(
            batch_size=1,
            max_concurrent_tasks=max(
                MIN_CONCURRENT_JOBS, capacity
            ),  # the supervisor's slots are the real limit
            dequeue_timeout=POLL,
            heartbeat_timeout=timedelta(seconds=lost_after_seconds),
        )
    )
    drained = asyncio.create_task(draining.wait())
    try:
        await asyncio.wait([receiving, drained], return_when=asyncio.FIRST_COMPLETED)
        manager.shutdown.set()
        await receiving
    finally:
        drained.cancel()
        receiving.cancel()
        await asyncio.gather(receiving, drained, return_exceptions=True)
