"""What a task that failed, was cancelled or expired had written by then: kept as partial output, within bounds."""

import asyncio
import itertools
import logging
import os
import stat
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path

import asyncpg

from agentcontainer import db
from agentcontainer.domain.checkpoints import service as checkpoints
from agentcontainer.domain.execution.model import OutputPolicy
from agentcontainer.domain.files.service import filename_fault
from agentcontainer.domain.tasks import overdue, service
from agentcontainer.domain.tasks.model import Claim, Output
from agentcontainer.domain.tasks.output_policy import Declared
from agentcontainer.errors import AgentContainerError, SandboxError, Unavailable
from agentcontainer.periodic import repeat
from agentcontainer.runner.services import Services
from agentcontainer.runner.workspace import folders
from agentcontainer.runner.workspace.checkpoint import CheckpointCorrupt, CheckpointStore
from agentcontainer.runner.workspace.outputs import Refused, collect
from agentcontainer.runner.workspace.store_check import missing_means_unavailable
from agentcontainer.sandbox.contract import INSIDE_WORKSPACE
from agentcontainer.sandbox.volume import DiskFull

INTERVAL_SECONDS = 5.0
AFTER = timedelta(seconds=20)  # a runner that has the container keeps what is in it first

logger = logging.getLogger(__name__)

HOME = f"{INSIDE_WORKSPACE}/{folders.TASK_FOLDER}"
NOT_ITS_OWN = frozenset({"task_files", "reference_files", "TASK.md", "HARNESS.md"})
MAX_DEPTH = 50
MAX_LOOKED_AT = 100_000  # entries; an agent can make more than anybody wants to see


async def keep_forgotten(services: Services) -> bool:
    """Keep the remains of tasks whose container was gone when they ended, from their checkpoints; False: there are
    none, or they cannot be had now. One that has to wait keeps no other from it."""
    claims = await overdue.missing_partial_outputs(services.pool, AFTER)
    return any([await _keep_saved(services, claim) for claim in claims])


async def _keep_saved(services: Services, claim: Claim) -> bool:
    root = services.folder / f"{claim.task_id}-remains"
    try:
        checkpoint = await checkpoints.get_current(services.pool, claim.task_id)
        if checkpoint is None:  # another runner has kept them
            return False
        async with missing_means_unavailable(services):
            await CheckpointStore.of(services).restore(root, root.name, checkpoint)
        return await PartialOutputs(services, claim, root).keep()
    except (Unavailable, SandboxError) as error:
        logger.warning("%s: partial outputs have to wait: %s", claim.task_id, error)
        return False
    except (CheckpointCorrupt, DiskFull, AgentContainerError) as error:
        logger.warning("%s: no partial outputs: %s", claim.task_id, error)
        await service.add_partial_outputs(services.pool, claim, [])
        return True
    finally:
        await folders.remove(root)


async def keep_forgotten_forever(services: Services) -> None:
    """Look for such tasks every few seconds, until cancelled."""

    async def once() -> None:
        while await keep_forgotten(services):
            pass

    expected = (asyncpg.PostgresError, *db.UNREACHABLE)
    await repeat("collecting partial outputs from checkpoints", once, INTERVAL_SECONDS, expected)


class PartialOutputs:
    """The workspace of an attempt whose sandbox is gone."""

    def __init__(self, services: Services, claim: Claim, root: Path) -> None:
        self._services = services
        self._claim = claim
        self._root = root

    async def keep(self) -> bool:
        """Store the agent's files if the task ended without having handed them over. False: what is missing can be had
        later, from the task's checkpoint. Never raises: the task has ended, and no file is worth another end."""
        pool, claim = self._services.pool, self._claim
        try:
            if await db.retry_while_unavailable(lambda: service.wants_partial_outputs(pool, claim)):
                outputs, is_whole = await self._collect()
                if not is_whole and await db.retry_while_unavailable(
                    lambda: checkpoints.get_current(pool, claim.task_id)
                ):
                    return False
                await db.retry_while_unavailable(lambda: service.add_partial_outputs(pool, claim, outputs))
            return True
        except Exception:
            logger.exception("%s: no partial outputs", claim.task_id)
            return False

    async def _collect(self) -> tuple[list[Output], bool]:
        """What could be stored, and whether the object store took all of it."""
        settings = self._services.settings
        outputs: list[Output] = []
        left = settings.max_partial_bytes
        for path in await asyncio.to_thread(own_files, self._root / "workspace" / folders.TASK_FOLDER):
            if len(outputs) >= settings.max_partial_files:
                break
            try:
                outputs += await collect(
                    self._root / "workspace", HOME, [Declared(path)], OutputPolicy(), self._services.blobs,
                    self._claim.task_id, min(left, settings.max_output_bytes),
                )  # fmt: skip
            except Refused:
                continue
            except AgentContainerError as error:
                logger.warning("%s: %s", self._claim.task_id, error)
                return outputs, False
            left -= outputs[-1].size_bytes
        return outputs, True


def own_files(home: Path, most: int = MAX_LOOKED_AT) -> list[str]:
    """Paths below `home` of what an agent wrote, newest first; nothing hidden, and no link is followed.

    It looks at `most` entries, in whatever order they come. Blocks.
    """
    found: list[tuple[float, str]] = []
    waiting = [Path()]
    looked_at = 0
    while waiting and looked_at < most:
        here = waiting.pop()
        for entry in _entries(home / here, most - looked_at):
            looked_at += 1
            if entry.name.startswith(".") or (here == Path() and entry.name in NOT_ITS_OWN):
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISDIR(status.st_mode):
                if len(here.parts) < MAX_DEPTH:
                    waiting.append(here / entry.name)
            elif not filename_fault(entry.name):
                found.append((-status.st_mtime, str(here / entry.name)))
    return [path for _, path in sorted(found)]


def _entries(folder: Path, most: int) -> Generator["os.DirEntry[str]"]:
    """So many of a folder's entries at most, read as they are wanted: a folder can hold millions. None of a link's."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        with os.scandir(descriptor) as entries:
            yield from itertools.islice(entries, most)
    finally:
        os.close(descriptor)
