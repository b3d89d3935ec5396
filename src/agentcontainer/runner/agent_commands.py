"""Carries out the agent's commands: `finish`, `share`, `hibernate` and the wake link.

control.py receives them.
"""

from datetime import datetime

from agentcontainer import crash, db
from agentcontainer.domain.conversations import turns
from agentcontainer.domain.files.recorded import RecordedBlobs
from agentcontainer.domain.hibernation import wake_links
from agentcontainer.domain.installation import store as installation
from agentcontainer.domain.tasks.event_data import FinishRejected
from agentcontainer.domain.tasks.model import Hibernation, Output
from agentcontainer.domain.tasks.output_policy import Declared, refusals
from agentcontainer.domain.tasks.state import EndReason
from agentcontainer.runner.context import AttemptContext
from agentcontainer.runner.control_requests import Command, Finish, Hibernate, Share
from agentcontainer.runner.ending import Ending
from agentcontainer.runner.workspace.checkpointer import Checkpointer
from agentcontainer.runner.workspace.outputs import Refused, collect
from agentcontainer.runner.workspace.store_check import retry_while_away
from agentcontainer.telemetry import names

MAX_REASON_CHARACTERS = 8000  # of an event `finish.rejected`


class AgentCommands:
    """The commands of one attempt's agent."""

    def __init__(self, context: AttemptContext) -> None:
        self._context = context
        self._checkpointer: Checkpointer | None = None

    def allow_hibernation(self, checkpointer: Checkpointer) -> None:
        """Accept `hibernate` from now on, because the sandbox has started and its workspace can be saved."""
        self._checkpointer = checkpointer

    def refusal(self, command: Command) -> str | None:
        """Why the agent may not use this command now; None if it may."""
        return self._context.mode.refusal(command)

    def log_refused_finish(self, reason: str) -> None:
        """Log that a `finish` was refused."""
        self._context.log.add(FinishRejected(reason[:MAX_REASON_CHARACTERS]))

    async def finish(self, finish: Finish) -> bool:
        """End the task with these outputs; False if it has ended already. Returns after the end is committed.

        Raises:
            Refused: the outputs do not follow the task's policy, or cannot be read. Unavailable: they cannot be stored.
        """
        if faults := refusals(self._context.task.execution.output_policy, finish.declared):
            raise Refused("\n".join(faults))
        outputs = await self._collect(finish.cwd, finish.declared)
        ending = Ending(EndReason(finish.completion), finish.message, tuple(outputs))
        return await self._context.outcome.end(ending)

    async def share(self, share: Share) -> list[Output]:
        """Make files of a conversation available to the user at once.

        Raises:
            Refused: there are too many in this turn, one cannot be read, or no turn is running.
            Unavailable: they cannot be stored.
        """
        services, mode = self._context.services, self._context.mode
        limit = services.settings.max_output_files
        if len(mode.shared_file_ids) + len(share.declared) > limit:
            raise Refused(f"At most {limit} files can be shared in a turn. Pack them into an archive.")
        outputs = await self._collect(share.cwd, share.declared)
        turn = mode.turn
        if turn is None or not await db.retry_while_unavailable(
            lambda: turns.share(services.pool, self._context.claim, turn, outputs)
        ):
            raise Refused("No turn is running: share files while you work on a message.")
        mode.shared_file_ids += [output.id for output in outputs]
        return outputs

    async def hibernate(self, hibernate: Hibernate) -> bool:
        """Save the workspace and hibernate the task; False if it has ended already. Returns after that is committed.

        Raises:
            CheckpointFailed: the workspace cannot be saved.
        """
        assert self._checkpointer is not None
        saved = await self._checkpointer.save(is_limited=True)
        crash.reach("hibernate")
        hibernation = Hibernation(hibernate.message, hibernate.until, saved.checkpoint.id)
        return await self._context.outcome.end(Ending(EndReason.HIBERNATED, hibernation=hibernation))

    async def now(self) -> datetime:
        """The database's time."""
        return await db.retry_while_unavailable(lambda: db.now(self._context.services.pool))

    async def wake_link(self) -> str | None:
        """Create a wake link; returns its URL. None: the task has too many, or has ended."""
        services = self._context.services
        token = await wake_links.create(services.pool, services.vault, self._context.claim)
        api_url = await installation.public_url(services.pool) or services.settings.api_url
        return None if token is None else f"{api_url}/wake/{token}"

    async def _collect(self, cwd: str, declared: list[Declared]) -> list[Output]:
        crash.reach("finish_check")
        with self._context.trace.measured(names.COLLECT) as attributes:
            outputs = await self._collect_patiently(cwd, declared)
            attributes[names.FILES] = len(outputs)
            attributes[names.SIZE_BYTES] = sum(output.size_bytes for output in outputs)
        crash.reach("outputs_stored")
        return outputs

    async def _collect_patiently(self, cwd: str, declared: list[Declared]) -> list[Output]:
        """Wait for an object store that is away: most models would give up after some repetitions of the command.

        Raises:
            Refused: a file cannot be stored. Unavailable: the store was away for `store_patience_seconds`.
        """
        services, task = self._context.services, self._context.task
        return await retry_while_away(
            lambda: collect(
                self._context.workspace, cwd, declared, task.execution.output_policy,
                RecordedBlobs(services.pool, services.blobs), task.id,
                services.settings.max_output_bytes, services.settings.sandbox_disk_bytes,
            ),
            services.settings.store_patience_seconds,
            task.id,
        )  # fmt: skip
