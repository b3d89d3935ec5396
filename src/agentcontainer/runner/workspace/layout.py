"""Laying out an attempt's workspace before its sandbox starts: from the task's inputs, or from its checkpoint."""

import asyncio
import contextlib
import errno
import logging
import time
from collections.abc import Generator, Sequence

from agentcontainer import crash, db
from agentcontainer.domain.checkpoints import service as checkpoints
from agentcontainer.domain.files import service as files
from agentcontainer.domain.tasks.model import Checkpoint, Task
from agentcontainer.domain.tasks.repositories import unseal
from agentcontainer.errors import Unavailable
from agentcontainer.runner.agent import launch
from agentcontainer.runner.services import Services
from agentcontainer.runner.workspace import folders, repositories, safe_open, skills
from agentcontainer.runner.workspace.checkpoint import CheckpointStore
from agentcontainer.runner.workspace.inputs import InputUnavailable
from agentcontainer.runner.workspace.store_check import missing_means_unavailable
from agentcontainer.sandbox import volume
from agentcontainer.sandbox.host_uids import UidLease
from agentcontainer.sandbox.volume import DiskFull

TASK_FILES = f"{folders.TASK_FOLDER}/task_files"
STORE_SECONDS = 300.0  # for which an object store may be away before it costs the task a try
STORE_RETRY_SECONDS = 2.0

logger = logging.getLogger(__name__)


class Layout:
    """The workspace of one attempt; `name` is the attempt's."""

    def __init__(self, services: Services, task: Task, name: str) -> None:
        self._services = services
        self._task = task
        self.name = name
        self.root = services.folder / name

    async def run(self, lease: UidLease | None) -> None:
        """Lay it out, for a sandbox with the uid of this lease.

        Raises:
            InputUnavailable: an input cannot be had. CheckpointCorrupt: the checkpoint cannot be used.
            DiskFull: it is more than the workspace may hold. Unavailable: the object store is away for minutes.
        """
        services, task = self._services, self._task
        checkpoint = await db.retry_while_unavailable(lambda: checkpoints.get_current(services.pool, task.id))
        deadline = time.monotonic() + STORE_SECONDS
        while True:
            try:
                async with missing_means_unavailable(services):
                    return await self._lay_out(checkpoint, lease)
            except Unavailable as error:
                if time.monotonic() > deadline:
                    raise
                logger.warning("%s: its files have to wait: %s", self.name, error)
                await folders.remove(self.root)
            await asyncio.sleep(STORE_RETRY_SECONDS)

    async def _lay_out(self, checkpoint: Checkpoint | None, lease: UidLease | None) -> None:
        (self.root / "sockets").mkdir(parents=True)
        with self._told_when_full("What the task brings along"):
            await (self._start_anew() if checkpoint is None else self._restore(checkpoint, lease))

    async def _restore(self, checkpoint: Checkpoint, lease: UidLease | None) -> None:
        await CheckpointStore.of(self._services).restore(self.root, self.name, checkpoint, lease)
        crash.reach("restore")
        uid = None if lease is None else lease.uid
        safe_open.make_folder(self.root / "workspace", folders.TASK_FOLDER, uid)  # Pi starts in it
        for path, text in launch.settings_files(self._task).items():  # the agent may have put a link there
            await safe_open.write_file(self.root / "workspace", path, text.encode(errors="replace"), uid)

    async def bring(self, message_files: Sequence[files.File], uid: int) -> list[str]:
        """Place a message's files in `task_files/` of a workspace that an agent is in; their names there.

        Raises:
            InputUnavailable: the agent does not let them be placed. DiskFull: there is no room for them.
        """
        folder, stream = self.root / "workspace", self._services.blobs.stream
        try:
            with self._told_when_full("What came with the message"):
                return [
                    await safe_open.place_new(folder, TASK_FILES, file.filename, stream(file.blob_key), uid)
                    for file in message_files
                ]
        except safe_open.Blocked:
            raise InputUnavailable("The agent kept the message's files from being placed.") from None

    async def _start_anew(self) -> None:
        services, task = self._services, self._task
        inputs = await db.retry_while_unavailable(lambda: files.list_inputs(services.pool, task.id))
        references = await db.retry_while_unavailable(
            lambda: files.list_references(services.pool, task.agent_version_id)
        )
        self._check_room([*inputs, *references])
        await services.volumes.make(self.root / "workspace")
        await folders.prepare(self.root, launch.files(task), inputs, references, services.blobs)
        await self._bring_skills()
        await self._bring_repositories()

    def _check_room(self, brought: Sequence[files.File]) -> None:
        """Before any of it is fetched, and where no file system would say so."""
        room = self._services.volumes.room
        if sum(file.size_bytes for file in brought) > room.bytes or len(brought) > room.inodes:
            raise DiskFull(f"The task's files do not fit: {room.fault}.")

    @contextlib.contextmanager
    def _told_when_full(self, what: str) -> Generator[None]:
        """A capped workspace without room is no fault of this host's."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT) and volume.is_capped(self.root / "workspace"):
                raise DiskFull(f"{what} does not fit: {self._services.volumes.room.fault}.") from None
            raise

    async def _bring_skills(self) -> None:
        services, task = self._services, self._task
        if task.skills:
            archives = await db.retry_while_unavailable(lambda: files.list_skills(services.pool, task.id))
            if len(archives) < len(task.skills):
                raise InputUnavailable("A skill's file was deleted.")
            target = self.root / "workspace" / launch.SKILLS_FOLDER
            await skills.place(archives, services.blobs, self.root / "workspace", target)

    async def _bring_repositories(self) -> None:
        services, settings = self._services, self._services.settings
        if self._task.input_repositories:
            cloning = repositories.Cloning(
                services.sandboxes, services.runtime, services.limits, services.folder, self.name,
                settings.max_repository_bytes, settings.allow_private_repositories,
            )  # fmt: skip
            wanted = unseal(self._task.input_repositories, services.vault, self._task.id)
            await repositories.place(cloning, wanted, self.root / "workspace" / TASK_FILES)
