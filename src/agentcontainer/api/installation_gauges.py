"""Reads the gauges of the whole installation for scrapes, at most every `CACHE_SECONDS`."""

import asyncio
import time

from agentcontainer.db import Pool
from agentcontainer.domain.feed import store as feed
from agentcontainer.domain.processes import store
from agentcontainer.domain.processes.model import REGIONS, regions_without_runner
from agentcontainer.domain.tasks.state import TERMINAL, Status
from agentcontainer.domain.webhooks import queue as webhooks
from agentcontainer.telemetry import metrics

CACHE_SECONDS = 5.0
READ_SECONDS = 3.0  # a scrape must not wait for a slow database


class InstallationGauges:
    """The gauges that have the same value in every API process."""

    def __init__(self, pool: Pool, lost_after_seconds: float) -> None:
        self._pool = pool
        self._lost_after_seconds = lost_after_seconds
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def refresh(self) -> None:
        """Bring the gauges up to date. If the database cannot be read, they have no value instead of an old one."""
        metrics.POOL_CONNECTIONS.labels("idle").set(self._pool.get_idle_size())
        metrics.POOL_CONNECTIONS.labels("used").set(self._pool.get_size() - self._pool.get_idle_size())
        async with self._reading:
            if time.monotonic() - self._read_at < CACHE_SECONDS:
                return
            try:
                async with asyncio.timeout(READ_SECONDS):
                    await self._read()
            except BaseException:
                _clear()
                raise
            finally:
                self._read_at = time.monotonic()

    async def _read(self) -> None:
        tasks = await store.live_tasks(self._pool)
        queues = await store.queues(self._pool)
        runners = await store.runners(self._pool)
        feed_lag_seconds = await feed.lag_seconds(self._pool)
        pending_webhooks = await webhooks.count_pending(self._pool)
        _clear()
        metrics.FEED_LAG.set(feed_lag_seconds)
        metrics.WEBHOOK_PENDING.set(pending_webhooks)
        for status in Status:
            if status not in TERMINAL:
                metrics.TASKS.labels(status.value).set(tasks.get(status.value, 0))
        waiting = {queue.region: queue for queue in queues}
        for region in dict.fromkeys([*REGIONS, *waiting]):
            queue = waiting.get(region)
            metrics.QUEUE_DEPTH.labels(region).set(queue.waiting if queue else 0)
            metrics.QUEUE_OLDEST.labels(region).set(queue.oldest_seconds if queue else 0)
        now = time.time()
        for runner in sorted(runners, key=lambda runner: -runner.silent_seconds):  # of one name, the latest
            metrics.RUNNER_HEARTBEAT.labels(runner.label).set(now - runner.silent_seconds)
            if runner.clock_skew_seconds is not None:
                metrics.CLOCK_SKEW.labels(runner.label).set(runner.clock_skew_seconds)
        lacking = regions_without_runner(queues, runners, self._lost_after_seconds)
        metrics.REGIONS_WITHOUT_RUNNER.set(len(lacking))


def _clear() -> None:
    for gauge in (
        metrics.TASKS,
        metrics.QUEUE_DEPTH,
        metrics.QUEUE_OLDEST,
        metrics.RUNNER_HEARTBEAT,
        metrics.CLOCK_SKEW,
    ):
        gauge.clear()
    for gauge in (metrics.REGIONS_WITHOUT_RUNNER, metrics.FEED_LAG, metrics.WEBHOOK_PENDING):
        gauge.set(float("nan"))
