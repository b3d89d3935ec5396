"""Decides how an attempt ends: the first ending wins, and only that one is committed.

Endings come from the agent's commands, from the agent process, from watchers of limits, from the supervisor, and from
failures. If the claim is lost, nothing is committed.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from agentcontainer import crash, db
from agentcontainer.domain.hibernation import service as hibernation
from agentcontainer.domain.tasks import service, store
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.domain.tasks.state import MEANING, EndReason
from agentcontainer.errors import SandboxError
from agentcontainer.images.faults import ImageFault
from agentcontainer.runner.ending import ClaimLost, Ended, Ending
from agentcontainer.runner.log import EventLog
from agentcontainer.runner.services import Services
from agentcontainer.runner.trace import AttemptTrace
from agentcontainer.runner.workspace.checkpoint import CheckpointCorrupt
from agentcontainer.runner.workspace.inputs import InputUnavailable
from agentcontainer.sandbox.bubblewrap import Sandbox
from agentcontainer.sandbox.volume import DiskFull

CANCEL_AGAIN_SECONDS = 10.0  # longer than a cancelled task may take to release what it holds
T = TypeVar("T")
Watcher = Coroutine[Any, Any, Ending]


class Outcome:
    """How one attempt ends."""

    def __init__(self, services: Services, claim: Claim, log: EventLog, trace: AttemptTrace) -> None:
        loop = asyncio.get_running_loop()
        self._services = services
        self._claim = claim
        self._log = log
        self._trace = trace
        self._watchers: list[Callable[[], Watcher]] = [self._write_log]
        self._before_commit: list[Callable[[Ending], None]] = []
        self._first: asyncio.Future[Ending] = loop.create_future()
        self._committed: asyncio.Future[Ending | None] = loop.create_future()
        self._claim_lost: asyncio.Future[None] = loop.create_future()
        self.is_in_doubt = False
        """Whether a COMMIT of the ending was sent: it may have succeeded although its reply was lost."""
        self._destroying: asyncio.Task[None] | None = None  # referenced, so that it is not garbage-collected

    def watch(self, watcher: Callable[[], Watcher]) -> None:
        """Run this watcher during every `race` from now on. If it returns an ending, the attempt ends with it."""
        self._watchers.append(watcher)

    def before_commit(self, act: Callable[[Ending], None]) -> None:
        """Call `act` with the ending before it is committed. The events that it logs are the attempt's last."""
        self._before_commit.append(act)

    def settle(self, ending: Ending) -> bool:
        """Make this the attempt's ending; False if there is one already."""
        if self._first.done():
            return False
        self._first.set_result(ending)
        return True

    async def end(self, ending: Ending) -> bool:
        """Make this the attempt's ending and wait until it is committed; False if that did not happen."""
        return self.settle(ending) and await self._committed is ending

    def lose_claim(self) -> None:
        """Stop the attempt without writing anything to the database."""
        if not self._claim_lost.done():
            self._claim_lost.set_result(None)

    def destroy_when_claim_lost(self, sandbox: Sandbox) -> None:
        """Destroy the sandbox as soon as the claim is lost, because another runner may soon start the task. The
        attempt's own clean-up may have to wait for the database first."""

        def on_claim_lost(_: object) -> None:
            self._destroying = asyncio.create_task(_destroy(sandbox))

        self._claim_lost.add_done_callback(on_claim_lost)

    @property
    def interrupts(self) -> Sequence[asyncio.Future[Any]]:
        """Futures, of which at least one is done once the attempt has an ending or has lost its claim."""
        return self._claim_lost, self._first

    def check_claim(self) -> None:
        """Raise ClaimLost if the claim is lost."""
        if self._claim_lost.done():
            raise ClaimLost

    async def race(self, work: Coroutine[Any, Any, T], *watchers: Watcher) -> T:
        """Run `work` until it returns or an ending comes first.

        Raises:
            Ended: there is an ending. ClaimLost: the claim is lost. Any exception of `work` or of a watcher.
        """
        working = asyncio.create_task(work)
        watching = [asyncio.create_task(watcher) for watcher in watchers]
        watching += [asyncio.create_task(start()) for start in self._watchers]
        try:
            done, _ = await asyncio.wait(
                [*self.interrupts, working, *watching], return_when=asyncio.FIRST_COMPLETED
            )
            self.check_claim()
            for watcher in watching:
                if watcher in done:
                    self.settle(watcher.result())
            if working in done:
                try:
                    return working.result()
                except Ended as ended:
                    self.settle(ended.ending)
            raise Ended(await self._first)
        finally:
            await _stop([working, *watching])

    async def commit(self, ending: Ending) -> None:
        """Write this ending to the database, after every event logged before it.

        Raises:
            ClaimLost: the task no longer belongs to this attempt.
        """
        self.settle(ending)  # an ending that comes later makes `end` return False
        for act in self._before_commit:
            act(ending)
        await self._log.flush()
        committing = asyncio.create_task(db.retry_while_unavailable(lambda: self._write(ending)))
        await asyncio.wait([committing, self._claim_lost], return_when=asyncio.FIRST_COMPLETED)
        if not committing.done():  # the database is unreachable, and another runner may start this task soon
            committing.cancel()
            await asyncio.gather(committing, return_exceptions=True)
            raise ClaimLost
        if not committing.result():
            raise ClaimLost
        self._trace.end(ending)
        crash.reach("settled")
        if not self._committed.done():
            self._committed.set_result(ending)

    def close(self) -> None:
        """Let calls of `end` that still wait return False, because nothing will be committed any more."""
        if not self._committed.done():
            self._committed.set_result(None)

    async def _write(self, ending: Ending) -> bool:
        """Commit the ending; False if the claim is lost. True also if an earlier call committed it, whose reply was
        lost."""
        was_in_doubt, self.is_in_doubt = self.is_in_doubt, True
        if await self._write_now(ending):
            return True
        task = await store.get(self._services.pool, self._claim.task_id) if was_in_doubt else None
        return (
            task is not None
            and task.attempt == self._claim.attempt
            and task.status is MEANING[ending.reason].status
        )

    async def _write_now(self, ending: Ending) -> bool:
        async with db.transaction(self._services.pool) as connection:
            if ending.hibernation is not None:
                message = self._log.clean(ending.hibernation.message)
                return await hibernation.begin(
                    connection,
                    self._services.settings,
                    self._claim,
                    dataclasses.replace(ending.hibernation, message=message),
                )
            message = None if ending.message is None else self._log.clean(ending.message)
            is_ended = await service.end(
                connection, self._services.settings, self._claim.task_id, ending.reason,
                attempt=self._claim.attempt, message=message, outputs=ending.outputs,
            )  # fmt: skip
            if not is_ended:
                # A turn may have been committed just before: then only its container is given up.
                await store.evict(connection, self._claim)
            return is_ended

    async def _write_log(self) -> Ending:
        """Write the log as events come, until it is full."""
        await self._log.run()
        limit = self._services.event_limit
        return Ending(
            EndReason.EVENT_LOG_FULL,
            f"The task has more than {limit.count} events, or more than {limit.bytes} bytes of them.",
        )


def ending_of(error: Exception) -> Ending | None:
    """The ending that an attempt's exception leads to; None: neither the task nor its inputs caused the exception."""
    match error:
        case Ended():
            return error.ending
        case InputUnavailable():
            return Ending(EndReason.INPUT_UNAVAILABLE, str(error))
        case DiskFull():
            return Ending(EndReason.DISK_FULL, str(error))
        case ImageFault():
            return Ending(EndReason.IMAGE_UNAVAILABLE, f"The agent's image {error}.")
        case CheckpointCorrupt():
            return Ending(EndReason.CHECKPOINT_CORRUPT, str(error))
        case _:
            return None


async def _stop(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel these tasks and wait until all have ended.

    asyncpg can swallow a CancelledError when its connection drops, so cancel again every `CANCEL_AGAIN_SECONDS`.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=CANCEL_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)


async def _destroy(sandbox: Sandbox) -> None:
    with contextlib.suppress(SandboxError):  # closing the container destroys it again, and reports the error
        await sandbox.destroy()
