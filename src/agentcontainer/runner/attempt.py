"""Runs one attempt, from its claim to its clean-up.

READ THIS FIRST, from top to bottom.

1. The supervisor has claimed the task. `run` loads it and starts a container for it (container.py).
2. The agent works: on the whole task, alone, or on one turn of a conversation after the other (dialogue.py), until a
   turn hands the work over to it.
3. The first ending wins (outcome.py): an accepted `finish` or `hibernate` (agent_commands.py), the end of the agent
   process, a limit, or the supervisor. It is committed, and the agent's `finish` is answered.
4. The container is closed: sandbox, sockets and folder are gone when `run` returns.

Two attempts have no ending: that of a conversation which gives up its container while it waits for the user, and one
that has lost its claim, for instance because the client cancelled the task. The latter writes nothing any more.
"""

import asyncio
import contextlib
import dataclasses
import logging

from agentcontainer import db, host
from agentcontainer.domain.conversations.model import Turn
from agentcontainer.domain.tasks import store
from agentcontainer.domain.tasks.model import Claim, Task
from agentcontainer.domain.tasks.state import EndReason
from agentcontainer.runner import budget_pause, container, provider_outage, time_limit
from agentcontainer.runner.agent.prompts import (
    INTERRUPTED,
    RESUMED,
    context_lost_prompt,
    first_turn_prompt,
    handoff_prompt,
    prompt,
    woken_prompt,
)
from agentcontainer.runner.agent.steering import Steering
from agentcontainer.runner.container import Container
from agentcontainer.runner.context import AttemptContext
from agentcontainer.runner.dialogue import Dialogue, begin_turn
from agentcontainer.runner.ending import ClaimLost, Ended, Ending
from agentcontainer.runner.host_faults import host_fault
from agentcontainer.runner.log import EventLog
from agentcontainer.runner.mode import Mode
from agentcontainer.runner.outcome import Outcome, ending_of
from agentcontainer.runner.services import Services
from agentcontainer.runner.slot import Slot
from agentcontainer.runner.trace import AttemptTrace
from agentcontainer.runner.workspace.checkpoint import CheckpointFailed
from agentcontainer.telemetry import log_context

logger = logging.getLogger(__name__)

DRAIN_SAVE_SECONDS = 20.0
# Failures that a lack of room on the host can also cause. If it lacks room, the task and its agent are not at fault.
BEFORE_START = frozenset({
    EndReason.INPUT_UNAVAILABLE, EndReason.IMAGE_UNAVAILABLE, EndReason.CHECKPOINT_CORRUPT, EndReason.DISK_FULL,
})  # fmt: skip
AFTER_START = frozenset({EndReason.AGENT_CRASHED, EndReason.AGENT_STOPPED})


class Attempt:
    """One attempt, from its claim to its end."""

    def __init__(self, services: Services, claim: Claim, slot: Slot) -> None:
        self.is_platform_fault = False
        """Whether the attempt failed for a reason that neither the task nor its inputs caused."""
        self.unrecorded = EndReason.HOST_FAULT
        """How the attempt ended, if the database still has its claim although `run` has returned."""
        self._services = services
        self._claim = claim
        self._slot = slot
        self._name = f"{claim.task_id}-{claim.attempt}"
        self._log = EventLog(services.pool, claim, services.event_limit, services.live_text)
        self._trace = AttemptTrace(services.tracing, claim)
        self._outcome = Outcome(services, claim, self._log, self._trace)
        self._steering = Steering(services.pool, claim)
        self._message_arrived = asyncio.Event()
        self._has_started = False

    def stop(self, reason: EndReason, message: str | None = None) -> None:
        """End the attempt for this reason, unless it has an ending already."""
        self._outcome.settle(Ending(reason, message))

    def drop(self) -> None:
        """Stop the attempt, because its claim is lost. It writes nothing more to the database."""
        self._outcome.lose_claim()

    def wake(self) -> None:
        """Look for new messages to this task."""
        self._steering.look()
        self._message_arrived.set()

    async def run(self) -> None:
        """Run the attempt to its end. Raises only when cancelled; then the clean-up removes what is left of it."""
        log_context.set_attempt(self._claim.task_id, self._claim.attempt)
        try:
            async with contextlib.AsyncExitStack() as stack:  # what is opened is closed after the commit
                try:
                    await self._work_and_commit(stack)
                except ClaimLost:
                    raise
                except Exception as error:
                    self.is_platform_fault = True
                    await self._outcome.commit(await self._ending_of_fault(error))
                finally:
                    self._outcome.close()
        except ClaimLost:
            if self._outcome.is_in_doubt:
                logger.info("%s: the claim is gone; the end was sent to the database before", self._name)
            else:
                logger.info("%s: the claim is lost", self._name)
        except Exception as error:
            # The database was unreachable or without room for too long, or something could not be closed. The
            # supervisor gives the claim back at a heartbeat, and the clean-up removes what is left on this host.
            logger.exception("%s: the end of the attempt could not be recorded", self._name)
            if await host_fault(self._services, self._name, error) is None:
                self.unrecorded = EndReason.RUNNER_LOST
        finally:
            self._trace.close()

    async def _ending_of_fault(self, error: Exception) -> Ending:
        """The ending of an attempt that failed for a reason that neither the task nor its inputs caused. If this host
        lacked something, the attempt does not count as a try."""
        if (fault := await host_fault(self._services, self._name, error)) is not None:
            logger.error("%s: this host failed: %s (%r)", self._name, fault, error)
            return Ending(EndReason.HOST_FAULT, f"The host could not run the container. {fault}")
        logger.error("%s: the platform failed", self._name, exc_info=error)
        return Ending(EndReason.PLATFORM_FAULT, "The platform could not run the container.")

    def _judged(self, ending: Ending) -> Ending:
        """The ending, or a fault of the platform in its place if this host lacked something that the task needed.

        Once the agent has started, this counts as a try: an agent that fills the host's disk itself must not run for
        ever without cost.
        """
        reasons = AFTER_START if self._has_started else BEFORE_START
        if ending.reason not in reasons or (fault := host.shortage(self._services.folder)) is None:
            return ending
        logger.error("%s: this host failed: %s (%s)", self._name, fault, ending.message)
        reason = EndReason.PLATFORM_FAULT if self._has_started else EndReason.HOST_FAULT
        self.is_platform_fault = True
        return Ending(reason, f"The host could not run the container. {fault}")

    async def _work_and_commit(self, stack: contextlib.AsyncExitStack) -> None:
        try:
            await self._work(stack)
        except Exception as error:
            ending = ending_of(error)
            if ending is None:
                raise
            await self._outcome.commit(self._judged(ending))

    async def _work(self, stack: contextlib.AsyncExitStack) -> None:
        """Start the container and let the agent work. Returns if a conversation gives up this container.

        Raises:
            Ended: there is an ending. ClaimLost: the claim is lost. Exceptions that `ending_of` turns into an ending.
        """
        context, turn = await self._begin()
        started = await container.start(context, stack, self._steering)
        self._has_started = True
        if turn is not None:
            turn = await Dialogue(context, started, self._slot, self._message_arrived).run(turn)
            if turn is None:
                return
        await self._work_alone(context, started, turn)

    async def _begin(self) -> tuple[AttemptContext, Turn | None]:
        """Load the task. If it is a conversation, begin its next turn."""
        task = await self._load_task()
        mode = Mode(is_conversation=task.mode == "conversation", log=self._log)
        context = AttemptContext(
            self._services, self._claim, self._name, task, self._log, mode, self._outcome, self._trace
        )
        if not mode.is_conversation:
            self._trace.begin(task, None)
            return context, None
        turn = await begin_turn(context)
        task = await self._load_task()  # again: the turn's message may have changed the task's execution
        self._trace.use(task)
        return dataclasses.replace(context, task=task), turn

    async def _load_task(self) -> Task:
        task = await db.retry_while_unavailable(lambda: store.get(self._services.pool, self._claim.task_id))
        if task is None:
            raise ClaimLost
        return task

    async def _work_alone(self, context: AttemptContext, started: Container, handoff: Turn | None) -> None:
        """Let the agent work until something ends the attempt. `handoff`: the turn that handed the work over to it."""
        session, checkpointer = started.session, started.checkpointer
        used_seconds = _used_micro_seconds(context.task, handoff) / 1_000_000
        try:
            await self._outcome.race(
                session.work(await self._first_prompt(context.task, handoff, started)),
                time_limit.enforce(context, session, used_seconds),
                self._steering.run(session.steer),
                checkpointer.save_periodically(session.is_begun),
                provider_outage.watch(context, session.patience, session, checkpointer),
                budget_pause.watch(context, session, checkpointer),
            )
        except Ended as ended:
            if ended.ending.reason is EndReason.DRAINED and session.is_begun.is_set():
                # Another runner's attempt starts from this checkpoint, if it can be saved in time.
                with contextlib.suppress(CheckpointFailed, TimeoutError):
                    async with asyncio.timeout(DRAIN_SAVE_SECONDS):
                        await checkpointer.save_for_next_container()
            raise

    async def _first_prompt(self, task: Task, handoff: Turn | None, started: Container) -> str:
        """The first prompt of an agent that works alone: its task, or why it continues with it."""
        text = await self._first_text(task, handoff)
        if handoff is not None and started.layout.is_new and task.instructions:  # no turn before it was saved
            return first_turn_prompt(task.instructions, text)
        if not started.layout.has_lost_context:
            return text
        started.layout.has_lost_context = False
        return context_lost_prompt(task.instructions, task.execution.output_policy, text)

    async def _first_text(self, task: Task, handoff: Turn | None) -> str:
        if handoff is not None and not task.is_mid_turn:
            text = handoff_prompt(handoff.content, task.execution.output_policy)
            return text if handoff.attempt_number == 1 else f"{text}\n\n{INTERRUPTED}"
        await self._steering.start_over()
        if task.wake_kind is not None and task.is_mid_turn:
            messages = await self._steering.take_all()
            return woken_prompt(task.wake_kind, task.hibernation_message or "", messages)
        if task.is_mid_turn:
            return RESUMED
        return prompt(task.instructions, task.execution.output_policy)


def _used_micro_seconds(task: Task, handoff: Turn | None) -> int:
    """The container time that earlier attempts used. After a handoff, only that since the handoff's turn began."""
    if handoff is None:
        return task.container_micro_seconds
    return max(0, task.container_micro_seconds - task.turn_base_micro_seconds)
