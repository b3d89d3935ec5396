"""Stores the files of a task that failed, was cancelled or expired as its partial outputs, up to a limit."""

import asyncio
import itertools
import logging
import os
import stat
from collections.abc import Generator, Sequence
from datetime import timedelta
from pathlib import Path

import asyncpg

from agentcontainer import db
from agentcontainer.domain.checkpoints import store as checkpoints
from agentcontainer.domain.execution.model import OutputPolicy
from agentcontainer.domain.files.recorded import RecordedBlobs
from agentcontainer.domain.tasks import overdue, service
from agentcontainer.domain.tasks.model import Claim, Output
from agentcontainer.domain.tasks.output_policy import Declared
from agentcontainer.errors import AgentContainerError, SandboxError, Unavailable
from agentcontainer.filenames import filename_fault
from agentcontainer.periodic import repeat
from agentcontainer.runner.agent import launch
from agentcontainer.runner.services import Services
from agentcontainer.runner.workspace import folders
from agentcontainer.runner.workspace.checkpoint import CheckpointCorrupt, CheckpointStore
from agentcontainer.runner.workspace.outputs import Refused, collect
from agentcontainer.runner.workspace.store_check import missing_means_unavailable
from agentcontainer.sandbox.volume import DiskFull

INTERVAL_SECONDS = 5.0
AFTER = timedelta(seconds=20)  # a runner that still has the container stores them itself before
LEASE = timedelta(minutes=10)  # longer than it takes; if the runner dies, another one stores them after it
RETRY_AFTER = timedelta(seconds=30)
AT_ONCE = 2  # in one runner

logger = logging.getLogger(__name__)

PLATFORM_FILES = frozenset({"task_files", "reference_files", "TASK.md", "HARNESS.md"})
MAX_DEPTH = 50
MAX_ENTRIES = 100_000  # an agent can make any number of files


async def collect_missing(
    services: Services, regions: Sequence[str], retry_after: timedelta = RETRY_AFTER
) -> bool:
    """Store the partial outputs of a task of these regions that had no container when it ended, from its checkpoint.
    False: there is none. If they cannot be stored now, some runner tries again after `retry_after`."""
    claim = await overdue.claim_partial_outputs(services.pool, regions, AFTER, LEASE)
    if claim is None:
        return False
    if not await _collect_from_checkpoint(services, claim):
        await overdue.postpone_partial_outputs(services.pool, claim, retry_after)
    return True


async def _collect_from_checkpoint(services: Services, claim: Claim) -> bool:
    root = services.folder / f"{claim.task_id}-partial"
    try:
        checkpoint = await checkpoints.get_current(services.pool, claim.task_id)
        if checkpoint is None:  # another runner has stored them
            return False
        async with missing_means_unavailable(services):
            await CheckpointStore.of(services).restore(root, root.name, checkpoint)
        return await PartialOutputs(services, claim, root).store()
    except (Unavailable, SandboxError) as error:
        logger.warning("%s: partial outputs cannot be stored now: %s", claim.task_id, error)
        return False
    except (CheckpointCorrupt, DiskFull, AgentContainerError) as error:
        logger.warning("%s: its partial outputs are lost: %s", claim.task_id, error)
        await service.add_partial_outputs(services.pool, claim, [])
        return True
    finally:
        await folders.remove(root)


async def collect_missing_forever(services: Services, region: str) -> None:
    """Store the missing partial outputs of the tasks that a runner of this region may run, `AT_ONCE` tasks at a time,
    until cancelled. A checkpoint of another region's task is not downloaded."""

    async def once() -> None:
        while await collect_missing(services, sorted({"any", region})):
            pass

    expected = (asyncpg.PostgresError, *db.UNREACHABLE)
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            name = "collecting partial outputs from checkpoints"
            group.create_task(repeat(name, once, INTERVAL_SECONDS, expected))


class PartialOutputs:
    """Stores partial outputs from the workspace of an attempt whose sandbox was destroyed."""

    def __init__(self, services: Services, claim: Claim, root: Path) -> None:
        self._services = services
        self._claim = claim
        self._root = root

    async def store(self) -> bool:
        """Store the agent's files, if the task ended without outputs. False: some are missing and can be
        stored later, from the task's checkpoint. Never raises: the task has ended, and an error here must not
        change how."""
        pool, claim = self._services.pool, self._claim
        try:
            if await db.retry_while_unavailable(lambda: service.wants_partial_outputs(pool, claim)):
                outputs, is_complete = await self._collect()
                if not is_complete and await db.retry_while_unavailable(
                    lambda: checkpoints.get_current(pool, claim.task_id)
                ):
                    return False
                await db.retry_while_unavailable(lambda: service.add_partial_outputs(pool, claim, outputs))
            return True
        except Exception:
            logger.exception("%s: storing its partial outputs failed", claim.task_id)
            return False

    async def _collect(self) -> tuple[list[Output], bool]:
        """The files that could be stored, and whether the object store accepted all of them."""
        settings = self._services.settings
        outputs: list[Output] = []
        left = settings.max_partial_bytes
        blobs = RecordedBlobs(self._services.pool, self._services.blobs)
        for path in await asyncio.to_thread(own_files, self._root / "workspace" / launch.TASK_FOLDER):
            if len(outputs) >= settings.max_partial_files:
                break
            try:
                outputs += await collect(
                    self._root / "workspace", launch.HOME, [Declared(path)], OutputPolicy(), blobs,
                    self._claim.task_id, min(left, settings.max_output_bytes),
                )  # fmt: skip
            except Refused:
                continue
            except AgentContainerError as error:
                logger.warning("%s: %s", self._claim.task_id, error)
                return outputs, False
            left -= outputs[-1].size_bytes
        return outputs, True


def own_files(home: Path, max_entries: int = MAX_ENTRIES) -> list[str]:
    """Paths below `home` of files that the agent wrote, newest first. Hidden files are left out; no link is
    followed.

    It looks at the first `max_entries` entries, in the file system's order. Blocks.
    """
    files: list[tuple[float, str]] = []
    waiting = [Path()]
    count = 0
    while waiting and count < max_entries:
        folder = waiting.pop()
        for entry in _entries(home / folder, max_entries - count):
            count += 1
            if entry.name.startswith(".") or (folder == Path() and entry.name in PLATFORM_FILES):
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISDIR(status.st_mode):
                if len(folder.parts) < MAX_DEPTH:
                    waiting.append(folder / entry.name)
            elif not filename_fault(entry.name):
                files.append((-status.st_mtime, str(folder / entry.name)))
    return [path for _, path in sorted(files)]


def _entries(folder: Path, limit: int) -> Generator["os.DirEntry[str]"]:
    """At most `limit` entries of a folder, read lazily, because a folder can have millions. A link has none."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        with os.scandir(descriptor) as entries:
            yield from itertools.islice(entries, limit)
    finally:
        os.close(descriptor)
