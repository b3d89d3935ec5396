"""A conversation's turns in one container: how each is opened and closed, and the wait between them.

A turn is closed by a checkpoint, and its reply is committed together with it: what the user has been answered is
never lost with the container.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.conversations import turns
from agentcontainer.domain.conversations.model import Turn
from agentcontainer.domain.files import service as files
from agentcontainer.domain.tasks.model import Checkpoint, Claim, Output, Task
from agentcontainer.domain.tasks.state import EndReason
from agentcontainer.ids import new_id
from agentcontainer.runner.agent.prompts import INTERRUPTED, first_turn_prompt, handoff_prompt, turn_prompt
from agentcontainer.runner.agent.session import Reply, Session
from agentcontainer.runner.log import ClaimLost, EventLog
from agentcontainer.runner.services import Services
from agentcontainer.runner.slot import Slot
from agentcontainer.runner.workspace import folders
from agentcontainer.runner.workspace.checkpoint import CheckpointFailed
from agentcontainer.runner.workspace.checkpointer import Checkpointer
from agentcontainer.runner.workspace.layout import Layout
from agentcontainer.runner.workspace.outputs import Refused
from agentcontainer.sandbox.bubblewrap import Sandbox


class Dialogue:
    """One container's part of a conversation."""

    def __init__(
        self,
        services: Services,
        claim: Claim,
        task: Task,
        session: Session,
        sandbox: Sandbox,
        layout: Layout,
        checkpointer: Checkpointer,
        log: EventLog,
        slot: Slot,
    ) -> None:
        self.is_handed_off = False
        self._services = services
        self._claim = claim
        self._task = task
        self._session = session
        self._sandbox = sandbox
        self._layout = layout
        self._checkpointer = checkpointer
        self._log = log
        self._slot = slot
        self._turn: Turn | None = None
        self._shared: list[str] = []  # in this turn
        self._news = asyncio.Event()

    @property
    def labels(self) -> dict[str, Any]:
        """Of the events of the turn that is at work; none between turns."""
        return {} if self._turn is None else self._turn.event

    def wake(self) -> None:
        """There may be a message."""
        self._news.set()

    async def open(self, turn: Turn) -> str:
        """Place the message's files; what Pi is to be told."""
        self._turn, self._shared = turn, []
        self.is_handed_off = turn.is_handoff
        self._session.labels = turn.event
        names: Sequence[str]
        if turn.number == 1:  # they came with the task
            inputs = await db.retry_while_unavailable(
                lambda: files.list_inputs(self._services.pool, self._task.id)
            )
            names = folders.distinct_names([file.filename for file in inputs])
        else:
            came = await db.retry_while_unavailable(
                lambda: files.list_of_message(self._services.pool, turn.message_id)
            )
            names = await self._layout.bring(came, self._sandbox.host_uid)
        text = self._prompt(turn, names)
        return text if turn.attempt_number == 1 else f"{text}\n\n{INTERRUPTED}"

    async def close(self, turn: Turn, reply: Reply) -> turns.Next:
        """Save the state, commit the reply; what comes next. A state that cannot be saved fails the turn, and the
        conversation goes on from the one before.

        Raises:
            ClaimLost: the fence moved.
        """
        services, pool = self._services, self._services.pool
        await self._log.flush()
        checkpoint: Checkpoint | None = None
        failure = reply.failure
        try:
            checkpoint = (await self._checkpointer.save()).checkpoint
        except CheckpointFailed as error:
            failure = (EndReason.CHECKPOINT_FAILED.value, str(error))
        is_fit = (
            checkpoint is not None and not self._slot.is_wanted()
        )  # to go on: others wait for a place too

        async def end() -> turns.Next | None:
            return await turns.end(
                pool, services.settings, self._claim, turn, checkpoint_id=checkpoint.id if checkpoint else None,
                reply=self._log.scrub(db.storable(reply.text)), file_ids=self._shared, failure=failure,
                may_go_on=is_fit,
            )  # fmt: skip

        following = await db.retry_while_unavailable(end)
        if following is None:
            raise ClaimLost
        if checkpoint is None:
            return await self._leave(turn.number + 1)
        await self._checkpointer.drop_others()
        return following

    async def _leave(self, number: int) -> turns.Next:
        """This container is no good any more: the next turn, if it has come already, begins in another."""
        if not await db.retry_while_unavailable(lambda: turns.evict(self._services.pool, self._claim)):
            await db.retry_while_unavailable(lambda: turns.restart(self._services.pool, self._claim, number))
        return "restart"

    def check_room(self, count: int) -> None:
        """Raises `Refused` when so many files more are too many for a turn."""
        limit = self._services.settings.max_output_files
        if len(self._shared) + count > limit:
            raise Refused(f"At most {limit} files can be shared in a turn. Pack them into an archive.")

    async def share(self, outputs: list[Output]) -> None:
        """Files for the user, downloadable from now on.

        Raises:
            Refused: no turn is running.
        """
        turn = self._turn
        if turn is None or not await db.retry_while_unavailable(
            lambda: turns.share(self._services.pool, self._claim, turn, outputs)
        ):
            raise Refused("No turn is running: share files while you work on a message.")
        self._shared += [output.id for output in outputs]

    async def next_turn(self, claim_lost: asyncio.Future[None], ending: asyncio.Future[Any]) -> Turn | None:
        """Wait warm for the user's next message; None: the container is put away instead, because time was up, its
        place is needed, Pi ended, or the attempt does.

        Raises:
            ClaimLost: the fence moved.
        """
        pool, claim = self._services.pool, self._claim
        number = self._turn.number + 1 if self._turn is not None else 0
        self._turn = None
        gone = asyncio.create_task(self._sandbox.wait())
        needed = asyncio.create_task(self._slot.evicted())
        self._slot.begin_idle()
        try:
            async with asyncio.timeout(self._services.settings.warm_seconds):
                while await self._has_news([gone, needed, claim_lost, ending]):
                    if (turn := await begin_turn(pool, claim)) is not None:
                        return turn
        except TimeoutError:
            pass
        finally:
            self._slot.end_idle()
            is_gone = gone.done()
            for waiting in (gone, needed):
                waiting.cancel()
            await asyncio.gather(gone, needed, return_exceptions=True)
        if claim_lost.done():
            raise ClaimLost
        if is_gone:
            await self._leave(number)
            return None
        if await db.retry_while_unavailable(lambda: turns.evict(pool, claim)):
            return None
        turn = await begin_turn(pool, claim)  # a message came first
        if turn is None:
            raise ClaimLost
        return turn

    async def _has_news(self, ends: Sequence[asyncio.Future[Any]]) -> bool:
        """Whether there may be a message, rather than one of `ends`."""
        news = asyncio.create_task(self._news.wait())
        try:
            await asyncio.wait([news, *ends], return_when=asyncio.FIRST_COMPLETED)
            self._news.clear()
            return not any(end.done() for end in ends)
        finally:
            news.cancel()

    def _prompt(self, turn: Turn, names: Sequence[str]) -> str:
        if turn.is_handoff:
            return handoff_prompt(turn.content, self._task.execution.output_policy)
        if turn.number == 1 and self._task.instructions:
            return first_turn_prompt(self._task.instructions, turn.content, names)
        return turn_prompt(turn.content, names)


async def begin_turn(pool: Pool, claim: Claim) -> Turn | None:
    """The turn that is due; None: there is none, or the claim is lost."""
    event_id = new_id("evt")
    return await db.retry_while_unavailable(lambda: turns.begin(pool, claim, event_id))
