"""Saves checkpoints of an attempt while its sandbox runs, on demand and periodically."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn

from agentcontainer import crash, db
from agentcontainer.domain.checkpoints import service as checkpoints
from agentcontainer.domain.checkpoints import store as checkpoint_store
from agentcontainer.domain.checkpoints.model import Checkpoint
from agentcontainer.domain.tasks import service
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.ids import new_id
from agentcontainer.runner.ending import ClaimLost
from agentcontainer.runner.services import Services
from agentcontainer.runner.workspace.checkpoint import CheckpointFailed, CheckpointStore
from agentcontainer.runner.workspace.layout import Layout
from agentcontainer.sandbox.bubblewrap import Sandbox

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Saved:
    """A stored checkpoint that the task does not use yet, and how long its container was frozen for it."""

    checkpoint: Checkpoint
    paused: timedelta


class Checkpointer:
    """Saves the checkpoints of one attempt, one at a time."""

    def __init__(self, services: Services, claim: Claim, layout: Layout, sandbox: Sandbox) -> None:
        self._services = services
        self._claim = claim
        self._layout = layout
        self._sandbox = sandbox
        self._checkpoint_store = CheckpointStore.of(services)
        self._saving = asyncio.Lock()

    async def save(self, *, is_limited: bool = False) -> Saved:
        """Store the workspace as it is. `is_limited`: the account's quota applies.

        Raises:
            CheckpointFailed: it cannot be saved, or the quota is exceeded.
        """
        pool, layout = self._services.pool, self._layout
        async with self._saving:
            checkpoint_id = new_id("ckp")
            blob = await db.retry_while_unavailable(
                lambda: checkpoints.create(pool, self._claim.task_id, checkpoint_id)
            )
            saved = await self._checkpoint_store.save(self._sandbox, layout.root, layout.name, blob.key)
            if is_limited:
                await self._check_quota(blob.key, saved.size_bytes)
            checkpoint = Checkpoint(blob.id, blob.key, saved.size_bytes, saved.sha256, saved.unpacked_bytes)
            crash.reach("checkpoint_stored")
            await db.retry_while_unavailable(lambda: checkpoint_store.set_stored(pool, checkpoint))
            return Saved(checkpoint, timedelta(seconds=saved.paused_seconds))

    async def save_for_next_container(self) -> None:
        """Save, and make the checkpoint the one that the task's next container starts from.

        Raises:
            CheckpointFailed: it cannot be saved. ClaimLost: the task has another attempt or has ended.
        """
        saved = await self.save(is_limited=True)

        async def adopt() -> bool:
            async with db.transaction(self._services.pool) as connection:
                return await service.save(
                    connection, self._claim, saved.checkpoint, saved.paused.total_seconds()
                )

        if not await db.retry_while_unavailable(adopt):
            raise ClaimLost
        await self.delete_superseded()

    async def save_periodically(self, is_begun: asyncio.Event) -> NoReturn:
        """Save every few minutes, until cancelled. A failed save is repeated at the next interval. Before
        `is_begun` nothing is saved: an agent that started from such a checkpoint would not know its task.

        Raises:
            ClaimLost: the task has another attempt or has ended.
        """
        while True:
            await asyncio.sleep(self._services.settings.checkpoint_seconds)
            await is_begun.wait()
            try:
                await self.save_for_next_container()
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

    async def delete_superseded(self) -> None:
        """Delete the checkpoints that the current one replaced."""
        await checkpoints.delete_superseded(self._services.pool, self._services.blobs, self._claim.task_id)
