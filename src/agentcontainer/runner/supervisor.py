"""Takes work, never more than its capacity; keeps its claims alive; gives them back when it drains.

The rule that makes a lost runner safe: it renews its lease every `BEAT_SECONDS`, and when it cannot for well under
the time after which others call it lost, it destroys its own sandboxes. What the database no longer says is ours,
is dropped here at the next beat.
"""

import asyncio
import contextlib
import logging
import socket
from datetime import timedelta

import asyncpg
from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries

from agentcontainer import crash, db
from agentcontainer.domain.conversations.service import MESSAGE_CHANNEL
from agentcontainer.domain.tasks import queue, runners, service, store
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.domain.tasks.reconcile import reconcile_forever
from agentcontainer.domain.tasks.state import EndReason
from agentcontainer.runner.attempt import Attempt
from agentcontainer.runner.services import Services
from agentcontainer.runner.slot import Slot
from agentcontainer.runner.workspace.partial_outputs import keep_forgotten_forever

logger = logging.getLogger(__name__)

BEAT_SECONDS = 2.0
POLL = timedelta(seconds=2)  # how late a job is taken whose notification got lost
FAULTS_TO_PAUSE = 3  # attempts in a row that the platform failed: something is wrong with this host
PAUSE = timedelta(seconds=10)
NO_FREE_SLOT = timedelta(seconds=0.5)  # all are taken by conversations at work: another runner may have one
EVICTION_SECONDS = 5.0  # for a container to be put away
SELF_FENCE_SHARE = 0.7  # of the time after which others take our tasks over


class Supervisor:
    """One runner process's work. `run` returns when it has drained; cancel it to drop everything at once."""

    def __init__(self, services: Services, runner_id: str, region: str, capacity: int) -> None:
        self._services = services
        self._pool = services.pool
        self._settings = services.settings
        self._id = runner_id
        self._region = region
        self._capacity = capacity
        self._slots = asyncio.Semaphore(capacity)
        self._attempts: dict[Claim, tuple[Attempt, asyncio.Task[None]]] = {}
        self._occupied: dict[Claim, Slot] = {}
        self._waiting = 0  # jobs that wait for a slot
        self._draining = asyncio.Event()
        self._faults = 0  # in a row
        self._paused_until = 0.0
        self._claiming: set[str] = set()  # ids of tasks
        self._unknown: set[Claim] = set()  # ours by the database, but not here: seen at the last beat

    def drain(self) -> None:
        """Take no new work, give back what runs, then let `run` return."""
        self._draining.set()

    async def run(self) -> None:
        """Work until drained."""
        await db.retry_while_unavailable(lambda: runners.register(
            self._pool, self._id, self._region, socket.gethostname(), self._capacity
        ))  # fmt: skip
        loops = [
            asyncio.create_task(loop)
            for loop in (
                self._deliver(),
                self._keep_alive(),
                self._listen(),
                reconcile_forever(self._pool, self._settings),
                keep_forgotten_forever(self._services),
            )
        ]
        try:
            drained = asyncio.create_task(self._draining.wait())
            done, _ = await asyncio.wait([*loops, drained], return_when=asyncio.FIRST_COMPLETED)
            for attempt, _task in self._attempts.values():
                attempt.stop(EndReason.DRAINED, "The runner was stopped.")
            await asyncio.gather(*(task for _, task in self._attempts.values()), return_exceptions=True)
            for loop in done - {drained}:
                loop.result()  # a loop never ends by itself: raise what broke it
        finally:
            for loop in [*loops, *(task for _, task in self._attempts.values())]:
                loop.cancel()
            await asyncio.gather(
                *loops, *(task for _, task in self._attempts.values()), return_exceptions=True
            )
            with contextlib.suppress(Exception):
                await asyncio.wait_for(runners.stop(self._pool, [self._id]), 3)

    async def _deliver(self) -> None:
        """Receive jobs; made anew, with a connection of its own, whenever the database was away."""
        assert self._settings.database_url is not None
        while not self._draining.is_set():
            try:
                connection = await asyncpg.connect(self._settings.database_url, timeout=10)
            except db.UNREACHABLE:
                await asyncio.sleep(db.RECONNECT_SECONDS)
                continue
            is_lost = asyncio.Event()
            connection.add_termination_listener(lambda _, is_lost=is_lost: is_lost.set())
            try:
                await self._receive(QueueManager(Queries.from_asyncpg_connection(connection)), is_lost)
            except (asyncpg.PostgresError, *db.UNREACHABLE) as error:
                logger.warning("delivery interrupted: %s", type(error).__name__)
                await asyncio.sleep(db.RECONNECT_SECONDS)
            finally:
                connection.terminate()
        await asyncio.Event().wait()

    async def _receive(self, manager: QueueManager, is_lost: asyncio.Event) -> None:
        async def take(job: Job) -> None:
            await self._take(job, is_lost)

        for region in {"any", self._region}:
            manager.entrypoint(queue.entrypoint(region))(take)
        receiving = asyncio.create_task(
            manager.run(
                batch_size=1,
                max_concurrent_tasks=max(
                    2, self._capacity
                ),  # PgQueuer's least; the semaphore is the true limit
                dequeue_timeout=POLL,
                heartbeat_timeout=timedelta(seconds=self._settings.runner_lost_after_seconds),
            )
        )
        draining = asyncio.create_task(self._draining.wait())
        try:
            await asyncio.wait([receiving, draining], return_when=asyncio.FIRST_COMPLETED)
            manager.shutdown.set()
            await receiving
        finally:
            draining.cancel()
            receiving.cancel()
            await asyncio.gather(receiving, draining, return_exceptions=True)

    async def _take(self, job: Job, is_lost: asyncio.Event) -> None:
        """One job: a free slot, the claim, the attempt. The job lives until its attempt ends, or waits for a user, so
        that PgQueuer's own count respects the capacity; an attempt outlives a broken delivery, which `is_lost`."""
        task_id = (job.payload or b"").decode()
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
                self._slots.release()
        if claim is not None:
            await self._start(claim, is_lost)

    async def _claim(self, task_id: str) -> Claim | None:
        """The claim on a task; None: it is not pending, or another job of this runner is claiming it."""
        if task_id in self._claiming:
            return None
        sent: Claim | None = None

        async def claim() -> Claim | None:
            nonlocal sent
            async with db.transaction(self._pool) as connection:
                if sent is not None and sent in await store.held_by(connection, self._id):
                    return sent  # committed before, but the reply was lost
                sent = await store.claim(connection, task_id, self._id)
                return sent

        self._claiming.add(task_id)
        try:
            return await db.retry_while_unavailable(claim)
        finally:
            self._claiming.remove(task_id)

    async def _take_slot(self) -> None:
        """A slot; where all are taken, that of the conversation that has waited for its user the longest."""
        self._waiting += 1
        try:
            if self._slots.locked():
                idle = [slot for slot in self._occupied.values() if slot.idle_since is not None]
                any(slot.evict() for slot in sorted(idle, key=lambda slot: slot.idle_since or 0))
            async with asyncio.timeout(EVICTION_SECONDS):
                await self._slots.acquire()
        except TimeoutError:
            raise RetryRequested(NO_FREE_SLOT, reason="no free slot") from None
        finally:
            self._waiting -= 1

    async def _start(self, claim: Claim, is_lost: asyncio.Event) -> None:
        """Start the attempt; returns when it has ended, or waits for a user. And when the delivery is lost: PgQueuer
        waits for all of its jobs before there can be another."""
        slot = self._occupied[claim] = Slot(lambda: self._waiting > 0)
        attempt = Attempt(self._services, claim, slot)
        task = asyncio.create_task(attempt.run())
        self._attempts[claim] = attempt, task

        def ended(_: object) -> None:
            del self._attempts[claim], self._occupied[claim]
            self._slots.release()
            self._note(attempt.is_platform_fault)

        task.add_done_callback(ended)
        others = [asyncio.create_task(event.wait()) for event in (slot.became_idle, is_lost)]
        try:
            await asyncio.wait([task, *others], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for other in others:
                other.cancel()

    def _note(self, is_fault: bool) -> None:
        """A host at fault (no descriptors, a full disk) must not use up the tries of every task that waits."""
        self._faults = self._faults + 1 if is_fault else 0
        if self._faults >= FAULTS_TO_PAUSE:
            logger.error(
                "%d attempts in a row failed on this host; it takes no work for %s", self._faults, PAUSE
            )
            self._paused_until = asyncio.get_running_loop().time() + PAUSE.total_seconds()

    async def _keep_alive(self) -> None:
        """Renew the lease; where that does not succeed in time, fence ourselves off, whatever else waits."""
        loop = asyncio.get_running_loop()
        patience = self._settings.runner_lost_after_seconds * SELF_FENCE_SHARE
        fence = loop.call_later(patience, self._fence_off)
        try:
            while True:
                began_at = loop.time()
                try:
                    async with asyncio.timeout(BEAT_SECONDS):
                        await self._beat()
                    fence.cancel()
                    fence = loop.call_at(began_at + patience, self._fence_off)
                except (asyncpg.PostgresError, *db.UNREACHABLE) as error:
                    logger.warning("heartbeat failed: %s", type(error).__name__)
                    await asyncio.sleep(db.RECONNECT_SECONDS)
                else:
                    await asyncio.sleep(BEAT_SECONDS)
        finally:
            fence.cancel()

    def _fence_off(self) -> None:
        self._drop(set(self._attempts), "the lease could not be renewed")

    async def _beat(self) -> None:
        here = set(self._attempts)  # before the question: a claim made meanwhile is not yet in the answer
        is_alive = await runners.beat(self._pool, self._id)
        held = await store.held_by(self._pool, self._id) if is_alive else set[Claim]()
        self._drop(here - held, "the claim is gone")
        unknown = {c for c in held - set(self._attempts) if c.task_id not in self._claiming}
        for claim in unknown & self._unknown:  # the reply to its commit was lost for longer than we retry
            await service.lose(self._pool, self._settings, claim, "The attempt was not started.")
        self._unknown = unknown
        for attempt, _ in self._attempts.values():  # a notification may have been lost
            attempt.wake()

    def _drop(self, claims: set[Claim], why: str) -> None:
        for claim in claims & set(self._attempts):
            logger.debug("%s attempt %d dropped: %s", claim.task_id, claim.attempt, why)
            self._attempts[claim][0].drop()

    async def _listen(self) -> None:
        """Hear of cancels and messages at once; the beat would notice them too."""
        assert self._settings.database_url is not None

        def on_cancel(word: str) -> None:
            task_id, _, last = word.partition(" ")
            ours = {claim for claim in self._attempts if claim.task_id == task_id}
            self._drop({claim for claim in ours if claim.attempt <= int(last)}, "cancelled")

        def on_message(task_id: str) -> None:
            for claim, (attempt, _) in self._attempts.items():
                if claim.task_id == task_id:
                    attempt.wake()

        handlers = {service.CANCEL_CHANNEL: on_cancel, MESSAGE_CHANNEL: on_message}
        await db.listen(self._settings.database_url, handlers)
