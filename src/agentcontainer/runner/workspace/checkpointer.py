"""Saving an attempt's workspace while its sandbox lives, and what of it is kept when the task has failed."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn

from agentcontainer import crash, db
from agentcontainer.domain.checkpoints import service as checkpoints
from agentcontainer.domain.tasks import service
from agentcontainer.domain.tasks.model import Checkpoint, Claim
from agentcontainer.runner.ending import ClaimLost
from agentcontainer.runner.services import Services
from agentcontainer.runner.workspace.checkpoint import CheckpointFailed, CheckpointStore
from agentcontainer.runner.workspace.layout import Layout
from agentcontainer.sandbox.bubblewrap import Sandbox

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Saved:
    """A stored checkpoint that no task starts from yet, and how long its container stood still for it."""

    checkpoint: Checkpoint
    paused: timedelta


class Checkpointer:
    """One attempt's checkpoints, one at a time."""

    def __init__(self, services: Services, claim: Claim, layout: Layout, sandbox: Sandbox) -> None:
        self._services = services
        self._claim = claim
        self._layout = layout
        self._sandbox = sandbox
        self._checkpoint_store = CheckpointStore.of(services)
        self._one_at_a_time = asyncio.Lock()

    async def save(self, *, is_limited: bool = False) -> Saved:
        """Store the workspace as it is; `is_limited` by the account's quota.

        Raises:
            CheckpointFailed: it cannot be saved.
        """
        pool, where = self._services.pool, self._layout
        async with self._one_at_a_time:
            checkpoint_id, key = await db.retry_while_unavailable(
                lambda: checkpoints.create(pool, self._claim.task_id)
            )
            saved = await self._checkpoint_store.save(self._sandbox, where.root, where.name, key)
            if is_limited:
                await self._check_quota(key, saved.size_bytes)
            checkpoint = Checkpoint(checkpoint_id, key, saved.size_bytes, saved.sha256, saved.unpacked_bytes)
            crash.reach("checkpoint_stored")
            await db.retry_while_unavailable(lambda: checkpoints.set_stored(pool, checkpoint))
            return Saved(checkpoint, timedelta(seconds=saved.paused_seconds))

    async def keep(self) -> None:
        """Save, and let the task's next container start from it.

        Raises:
            CheckpointFailed: it cannot be saved. ClaimLost: the fence moved.
        """
        saved = await self.save(is_limited=True)

        async def adopt() -> bool:
            async with db.transaction(self._services.pool) as connection:
                return await service.save(
                    connection, self._claim, saved.checkpoint, saved.paused.total_seconds()
                )

        if not await db.retry_while_unavailable(adopt):
            raise ClaimLost
        await self.drop_others()

    async def keep_now_and_then(self, is_begun: asyncio.Event) -> NoReturn:
        """Save a long run every few minutes, until cancelled. What cannot be saved is tried again the next time.
        Before `is_begun` there is nothing to save: who started from there would not know the task.

        Raises:
            ClaimLost: the fence moved.
        """
        while True:
            await asyncio.sleep(self._services.settings.checkpoint_seconds)
            await is_begun.wait()
            try:
                await self.keep()
            except CheckpointFailed as error:
                logger.warning("%s: %s", self._layout.name, error)

    async def _check_quota(self, key: str, size: int) -> None:
        pool, settings = self._services.pool, self._services.settings
        fault = await db.retry_while_unavailable(
            lambda: checkpoints.quota_fault(pool, settings, self._claim.task_id, size)
        )
        if fault is not None:
            await self._services.blobs.delete(key)
            raise CheckpointFailed(f"The workspace could not be saved: {fault}.")

    async def drop_others(self) -> None:
        """Drop what the checkpoint in use replaced."""
        await checkpoints.delete_superseded(self._services.pool, self._services.blobs, self._claim.task_id)
