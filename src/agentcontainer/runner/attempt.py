"""The life of one attempt, read top to bottom. READ THIS FIRST.

A claim is held; the workspace is laid out, the gateway and control sockets listen, the sandbox starts with Pi in it,
and Pi works: on the whole task, or on one turn of a conversation after the other. The first thing that ends the
attempt wins: an accepted `finish`, Pi's own end, the time limit, or the supervisor. `tasks.service.end` gives that
end its meaning, and whatever happened, the sandbox, the sockets and the folder are gone when `run` returns. A
conversation that waits for its user has no end to be told: its container is put away. A lost claim writes nothing.
"""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from agentcontainer import crash, db
from agentcontainer.domain.conversations.model import Turn
from agentcontainer.domain.hibernation import service as hibernation
from agentcontainer.domain.hibernation import wake_links
from agentcontainer.domain.tasks import events, service, store
from agentcontainer.domain.tasks.model import Claim, Hibernation, Output, Task
from agentcontainer.domain.tasks.output_policy import Declared
from agentcontainer.domain.tasks.state import EndReason
from agentcontainer.errors import SettingsError
from agentcontainer.images import starting as images
from agentcontainer.images.faults import ImageFault
from agentcontainer.images.starting import Image
from agentcontainer.printable import without_controls
from agentcontainer.redaction import encodings_of
from agentcontainer.runner import container
from agentcontainer.runner.agent.model_access import ModelAccess, provider_key
from agentcontainer.runner.agent.prompts import RESUMED, prompt, woken_prompt
from agentcontainer.runner.agent.session import Ending, Session
from agentcontainer.runner.agent.steering import Steering
from agentcontainer.runner.control import Control, Finish, Hibernate, unfit
from agentcontainer.runner.dialogue import Dialogue, begin_turn
from agentcontainer.runner.log import ClaimLost, EventLog
from agentcontainer.runner.resource_limits import OUT_OF_MEMORY, ResourceLimits
from agentcontainer.runner.services import Services
from agentcontainer.runner.slot import Slot
from agentcontainer.runner.workspace import folders
from agentcontainer.runner.workspace.checkpoint import CheckpointCorrupt, CheckpointFailed
from agentcontainer.runner.workspace.checkpointer import Checkpointer
from agentcontainer.runner.workspace.disk_usage import DiskWatch
from agentcontainer.runner.workspace.inputs import InputUnavailable
from agentcontainer.runner.workspace.layout import Layout
from agentcontainer.runner.workspace.outputs import collect
from agentcontainer.runner.workspace.partial_outputs import PartialOutputs
from agentcontainer.sandbox import volume
from agentcontainer.sandbox.bubblewrap import Sandbox
from agentcontainer.sandbox.volume import DiskFull

logger = logging.getLogger(__name__)

MAX_EVENT_CHARACTERS = 8000
DRAIN_SAVE_SECONDS = 20.0
CANCEL_AGAIN_SECONDS = 10.0  # longer than what is cancelled may take to tidy up
T = TypeVar("T")


class Attempt:
    """One attempt, from its claim to its end."""

    def __init__(self, services: Services, claim: Claim, slot: Slot) -> None:
        self.is_platforms_fault = False
        self._slot = slot
        self._services = services
        self._claim = claim
        self._name = f"{claim.task_id}-{claim.attempt}"
        self._root = services.folder / self._name
        self._log = EventLog(services.pool, claim, services.event_limit)
        self._steering = Steering(services.pool, claim)
        self._dialogue: Dialogue | None = None  # with a user; None before the container is up
        self._checkpointer: Checkpointer | None = None
        self._sandbox: Sandbox | None = None
        self._disk_watch: DiskWatch | None = None  # where nothing else bounds the workspace
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._is_in_time: asyncio.Future[bool] = asyncio.get_running_loop().create_future()  # for a `finish`
        self._claim_lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def stop(self, reason: EndReason, message: str | None = None) -> None:
        """End for this reason, unless something else ended it first."""
        self._settle(Ending(reason, message))

    def drop(self) -> None:
        """The claim is lost: end without a word to the database."""
        if not self._claim_lost.done():
            self._claim_lost.set_result(None)

    def wake(self) -> None:
        """There may be a message for this task."""
        self._steering.look()
        if self._dialogue is not None:
            self._dialogue.wake()

    async def run(self) -> None:
        """Live through the attempt. Raises only when cancelled; what is then left, the next runner sweeps."""
        try:
            async with contextlib.AsyncExitStack() as stack:
                try:
                    ending = await self._live(stack)
                    if ending is not None:
                        await self._commit(ending)
                except ClaimLost:
                    logger.info("%s: the claim is lost", self._name)
                except Exception:
                    self.is_platforms_fault = True
                    logger.exception("%s: the platform failed", self._name)
                    await self._commit(
                        Ending(EndReason.PLATFORM_FAULT, "The platform could not run the container.")
                    )
                finally:
                    if not self._is_in_time.done():
                        self._is_in_time.set_result(False)
        except ClaimLost:
            logger.info("%s: the claim is lost", self._name)
        except Exception:
            # The database was away too long, or the clean-up failed: the reconciler and the sweep take over.
            logger.exception("%s: left to the reconciler", self._name)

    async def _live(self, stack: contextlib.AsyncExitStack) -> Ending | None:
        """Everything from the claim to what ends the attempt; None: nothing does, its container is put away. What
        was opened is closed by `stack`."""
        services, claim = self._services, self._claim
        task = await self._task()
        turn = None
        if task.mode == "conversation":
            turn = await self._begin_turn()
            task = await self._task()  # the turn's message may have changed what it runs with
        try:
            key = await db.retry_while_unavailable(lambda: provider_key(services, task))
        except SettingsError as error:
            return Ending(EndReason.PROVIDER_KEY_MISSING, str(error))
        if key is None:
            return Ending(EndReason.PROVIDER_KEY_MISSING, _key_missing(task.execution.provider))
        self._log.begin(
            await db.retry_while_unavailable(lambda: events.volume(services.pool, task.id)), encodings_of(key)
        )
        stack.push_async_callback(folders.remove, self._root)
        image = await self._unless_unavailable(self._image(stack, task))
        if isinstance(image, Ending):
            return image
        layout = Layout(services, task, self._name)
        if (lease := await services.sandboxes.lease()) is not None:
            stack.callback(lease.release)
        if (ending := await self._unless_unavailable(layout.run(lease))) is not None:
            return ending
        sockets = stack.enter_context(folders.socket_folder(self._root))
        models = ModelAccess(services.settings, services.pool, services.client, claim, task, key)
        subject = task.instructions or (turn.content if turn is not None else "")
        gateway = await models.open(stack, sockets / "gateway.sock", subject)
        await self._open_control(stack, task, sockets)
        stack.push_async_callback(PartialOutputs(services, claim, self._root).keep)
        try:
            spec = container.spec(services, self._root, task, image, self._log_refused)
            sandbox = await images.start(services.sandboxes, spec, container.argv(task), lease)
        except ImageFault as fault:
            return _without_image(fault)
        stack.push_async_callback(sandbox.destroy)
        self._sandbox = sandbox
        if not await db.retry_while_unavailable(lambda: service.start_container(services.pool, claim)):
            raise ClaimLost
        crash.reach("started")
        resource_limits = ResourceLimits(
            sandbox, self._root / "workspace", services.limits, services.volumes.room
        )
        if not volume.is_capped(resource_limits.workspace):
            self._disk_watch = DiskWatch(
                services.sandboxes, services.limits, services.volumes.room, services.folder, self._root, lease
            )
        session = Session(task, sandbox, gateway, self._log, self._steering.delivered, resource_limits)
        stack.push_async_callback(session.close)
        self._checkpointer = Checkpointer(services, claim, layout, sandbox)
        if turn is None:
            used = task.container_micro_seconds / 1_000_000
            return await self._work(session, task, await self._first_prompt(task), used)
        return await self._converse(session, sandbox, task, layout, turn)

    async def _first_prompt(self, task: Task) -> str:
        """What the agent of an autonomous task is told first: the task, or why it goes on."""
        await self._steering.start_over()
        if task.wake_kind is not None:
            return woken_prompt(
                task.wake_kind, task.hibernation_message or "", await self._steering.take_all()
            )
        if task.is_mid_turn:
            return RESUMED
        return prompt(task.instructions, task.execution.output_policy)

    async def _work(self, session: Session, task: Task, first_prompt: str, used: float) -> Ending:
        """The agent works alone, until something ends the attempt."""
        assert self._checkpointer is not None
        ending = await self._until(
            session.work(first_prompt), self._limit(session, task, used), self._steering.run(session.steer),
            self._checkpointer.keep_now_and_then(session.is_begun),
        )  # fmt: skip
        if ending.reason is EndReason.DRAINED and session.is_begun.is_set():
            # It goes on elsewhere from here, if it can be saved in time.
            with contextlib.suppress(CheckpointFailed, TimeoutError):
                async with asyncio.timeout(DRAIN_SAVE_SECONDS):
                    await self._checkpointer.keep()
        return ending

    async def _converse(
        self, session: Session, sandbox: Sandbox, task: Task, layout: Layout, turn: Turn
    ) -> Ending | None:
        """Turn after turn, for as long as the container is kept."""
        assert self._checkpointer is not None
        self._dialogue = dialogue = Dialogue(
            self._services,
            self._claim,
            task,
            session,
            sandbox,
            layout,
            self._checkpointer,
            self._log,
            self._slot,
        )
        while True:
            first_prompt = await self._unless_unavailable(dialogue.open(turn))
            if isinstance(first_prompt, Ending):
                return first_prompt
            if turn.is_handoff:
                if task.is_mid_turn:
                    first_prompt = await self._first_prompt(task)
                used = (task.container_micro_seconds - task.turn_base_micro_seconds) / 1_000_000
                return await self._work(session, task, first_prompt, max(0.0, used))
            outcome = await self._until(session.answer(first_prompt), self._limit(session, task, used=0))
            if isinstance(outcome, Ending):
                return outcome
            match await self._until(dialogue.close(turn, outcome)):
                case "turn":
                    turn = await self._begin_turn()
                case "idle":
                    awaited = await dialogue.next_turn(self._claim_lost, self._ending)
                    if awaited is None:
                        return None
                    turn = awaited
                case "restart":
                    return None
                case Ending() as ending:
                    return ending

    async def _begin_turn(self) -> Turn:
        turn = await begin_turn(self._services.pool, self._claim)
        if turn is None:
            raise ClaimLost
        return turn

    async def _until(
        self, work: Coroutine[Any, Any, T | Ending], *beside: Coroutine[Any, Any, Ending]
    ) -> T | Ending:
        """What `work` comes to, or what ended the attempt before."""
        working = asyncio.create_task(work)
        always = [self._write_log(), self._offline()]
        if self._disk_watch is not None:
            always.append(self._watch_disk(self._disk_watch))
        others = [asyncio.create_task(source) for source in (*beside, *always)]
        try:
            waiting = [self._claim_lost, self._ending, working, *others]
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if self._claim_lost.done():
                raise ClaimLost
            for other in others:
                if other in done:
                    self._settle(other.result())
            if working in done:
                outcome = working.result()
                if not isinstance(outcome, Ending):
                    return outcome
                self._settle(outcome)
            return await self._ending
        finally:
            await _ended([working, *others])

    async def _write_log(self) -> Ending:
        await self._log.run()
        most = self._services.event_limit
        return Ending(
            EndReason.EVENT_LOG_FULL,
            f"The task has more than {most.count} events, or more than {most.bytes} bytes of them.",
        )

    async def _watch_disk(self, watch: DiskWatch) -> Ending:
        return Ending(EndReason.DISK_FULL, await watch.run())

    async def _limit(self, session: Session, task: Task, used: float) -> Ending:
        """The soft and the hard time limit of container time, of which so many seconds are `used` already. A task's
        attempts have one limit together, a conversation's turns one each."""
        soft, hard = task.execution.soft_finish_after_seconds, task.execution.max_runtime_seconds
        if soft is not None:
            await asyncio.sleep(max(0.0, soft - used))
            used = max(used, soft)
            is_conversation = unfit("finish", self._is_dialogue()) is not None
            await session.wrap_up(round(hard - used), is_conversation=is_conversation)
        await asyncio.sleep(max(0.0, hard - used))
        what = "turn" if self._is_dialogue() else "task"
        return Ending(
            EndReason.MAX_RUNTIME_EXCEEDED,
            f"The {what} reached its limit of {hard} seconds of container time.",
        )

    async def _offline(self) -> Ending:
        """A sandbox that has lost the internet access it was to have is no place to go on in."""
        if self._sandbox is None:
            await asyncio.Event().wait()
        elif await self._sandbox.network_ended():
            return Ending(EndReason.OUT_OF_MEMORY, OUT_OF_MEMORY)
        return Ending(EndReason.PLATFORM_FAULT, "The container's internet access broke.")

    async def _commit(self, ending: Ending) -> None:
        """Give the end its meaning in the database, after every event before it.

        Raises:
            ClaimLost: the task is no longer ours.
        """
        self._settle(ending)  # from here on a `finish` comes too late
        await self._log.flush()
        message = None if ending.message is None else self._log.scrub(_plain(ending.message))

        async def commit() -> bool:
            async with db.transaction(self._services.pool) as connection:
                if ending.hibernation is not None:
                    return await hibernation.begin(connection, self._claim, ending.hibernation)
                return await service.end(
                    connection, self._services.settings, self._claim.task_id, ending.reason,
                    attempt=self._claim.attempt, message=message, outputs=ending.outputs,
                )  # fmt: skip

        committing = asyncio.create_task(db.retry_while_unavailable(commit))
        await asyncio.wait([committing, self._claim_lost], return_when=asyncio.FIRST_COMPLETED)
        if not committing.done():  # the database is away, and others may soon start this task
            committing.cancel()
            await asyncio.gather(committing, return_exceptions=True)
            raise ClaimLost
        if not committing.result():
            raise ClaimLost
        crash.reach("settled")
        if not self._is_in_time.done():
            self._is_in_time.set_result(ending is self._ending.result())

    def _settle(self, ending: Ending) -> bool:
        """Make this the end; False when there is one already."""
        if self._ending.done():
            return False
        self._ending.set_result(ending)
        return True

    async def _unless_unavailable(self, preparing: Coroutine[Any, Any, T]) -> T | Ending:
        """What `preparing` comes to, which may take minutes, or what ends the attempt meanwhile."""
        try:
            return await self._until(preparing)
        except InputUnavailable as fault:
            return Ending(EndReason.INPUT_UNAVAILABLE, str(fault))
        except DiskFull as fault:
            return Ending(EndReason.DISK_FULL, str(fault))
        except ImageFault as fault:
            return _without_image(fault)
        except CheckpointCorrupt as fault:
            return Ending(EndReason.CHECKPOINT_CORRUPT, str(fault))

    async def _open_control(self, stack: contextlib.AsyncExitStack, task: Task, sockets: Path) -> None:
        settings, policy = self._services.settings, task.execution.output_policy

        async def take(cwd: str, declared: list[Declared]) -> list[Output]:
            crash.reach("finish_check")
            folder = self._root / "workspace"
            outputs = await collect(
                folder, cwd, declared, policy, self._services.blobs, task.id, settings.max_output_bytes,
                settings.sandbox_disk_bytes,
            )  # fmt: skip
            crash.reach("outputs_stored")
            return outputs

        async def share(cwd: str, declared: list[Declared]) -> list[Output]:
            assert self._dialogue is not None
            self._dialogue.check_room(len(declared))
            outputs = await take(cwd, declared)
            await self._dialogue.share(outputs)
            return outputs

        async def hibernate(asked: Hibernate) -> bool:
            assert self._checkpointer is not None
            saved = await self._checkpointer.save(is_limited=True)
            crash.reach("hibernate")
            message = self._log.scrub(_plain(asked.message))
            asleep = Hibernation(message, asked.until, saved.checkpoint.id)
            if not self._settle(Ending(EndReason.HIBERNATED, hibernation=asleep)):
                return False
            return await self._is_in_time

        async def wake_link() -> str | None:
            return await wake_links.create(self._services.pool, self._services.vault, self._claim)

        def refused(message: str) -> None:
            self._log.add("finish.rejected", {"message": message[:MAX_EVENT_CHARACTERS]} | self._labels())

        control = Control(
            policy=policy,
            max_files=settings.max_output_files,
            max_hibernation=timedelta(days=settings.max_hibernation_days),
            public_url=settings.public_url or "",
            collect=take,
            on_finish=self._finish,
            on_refusal=refused,
            share=share,
            refusal=lambda command: unfit(command, self._is_dialogue()),
            hibernate=hibernate,
            wake_link=wake_link,
        )
        await control.start(sockets / "control.sock")
        stack.push_async_callback(control.close)

    async def _finish(self, finish: Finish) -> bool:
        """An accepted `finish`: the agent hears of it once it is in the database."""
        reason = EndReason(finish.completion)
        if not self._settle(Ending(reason, finish.message, tuple(finish.outputs))):
            return False
        return await self._is_in_time

    def _is_dialogue(self) -> bool:
        return self._dialogue is not None and not self._dialogue.is_handed_off

    def _labels(self) -> dict[str, Any]:
        """Which turn of a conversation is at work."""
        return {} if self._dialogue is None else self._dialogue.labels

    async def _task(self) -> Task:
        task = await db.retry_while_unavailable(lambda: store.get(self._services.pool, self._claim.task_id))
        if task is None:
            raise ClaimLost
        return task

    def _log_refused(self, refused: dict[str, Any]) -> None:
        self._log.add("egress.refused", refused | self._labels())

    async def _image(self, stack: contextlib.AsyncExitStack, task: Task) -> Image | None:
        """The image that the agent names, for as long as the attempt lasts; None: it names none."""
        if task.container_image is None:
            return None
        return await stack.enter_async_context(self._services.images.use(task.container_image))


async def _ended(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel them until they have ended: one cancel may be lost where it meets a connection that breaks, and nothing
    that waits for an attempt would ever go on."""
    living = set(tasks)
    while living:
        for task in living:
            task.cancel()
        _, living = await asyncio.wait(living, timeout=CANCEL_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)


def _plain(text: str) -> str:
    """The text without control characters: an agent's words are read in terminals."""
    return without_controls(text, separators=False)


def _without_image(fault: ImageFault) -> Ending:
    return Ending(EndReason.IMAGE_UNAVAILABLE, f"The agent's image {fault}.")


def _key_missing(provider: str) -> str:
    return (
        f"There is no API key for {provider}: store one with PUT /api/v1/provider-keys/{provider}, "
        "or pass overrides.providerApiKey."
    )
