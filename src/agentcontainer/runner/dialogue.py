"""Runs the turns of a conversation in one container, and waits for the user between them.

A turn ends with a checkpoint, and one transaction commits both its reply and the checkpoint. A reply that the user has
seen is therefore never lost with the container.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import NoReturn

from agentcontainer import db
from agentcontainer.domain.checkpoints.model import Checkpoint
from agentcontainer.domain.conversations import turns
from agentcontainer.domain.conversations.model import Turn
from agentcontainer.domain.files import store as files
from agentcontainer.domain.tasks import queue
from agentcontainer.domain.tasks import store as tasks
from agentcontainer.domain.tasks.state import MEANING, EndReason
from agentcontainer.ids import new_id
from agentcontainer.runner import time_limit
from agentcontainer.runner.agent.prompts import INTERRUPTED, first_turn_prompt, turn_lost_prompt, turn_prompt
from agentcontainer.runner.agent.session import Reply, Session
from agentcontainer.runner.container import Container
from agentcontainer.runner.context import AttemptContext
from agentcontainer.runner.ending import ClaimLost, Ending
from agentcontainer.runner.interruption import Interruption
from agentcontainer.runner.slot import Slot
from agentcontainer.runner.workspace import folders
from agentcontainer.runner.workspace.checkpoint import CheckpointFailed, HostCannotSave
from agentcontainer.telemetry import metrics


class _TimeLimitReached(Exception):
    """The turn reached its hard time limit."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.message)
        self.ending = ending


async def begin_turn(context: AttemptContext) -> Turn:
    """Begin the conversation's next turn, or repeat the interrupted one.

    Raises:
        ClaimLost: the claim is lost.
    """
    turn = await _begin_due_turn(context)
    if turn is None:
        raise ClaimLost
    return turn


async def _begin_due_turn(context: AttemptContext) -> Turn | None:
    """As `begin_turn`. None: the claim is lost, or the conversation still waits for a message."""
    event_id = new_id("evt")
    turn = await db.retry_while_unavailable(
        lambda: turns.begin(context.services.pool, context.claim, event_id)
    )
    if turn is not None:
        context.mode.begin_turn(turn)
        context.trace.begin(context.task, turn)
    return turn


class Dialogue:
    """The turns of one container in which the agent talks with the user. `message_arrived` is set for each message."""

    def __init__(
        self, context: AttemptContext, container: Container, slot: Slot, message_arrived: asyncio.Event
    ) -> None:
        self._context = context
        self._container = container
        self._slot = slot
        self._message_arrived = message_arrived
        self._turn_began_at = time.monotonic()

    async def run(self, turn: Turn) -> Turn | None:
        """Let the agent answer this turn and those after it. Returns the turn that hands the work over to the agent, or
        None if the conversation gives up this container. It does so after a turn that reached its time limit or whose
        workspace cannot be saved. The next turn then starts in another container, from the checkpoint before.

        Raises:
            Ended: the attempt ended. ClaimLost: the claim is lost.
            InputUnavailable, DiskFull: the files of a message cannot be placed.
        """
        race = self._context.outcome.race
        while not turn.is_handoff:
            self._turn_began_at = time.monotonic()
            prompt = await race(self._prompt(turn))
            session = self._container.session
            interruption = Interruption(self._context, turn.number, self._message_arrived)
            try:
                reply = await race(
                    session.answer(prompt, interruption.is_wanted),
                    self._enforce_time_limit(session),
                    interruption.watch(session.abort),
                )
            except _TimeLimitReached as reached:
                await race(self._stop_turn(turn, reached.ending))
                return None
            match await race(self._end(turn, reply)):
                case "turn":
                    turn = await begin_turn(self._context)
                case "idle":
                    next_turn = await self._next_turn(turn)
                    if next_turn is None:
                        return None
                    self._slot.resume()
                    turn = next_turn
                case "restart":
                    return None
        return turn

    async def _prompt(self, turn: Turn) -> str:
        """Place the files of the turn's message in the workspace; the prompt that names them."""
        pool, task, layout = self._context.services.pool, self._context.task, self._container.layout
        is_first, layout.is_new = layout.is_new, False
        names: list[str] = []
        if is_first:  # the files that came with the task are placed already
            inputs = await db.retry_while_unavailable(lambda: files.list_inputs(pool, task.id))
            names = folders.distinct_names([file.filename for file in inputs])
        if turn.number > 1:
            message_files = await db.retry_while_unavailable(
                lambda: files.list_of_message(pool, turn.message_id)
            )
            names += await layout.add_files(message_files, self._container.sandbox.host_uid)
        if is_first and task.instructions:
            text = first_turn_prompt(task.instructions, turn.content, names)
        else:
            text = turn_prompt(turn.content, names)
        if layout.has_lost_context:
            layout.has_lost_context = False
            text = turn_lost_prompt(task.instructions, text)
        return text if turn.attempt_number == 1 else f"{text}\n\n{INTERRUPTED}"

    async def _enforce_time_limit(self, session: Session) -> NoReturn:
        """Raise _TimeLimitReached at the turn's hard limit: it ends the turn and not the attempt's task."""
        raise _TimeLimitReached(await time_limit.enforce(self._context, session))

    async def _stop_turn(self, turn: Turn, ending: Ending) -> None:
        """Fail the turn without saving its workspace, and give up this container, in which the agent still works.

        Raises:
            ClaimLost: the claim is lost.
        """
        await self._context.log.flush()
        await self._commit(turn, None, Reply("", ending), may_go_on=False)
        await self._leave_to_other_container(turn.number + 1)

    async def _end(self, turn: Turn, reply: Reply) -> turns.Next:
        """Save the workspace, then commit the reply; returns what comes next. If the workspace cannot be saved, the
        turn fails.

        Raises:
            ClaimLost: the claim is lost. HostCannotSave: this host or the object store is at fault.
        """
        await self._context.log.flush()
        checkpointer = self._container.checkpointer
        try:
            checkpoint = (await checkpointer.save_with_retries()).checkpoint
        except HostCannotSave:
            raise
        except CheckpointFailed as error:
            await self._stop_turn(turn, Ending(EndReason.CHECKPOINT_FAILED, str(error)))
            return "restart"
        following = await self._commit(turn, checkpoint, reply, may_go_on=not await self._must_yield())
        await checkpointer.delete_superseded()
        return following

    async def _must_yield(self) -> bool:
        """Whether another account's task waits for this slot, and is before this conversation's next turn."""
        if not self._slot.is_work_waiting():
            return False
        services, account_id = self._context.services, self._context.task.account_id
        region = services.settings.region or "any"
        return await db.retry_while_unavailable(
            lambda: queue.is_another_first(services.pool, region, account_id)
        )

    async def _commit(
        self, turn: Turn, checkpoint: Checkpoint | None, reply: Reply, *, may_go_on: bool
    ) -> turns.Next:
        """Commit the end of the turn, with its reply or failure; returns what comes next.

        Raises:
            ClaimLost: the claim is lost.
        """
        context, services, failure = self._context, self._context.services, reply.failure

        async def end() -> turns.Next | None:
            return await turns.end(
                services.pool, services.settings, context.claim, turn,
                checkpoint_id=checkpoint.id if checkpoint else None,
                reply=context.log.redact(db.storable(reply.text)), file_ids=context.mode.shared_file_ids,
                failure=None if failure is None else turns.Failure(
                    failure.reason.value, failure.message or "", failure.budget
                ),
                may_go_on=may_go_on,
            )  # fmt: skip

        following = await db.retry_while_unavailable(end)
        if following is None:
            raise ClaimLost
        context.trace.end_turn(None if failure is None else MEANING[failure.reason].error_code)
        status = "completed" if failure is None else "failed"
        metrics.TURN_SECONDS.labels(status).observe(time.monotonic() - self._turn_began_at)
        return following

    async def _next_turn(self, turn: Turn) -> Turn | None:
        """Wait for the user's next message, and begin its turn. Returns None if the conversation gives up this
        container because it was idle for too long, its slot is needed, Pi exited, or the attempt ends.

        Raises:
            ClaimLost: the claim is lost.
        """
        pool, claim, outcome = self._context.services.pool, self._context.claim, self._context.outcome
        self._context.mode.end_turn()
        exited = asyncio.create_task(self._container.sandbox.wait())
        evicted = asyncio.create_task(self._slot.evicted())
        self._slot.begin_idle()
        try:
            async with asyncio.timeout(self._context.services.settings.warm_seconds):
                while await self._is_message_first([exited, evicted, *outcome.interrupts]):
                    if (next_turn := await _begin_due_turn(self._context)) is not None:
                        return next_turn
        except TimeoutError:
            pass
        finally:
            self._slot.end_idle()
            has_exited = exited.done()
            for waiting in (exited, evicted):
                waiting.cancel()
            await asyncio.gather(exited, evicted, return_exceptions=True)
        outcome.check_claim()
        if has_exited:
            await self._leave_to_other_container(turn.number + 1)
            return None
        if await db.retry_while_unavailable(lambda: tasks.evict(pool, claim)):
            return None
        return await begin_turn(self._context)  # a message came before the container could be given up

    async def _is_message_first(self, others: Sequence[asyncio.Future[object]]) -> bool:
        """Wait until a message may have arrived, or one of `others` is done. Returns whether none of these is done."""
        arriving = asyncio.create_task(self._message_arrived.wait())
        try:
            await asyncio.wait([arriving, *others], return_when=asyncio.FIRST_COMPLETED)
            self._message_arrived.clear()
            return not any(other.done() for other in others)
        finally:
            arriving.cancel()

    async def _leave_to_other_container(self, turn_number: int) -> None:
        """Give up this container. If the next message has arrived already, requeue the task for another container."""
        pool, claim = self._context.services.pool, self._context.claim
        if not await db.retry_while_unavailable(lambda: tasks.evict(pool, claim)):
            await db.retry_while_unavailable(lambda: turns.restart(pool, claim, turn_number))
