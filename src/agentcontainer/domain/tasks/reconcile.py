"""The reconciler: finds tasks that nobody works on any more and moves them on, so that no task gets stuck.

One process runs it, the one that does the housekeeping; several at the same time do no harm.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import asyncpg

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.hibernation import service as hibernation
from agentcontainer.domain.hibernation import store as hibernation_store
from agentcontainer.domain.tasks import overdue, queue, service
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.periodic import FailureLog, repeat
from agentcontainer.settings import Settings

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 2.0
NEVER = timedelta(days=36_500)
T = TypeVar("T")


async def reconcile(
    pool: Pool, settings: Settings, failures: FailureLog | None = None, *, are_silent_lost: bool = True
) -> int:
    """Requeue the tasks of lost runners, end the delays of pending tasks, wake tasks whose deadline has passed, and end
    expired conversations. Returns how many tasks were moved.

    A task is moved only if its attempt and status are still those that were found, so a repeat changes nothing.
    `are_silent_lost`: whether a runner without heartbeats counts as lost, or only one that has stopped.
    """
    failures = failures or FailureLog("reconciling a task")
    silence = timedelta(seconds=settings.runner_lost_after_seconds)

    async def lose(claim: Claim) -> bool:
        return await service.lose(pool, settings, claim, "The runner of this task was lost.")

    moved = await _each(await overdue.lost(pool, silence if are_silent_lost else NEVER), lose, failures)
    moved += await _each(
        await hibernation_store.due(pool),
        lambda task_id: hibernation.wake_due(pool, settings, task_id),
        failures,
    )
    moved += await _each(
        await overdue.expired(pool), lambda task_id: service.expire(pool, settings, task_id), failures
    )
    return moved + await _each(
        await queue.delayed(pool), lambda task_id: queue.end_delay(pool, task_id), failures
    )


async def _each(tasks: Sequence[T], move: Callable[[T], Awaitable[bool]], failures: FailureLog) -> int:
    """Call `move` for each of the tasks; returns how many were moved. A failure of one does not stop the others.

    Raises:
        OSError, TimeoutError, PostgresError: the database cannot be reached, or has no room.
    """
    moved = 0
    for task in tasks:
        try:
            moved += await move(task)
        except db.UNREACHABLE:
            raise
        except Exception as error:
            error.add_note(f"While moving {task}.")
            failures.add(error)
    return moved


async def stuck(pool: Pool, settings: Settings) -> dict[str, str]:
    """Task id → why `reconcile` would move the task, as a phrase. Of some kinds it finds at most 500."""
    silence = timedelta(seconds=settings.runner_lost_after_seconds)
    reasons = {claim.task_id: "a task whose runner is gone" for claim in await overdue.lost(pool, silence)}
    reasons |= dict.fromkeys(await hibernation_store.due(pool), "a task that hibernates past its deadline")
    reasons |= dict.fromkeys(await overdue.expired(pool), "a conversation that waited too long")
    return reasons | dict.fromkeys(await queue.delayed(pool), "a pending task whose delay is over")


class Reconciler:
    """Reconciles every few seconds, also after failures.

    While the database is unavailable or its disk is full, no runner can renew its lease. So after such a failure the
    living runners get time to renew it before any counts as lost.
    """

    def __init__(self, pool: Pool, settings: Settings) -> None:
        self._pool = pool
        self._settings = settings
        self._failures = FailureLog("reconciling a task")
        self._failed_at = float("-inf")

    def expect_late_heartbeats(self) -> None:
        """Record that the database could not be reached."""
        self._failed_at = time.monotonic()

    async def run(self) -> None:
        """Reconcile until cancelled."""
        expected = (asyncpg.PostgresError, *db.UNREACHABLE)
        await repeat("reconciling tasks", self._once, INTERVAL_SECONDS, expected)

    async def _once(self) -> None:
        are_silent_lost = time.monotonic() - self._failed_at > self._settings.runner_lost_after_seconds
        try:
            moved = await reconcile(
                self._pool, self._settings, self._failures, are_silent_lost=are_silent_lost
            )
        except db.UNREACHABLE:
            self.expect_late_heartbeats()
            raise
        if moved:
            logger.info("reconciled %d tasks", moved)
