"""Saves checkpoints of an attempt while its sandbox runs, on demand and periodically."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn

from agentcontainer import crash, db, host
from agentcontainer.domain.checkpoints import service as checkpoints
from agentcontainer.domain.checkpoints import store as checkpoint_store
from agentcontainer.domain.checkpoints.model import Checkpoint
from agentcontainer.domain.tasks import container_clock, service
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.ids import new_id
from agentcontainer.runner.ending import ClaimLost
from agentcontainer.runner.services import Services
from agentcontainer.runner.trace import AttemptTrace
from agentcontainer.runner.workspace.checkpoint import CheckpointFailed, CheckpointStore, HostCannotSave
from agentcontainer.runner.workspace.layout import Layout
from agentcontainer.sandbox.bubblewrap import Sandbox
from agentcontainer.telemetry import metrics, names

MAX_PAUSE_SECONDS = 15.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Saved:
    """A stored checkpoint that the task does not use yet, and how long its container was frozen for it."""

    checkpoint: Checkpoint
    paused: timedelta


class Checkpointer:
    """Saves the checkpoints of one attempt, one at a time."""

    def __init__(
        self, services: Services, claim: Claim, layout: Layout, sandbox: Sandbox, trace: AttemptTrace
    ) -> None:
        self._services = services
        self._claim = claim
        self._layout = layout
        self._sandbox = sandbox
        self._trace = trace
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
            with (
                metrics.CHECKPOINT_SECONDS.labels("save").time(),
                self._trace.measured(names.CHECKPOINT) as attributes,
            ):
                saved = await self._checkpoint_store.save(self._sandbox, layout.root, layout.name, blob.key)
                attributes[names.SIZE_BYTES] = saved.size_bytes
                attributes[names.PAUSED_MS] = round(saved.paused_seconds * 1000)
            metrics.CHECKPOINT_BYTES.observe(saved.size_bytes)
            metrics.FILE_BYTES.labels("checkpoint").observe(saved.size_bytes)
            if is_limited:
                await self._check_quota(blob.key, saved.size_bytes)
            checkpoint = Checkpoint(blob.id, blob.key, saved.size_bytes, saved.sha256, saved.unpacked_bytes)
            crash.reach("checkpoint_stored")
            await db.retry_while_unavailable(lambda: checkpoint_store.set_stored(pool, checkpoint))
            return Saved(checkpoint, timedelta(seconds=saved.paused_seconds))

    async def save_with_retries(self, *, is_limited: bool = False) -> Saved:
        """As `save`. While this host or the object store is at fault, it tries again for
        `checkpoint_patience_seconds`. The time that the container waits is not billed.

        Raises:
            CheckpointFailed: the workspace is at fault. HostCannotSave: the host or the object store still is.
        """
        loop = asyncio.get_running_loop()
        began_at, pause_seconds = loop.time(), 1.0
        worked: timedelta | None = None
        while True:
            try:
                saved = await self.save(is_limited=is_limited)
            except CheckpointFailed as error:
                fault = self._host_fault(error)
                if fault is None:
                    raise
                waited_seconds = loop.time() - began_at
                worked = await self._time_before(waited_seconds) if worked is None else worked
                if waited_seconds > self._services.settings.checkpoint_patience_seconds:
                    raise fault from error.__cause__
                logger.warning("%s: trying to save again: %s", self._layout.name, error)
            else:
                if worked is not None:
                    await self._set_time_back(worked)
                return saved
            await asyncio.sleep(pause_seconds)
            await self._set_time_back(worked)
            pause_seconds = min(2 * pause_seconds, MAX_PAUSE_SECONDS)

    def _host_fault(self, error: CheckpointFailed) -> HostCannotSave | None:
        """The error if the host or the object store caused it."""
        if isinstance(error, HostCannotSave):
            return error
        # A full disk also makes reading fail: the workspace's file system is an image on that disk.
        return HostCannotSave(str(error)) if host.disk_shortage(self._services.folder) else None

    async def _time_before(self, seconds: float) -> timedelta:
        pool, claim = self._services.pool, self._claim
        now = await db.retry_while_unavailable(lambda: container_clock.read(pool, claim))
        return now - timedelta(seconds=seconds)

    async def _set_time_back(self, worked: timedelta) -> None:
        pool, claim = self._services.pool, self._claim
        await db.retry_while_unavailable(lambda: container_clock.set_back(pool, claim, worked))

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
