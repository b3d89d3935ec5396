"""The supervisor of a runner: takes jobs up to its capacity, runs an attempt for each, gives tasks back on a drain."""

import asyncio
import contextlib
import logging
import socket
from datetime import timedelta

import asyncpg
from pgqueuer.errors import RetryRequested

from agentcontainer import crash, db, host
from agentcontainer.domain.conversations.service import MESSAGE_CHANNEL
from agentcontainer.domain.tasks import runners, service, store
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.domain.tasks.reconcile import reconcile_forever
from agentcontainer.domain.tasks.state import EndReason
from agentcontainer.periodic import background, repeat
from agentcontainer.repetition import Repetition
from agentcontainer.runner.attempt import Attempt
from agentcontainer.runner.delivery import deliver
from agentcontainer.runner.lease import STOP_AFTER_SHARE, boottime, keep_lease
from agentcontainer.runner.services import Services
from agentcontainer.runner.slot import Slot
from agentcontainer.runner.workspace.partial_outputs import collect_missing_forever

logger = logging.getLogger(__name__)

FAULTS_TO_PAUSE = 3  # attempts in a row that the platform failed: something is wrong with this host
PAUSE = timedelta(seconds=10)
RETRY_WITHOUT_ROOM = timedelta(seconds=2)  # the host's disk is full: it may be freed soon
RETRY_WITHOUT_SLOT = timedelta(seconds=0.5)  # another runner may have a free slot
EVICTION_SECONDS = 5.0  # for an idle container to be closed
MESSAGE_SECONDS = 2.0
STOP_SECONDS = 3.0  # for the database to learn that this runner has stopped


class Supervisor:
    """The supervisor of one runner. `run` returns when it has drained. Cancel `run` to stop all attempts at once."""

    def __init__(
        self, services: Services, runner_id: str, region: str, capacity: int, name: str | None = None
    ) -> None:
        self._services = services
        self._pool = services.pool
        self._settings = services.settings
        self._id = runner_id
        self._region = region
        self._name = name
        self.capacity = capacity
        self._free_slots = asyncio.Semaphore(capacity)
        self._attempts: dict[Claim, tuple[Attempt, asyncio.Task[None]]] = {}
        self._occupied: dict[Claim, Slot] = {}
        self._waiting_jobs = 0
        """Jobs that wait for a slot."""
        self._draining = asyncio.Event()
        self._faults_in_a_row = 0
        self._paused_until = 0.0
        self._claiming: set[str] = set()
        """Ids of tasks that are being claimed."""
        self._unknown: set[Claim] = set()
        """This runner's claims, as of the last heartbeat, that have no attempt in this process."""
        self._giving_back: dict[Claim, asyncio.Task[None]] = {}
        self._unrecorded: dict[Claim, EndReason] = {}
        """How attempts ended, until a heartbeat finds that the database has no claim for them any more."""
        self._shortages = Repetition()
        self._renewed_at: float | None = None
        """When the last heartbeat that the database has recorded began, by the clock of `boottime`."""

    def drain(self) -> None:
        """Take no more jobs, give back the tasks that run, then let `run` return."""
        self._draining.set()

    @property
    def used_slots(self) -> int:
        """How many slots have an attempt."""
        return len(self._occupied)

    def unready_reason(self) -> str | None:
        """Why the runner takes no work now; None: it takes work."""
        if self._draining.is_set():
            return "draining"
        if self._renewed_at is None:
            return "not registered with the database yet"
        silent = boottime() - self._renewed_at
        if silent > self._settings.runner_lost_after_seconds * STOP_AFTER_SHARE:
            return f"the database has not recorded a heartbeat for {silent:.0f} s"
        if asyncio.get_running_loop().time() < self._paused_until:
            return "paused: attempts failed on this host"
        return host.shortage(self._services.folder)

    async def run(self) -> None:
        """Work until drained.

        Raises:
            LoopEnded: a background loop ended; all attempts are dropped.
        """
        database_url = self._settings.database_url
        assert database_url is not None
        await db.retry_while_unavailable(lambda: runners.register(
            self._pool, self._id, self._region, socket.gethostname(), self.capacity, self._name
        ))  # fmt: skip
        try:
            async with background(
                deliver(self._settings, self._region, self.capacity, self._draining, self._take),
                keep_lease(
                    database_url,
                    self._beat,
                    self._settings.runner_lost_after_seconds,
                    self._drop_all,
                    self._on_renewed,
                ),
                self._listen(),
                repeat("looking for messages", self._wake_attempts, MESSAGE_SECONDS),
                reconcile_forever(self._pool, self._settings),
                collect_missing_forever(self._services),
            ):
                try:
                    await self._draining.wait()
                    for attempt, _ in self._attempts.values():
                        attempt.stop(EndReason.DRAINED, "The runner was stopped.")
                    await asyncio.gather(*self._running(), return_exceptions=True)
                finally:  # before the loops are cancelled: PgQueuer waits for its jobs, which wait for the attempts
                    for task in self._running():
                        task.cancel()
        finally:
            await asyncio.gather(*self._running(), return_exceptions=True)
            for task in self._giving_back.values():  # `stop` lets others give these claims back
                task.cancel()
            await asyncio.gather(*self._giving_back.values(), return_exceptions=True)
            with contextlib.suppress(Exception):
                await asyncio.wait_for(runners.stop(self._pool, [self._id]), STOP_SECONDS)

    def _running(self) -> list[asyncio.Task[None]]:
        return [task for _, task in self._attempts.values()]

    async def _take(self, task_id: str, is_delivery_lost: asyncio.Event) -> None:
        """Take one job: wait for a slot, claim the task, start the attempt. Returns when the attempt has ended or is
        idle, because PgQueuer counts the job as running until then.

        Raises:
            RetryRequested: the job cannot be taken now; it is delivered again, to this runner or another.
        """
        self._check_room()
        await self._take_slot()
        is_taken = False
        try:
            if self._draining.is_set():
                raise RetryRequested(timedelta(0), reason="draining")
            if asyncio.get_running_loop().time() < self._paused_until:
                raise RetryRequested(PAUSE / 10, reason="this runner's host is at fault")
            claim = await self._claim(task_id)
            is_taken = claim is not None
            crash.reach("claimed")
        finally:
            if not is_taken:
                self._free_slots.release()
        if claim is not None:
            await self._start(claim, is_delivery_lost)

    def _check_room(self) -> None:
        """Take no job while this host lacks the room to run it; evict an idle conversation, which makes some.

        Raises:
            RetryRequested: the host lacks something.
        """
        if (fault := host.shortage(self._services.folder)) is None:
            return
        if (left_out := self._shortages.admit(fault.partition(":")[0])) is not None:
            logger.error("this host takes no work: %s (%d jobs were delivered meanwhile)", fault, left_out)
        self._evict_one()
        raise RetryRequested(RETRY_WITHOUT_ROOM, reason="this runner's host lacks a resource")

    async def _take_slot(self) -> None:
        """Take a slot. If none is free, evict the conversation that has been idle for longest, unless slots are being
        given up already for all jobs that wait."""
        self._waiting_jobs += 1
        try:
            if self._free_slots.locked() and self._is_slot_wanted():
                self._evict_one()
            async with asyncio.timeout(EVICTION_SECONDS):
                await self._free_slots.acquire()
        except TimeoutError:
            raise RetryRequested(RETRY_WITHOUT_SLOT, reason="no free slot") from None
        finally:
            self._waiting_jobs -= 1

    def _is_slot_wanted(self) -> bool:
        """Whether more jobs wait for a slot than slots are being evicted."""
        return self._waiting_jobs > sum(slot.is_evicting for slot in self._occupied.values())

    def _evict_one(self) -> None:
        """Evict the longest idle conversation that is not being evicted already."""
        idle = [slot for slot in self._occupied.values() if slot.idle_since is not None]
        for slot in sorted(idle, key=lambda slot: slot.idle_since or 0):
            if slot.evict():
                return

    async def _claim(self, task_id: str) -> Claim | None:
        """Claim a task; None if it is not pending, or another job of this runner is claiming it."""
        if task_id in self._claiming:
            return None
        unconfirmed: Claim | None = None

        async def claim() -> Claim | None:
            nonlocal unconfirmed
            async with db.transaction(self._pool) as connection:
                if unconfirmed is not None and unconfirmed in await store.held_by(connection, self._id):
                    return unconfirmed  # committed before, but the reply was lost
                unconfirmed = await store.claim(connection, task_id, self._id)
                return unconfirmed

        self._claiming.add(task_id)
        try:
            return await db.retry_while_unavailable(claim)
        finally:
            self._claiming.remove(task_id)

    async def _start(self, claim: Claim, is_delivery_lost: asyncio.Event) -> None:
        """Start an attempt. Returns when it has ended or is idle, or when the connection to the queue is lost."""
        slot = self._occupied[claim] = Slot(self._is_slot_wanted)
        attempt = Attempt(self._services, claim, slot)
        task = asyncio.create_task(attempt.run())
        self._attempts[claim] = attempt, task

        def on_end(_: object) -> None:
            del self._attempts[claim], self._occupied[claim]
            self._free_slots.release()
            self._unrecorded[claim] = attempt.unrecorded
            self._count_fault(attempt.is_platform_fault)

        task.add_done_callback(on_end)
        events = [asyncio.create_task(event.wait()) for event in (slot.became_idle, is_delivery_lost)]
        try:
            await asyncio.wait([task, *events], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for event in events:
                event.cancel()

    def _count_fault(self, is_fault: bool) -> None:
        """Pause after several faults in a row: a broken host (a full disk, no file descriptors) must not use up the
        tries of every waiting task."""
        self._faults_in_a_row = self._faults_in_a_row + 1 if is_fault else 0
        if self._faults_in_a_row >= FAULTS_TO_PAUSE:
            logger.error(
                "%d attempts in a row failed on this host; it takes no work for %s",
                self._faults_in_a_row,
                PAUSE,
            )
            self._paused_until = asyncio.get_running_loop().time() + PAUSE.total_seconds()

    async def _beat(self, connection: db.Connection) -> None:
        """Renew the lease, and compare the claims that the database has for this runner with its attempts."""
        before = set(self._attempts)  # read first: a claim made during the query is not in its answer
        claims = await runners.beat(connection, self._id)
        self._drop(before - claims, "the claim is gone")
        unknown = {claim for claim in claims - set(self._attempts) if claim.task_id not in self._claiming}
        for claim in (unknown & self._unknown) - self._giving_back.keys():
            # Not awaited: at a slow database it takes longer than a heartbeat may.
            self._giving_back[claim] = asyncio.create_task(self._give_back(claim))
        self._unknown = unknown
        self._unrecorded = {claim: end for claim, end in self._unrecorded.items() if claim in claims}

    def _on_renewed(self, began_at: float) -> None:
        self._renewed_at = began_at

    async def _wake_attempts(self) -> None:
        """Let attempts look for messages: a notification may have been lost."""
        for attempt, _ in self._attempts.values():
            attempt.wake()

    async def _give_back(self, claim: Claim) -> None:
        """End a claim that has no attempt here, so that the task gets another one."""
        if (reason := self._unrecorded.get(claim)) is not None:
            message = "The end of the attempt could not be recorded."
        else:  # the reply to the commit of the claim was lost for longer than we retry
            reason, message = EndReason.HOST_FAULT, "The attempt was not started."
        try:
            if await service.lose(self._pool, self._settings, claim, message, reason):
                logger.warning("%s attempt %d: %s", claim.task_id, claim.attempt, message)
        except (asyncpg.PostgresError, *db.UNREACHABLE) as error:  # the next heartbeats find the claim again
            logger.warning("%s attempt %d cannot be given back: %r", claim.task_id, claim.attempt, error)
        finally:
            del self._giving_back[claim]

    def _drop(self, claims: set[Claim], reason: str) -> None:
        for claim in claims & set(self._attempts):
            logger.debug("%s attempt %d dropped: %s", claim.task_id, claim.attempt, reason)
            self._attempts[claim][0].drop()

    def _drop_all(self) -> None:
        self._drop(set(self._attempts), "the lease could not be renewed")

    async def _listen(self) -> None:
        """React at once to notifications of cancellations and messages. The next heartbeat finds what they miss."""
        assert self._settings.database_url is not None

        def on_cancel(payload: str) -> None:
            task_id, _, last_attempt = payload.partition(" ")
            claims = {claim for claim in self._attempts if claim.task_id == task_id}
            self._drop({claim for claim in claims if claim.attempt <= int(last_attempt)}, "cancelled")

        def on_message(task_id: str) -> None:
            for claim, (attempt, _) in self._attempts.items():
                if claim.task_id == task_id:
                    attempt.wake()

        handlers = {service.CANCEL_CHANNEL: on_cancel, MESSAGE_CHANNEL: on_message}
        await db.listen(self._settings.database_url, handlers)
