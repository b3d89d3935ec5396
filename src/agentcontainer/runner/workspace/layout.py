"""Fills an attempt's workspace before its sandbox starts, from the task's inputs or from its checkpoint."""

import asyncio
import contextlib
import errno
import os
from collections.abc import Generator, Sequence

from agentcontainer import crash, db
from agentcontainer.ca_bundle import ca_bundle
from agentcontainer.domain.checkpoints import store as checkpoints
from agentcontainer.domain.checkpoints.model import Checkpoint
from agentcontainer.domain.files import store as files
from agentcontainer.domain.files.model import File
from agentcontainer.domain.tasks.model import Task
from agentcontainer.domain.tasks.repositories import unseal
from agentcontainer.filenames import composed
from agentcontainer.providers import PROVIDERS, Provider
from agentcontainer.runner.agent import launch
from agentcontainer.runner.services import Services
from agentcontainer.runner.trace import AttemptTrace
from agentcontainer.runner.workspace import folders, repositories, safe_open, session_file, skills
from agentcontainer.runner.workspace.checkpoint import CheckpointStore
from agentcontainer.runner.workspace.inputs import InputUnavailable
from agentcontainer.runner.workspace.store_check import missing_means_unavailable, retry_while_away
from agentcontainer.sandbox import volume
from agentcontainer.sandbox.destinations import Destinations
from agentcontainer.sandbox.host_uids import UidLease
from agentcontainer.sandbox.volume import DiskFull
from agentcontainer.telemetry import metrics, names

TASK_FILES = f"{launch.TASK_FOLDER}/task_files"
STORE_SECONDS = 300.0  # an object store may be unavailable for this long before the attempt fails


class Layout:
    """The workspace of one attempt. `name`: the attempt's."""

    def __init__(
        self, services: Services, task: Task, name: str, provider: Provider | None = None,
        trace: AttemptTrace | None = None,
    ) -> None:  # fmt: skip
        self._services = services
        self._trace = trace or AttemptTrace()
        self._task = task
        self._provider = provider or PROVIDERS[task.execution.provider]
        self.name = name
        self.root = services.folder / name
        self.is_new = False
        """Whether the workspace was made from the task's inputs, and the agent has not been told of them yet."""
        self.has_lost_context = False
        """Whether a restored workspace lacks the agent's session, and the agent has not been told yet."""

    async def run(self, lease: UidLease | None) -> None:
        """Fill the workspace, for a sandbox with the uid of this lease.

        Raises:
            InputUnavailable: an input cannot be used. CheckpointCorrupt: the checkpoint cannot be used.
            DiskFull: the files are larger than a workspace may be.
            Unavailable: the object store was unavailable for `STORE_SECONDS`.
        """
        services, task = self._services, self._task
        checkpoint = await db.retry_while_unavailable(lambda: checkpoints.get_current(services.pool, task.id))

        async def lay_out() -> None:
            async with missing_means_unavailable(services):
                await self._lay_out(checkpoint, lease)

        await retry_while_away(lay_out, STORE_SECONDS, self.name, undo=lambda: folders.remove(self.root))

    async def _lay_out(self, checkpoint: Checkpoint | None, lease: UidLease | None) -> None:
        (self.root / "sockets").mkdir(parents=True)
        self.is_new = checkpoint is None
        with self._disk_full_error("The task's input"):
            await (self._use_inputs() if checkpoint is None else self._restore(checkpoint, lease))

    async def _restore(self, checkpoint: Checkpoint, lease: UidLease | None) -> None:
        with (
            metrics.CHECKPOINT_SECONDS.labels("restore").time(),
            self._trace.measured(names.RESTORE) as attributes,
        ):
            attributes[names.SIZE_BYTES] = checkpoint.size_bytes
            await CheckpointStore.of(self._services).restore(self.root, self.name, checkpoint, lease)
        crash.reach("restore")
        uid = None if lease is None else lease.uid
        safe_open.make_folder(self.root / "workspace", launch.TASK_FOLDER, uid)  # Pi starts in it
        for path, text in launch.settings_files(
            self._task, self._provider
        ).items():  # the agent may have replaced them by links
            await safe_open.write_file(self.root / "workspace", path, text.encode(errors="replace"), uid)
        self.has_lost_context = not await asyncio.to_thread(
            session_file.exists, self.root / "workspace", self._task.id
        )
        if self.has_lost_context:
            session_file.set_aside(self.root / "workspace")

    async def add_files(self, message_files: Sequence[File], uid: int) -> list[str]:
        """Place a message's files in `task_files/` of a workspace that an agent is using; returns their names
        there.

        Raises:
            InputUnavailable: the agent prevents it. DiskFull: there is no room for them.
        """
        folder, stream = self.root / "workspace", self._services.blobs.stream
        try:
            with self._disk_full_error("A file of the message"):
                return [
                    await safe_open.place_new(
                        folder, TASK_FILES, composed(file.filename), stream(file.blob_key), uid
                    )
                    for file in message_files
                ]
        except safe_open.Blocked:
            raise InputUnavailable(
                "The message's files could not be placed: the agent kept changing their folder."
            ) from None

    async def _use_inputs(self) -> None:
        services, task = self._services, self._task
        inputs = await db.retry_while_unavailable(lambda: files.list_inputs(services.pool, task.id))
        references = await db.retry_while_unavailable(
            lambda: files.list_references(services.pool, task.agent_version_id)
        )
        self._check_room([*inputs, *references])
        await services.volumes.make(self.root / "workspace")
        await folders.prepare(
            self.root, launch.files(task, self._provider), inputs, references, services.blobs
        )
        await self._add_skills()
        await self._add_repositories()

    def _check_room(self, inputs: Sequence[File]) -> None:
        """Checked before anything is fetched, and also if the workspace is a plain folder.

        Raises:
            DiskFull: the files are larger than a workspace may be.
        """
        room = self._services.volumes.room
        if sum(file.size_bytes for file in inputs) > room.bytes or len(inputs) > room.inodes:
            raise DiskFull(f"The task's files do not fit: {room.fault}.")

    @contextlib.contextmanager
    def _disk_full_error(self, subject: str) -> Generator[None]:
        """Raise DiskFull instead of OSError if the volume is full: this host is not at fault."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT) and volume.is_capped(self.root / "workspace"):
                raise DiskFull(f"{subject} does not fit: {self._services.volumes.room.fault}.") from None
            raise

    async def _add_skills(self) -> None:
        services, task = self._services, self._task
        if task.skills:
            archives = await db.retry_while_unavailable(lambda: files.list_skills(services.pool, task.id))
            if len(archives) < len(task.skills):
                raise InputUnavailable("A skill's file was deleted.")
            target = self.root / "workspace" / launch.SKILLS_FOLDER
            unpacking = skills.Unpacking(services.sandboxes, services.limits, services.folder, self.name)
            await skills.place(unpacking, archives, services.blobs, target)

    async def _add_repositories(self) -> None:
        services, settings = self._services, self._services.settings
        if self._task.input_repositories:
            destinations = Destinations.of(settings).for_repositories(settings)
            cloning = repositories.Cloning(
                services.sandboxes, services.runtime, services.limits, services.folder, self.name,
                settings.max_repository_bytes, destinations, ca_bundle(os.environ),
            )  # fmt: skip
            input_repositories = unseal(self._task.input_repositories, services.vault, self._task.id)
            await repositories.place(cloning, input_repositories, self.root / "workspace" / TASK_FILES)
