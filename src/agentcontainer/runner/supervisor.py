"""The supervisor of a runner: claims tasks for its slots, runs an attempt for each, gives tasks back on a drain."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from datetime import timedelta

import asyncpg

from agentcontainer import db, host
from agentcontainer.domain.conversations import store as conversations
from agentcontainer.domain.conversations.service import MESSAGE_CHANNEL
from agentcontainer.domain.execution.model import RuntimeRegion
from agentcontainer.domain.housekeeping.service import keep_house
from agentcontainer.domain.tasks import deltas, runners, service
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.domain.tasks.state import EndReason
from agentcontainer.errors import AgentContainerError
from agentcontainer.periodic import background, repeat
from agentcontainer.repetition import Repetition
from agentcontainer.runner.attempt import Attempt
from agentcontainer.runner.claiming import ClaimLoop
from agentcontainer.runner.lease import KILL_AFTER_SHARE, STOP_AFTER_SHARE, boottime, keep_lease
from agentcontainer.runner.services import Services
from agentcontainer.runner.slot import Slots
from agentcontainer.runner.workspace.partial_outputs import collect_missing_forever

logger = logging.getLogger(__name__)

FAULTS_TO_PAUSE = 3  # attempts in a row that the platform failed: something is wrong with this host
PAUSE = timedelta(seconds=10)
MESSAGE_SECONDS = 2.0
EXPECTED = (asyncpg.PostgresError, *db.UNREACHABLE)
STOP_SECONDS = 3.0  # for the database to learn that this runner has stopped


class RunnerGone(AgentContainerError):
    """The database does not know this runner any more, or as one that has stopped."""


class Supervisor:
    """The supervisor of one runner. `run` returns when it has drained. Cancel `run` to stop all attempts at once."""

    def __init__(
        self,
        services: Services,
        runner_id: str,
        region: RuntimeRegion,
        capacity: int,
        name: str | None = None,
        on_lease_renewed: Callable[[float], None] = lambda _: None,
    ) -> None:
        """`on_lease_renewed` gets the time until which sandboxes may live, by CLOCK_BOOTTIME."""
        self._services = services
        self._pool = services.pool
        self._settings = services.settings
        self._id = runner_id
        self._region = region
        self._name = name
        self.capacity = capacity
        self._on_lease_renewed = on_lease_renewed
        self._slots = Slots(capacity)
        self._claims = ClaimLoop(
            services.settings, runner_id, region, self._slots,
            may_claim=self._may_claim, has_room=self._has_room, start=self._start,
            find_unstarted=lambda held: held - set(self._attempts) - set(self._unrecorded),
            listeners={
                service.CANCEL_CHANNEL: self._on_cancel,
                MESSAGE_CHANNEL: self._on_message,
                deltas.FOLLOW_CHANNEL: services.live_text.on_announcement,
            },
        )  # fmt: skip
        self._attempts: dict[Claim, tuple[Attempt, asyncio.Task[None]]] = {}
        self._draining = asyncio.Event()
        self._is_gone = False
        self._is_drained = False
        """Whether the operator drains this runner, which then waits for `undrain`."""
        self._faults_in_a_row = 0
        self._paused_until = 0.0
        self._unknown: set[Claim] = set()
        """This runner's claims, as of the last heartbeat, that have no attempt in this process."""
        self._giving_back: dict[Claim, asyncio.Task[None]] = {}
        self._unrecorded: dict[Claim, EndReason] = {}
        """How attempts ended, until a heartbeat finds that the database has no claim for them any more."""
        self._shortages = Repetition()
        self._renewed_at: float | None = None
        """When the last heartbeat that the database has recorded began, by the clock of `boottime`."""
        self._fits = True

    def set_fit(self, fits: bool) -> None:
        """Take work only while this runner fits its installation. Attempts go on in any case."""
        self._fits = fits

    def drain(self) -> None:
        """Claim no more tasks, give back those that run, then let `run` return."""
        self._draining.set()

    @property
    def used_slots(self) -> int:
        """How many slots have an attempt."""
        return self.capacity - self._slots.free

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
        if not self._fits:
            return "this runner does not fit its installation; its log says why"
        return host.shortage(self._services.folder)

    async def run(self) -> None:
        """Work until drained.

        Raises:
            LoopEnded: a background loop ended; all attempts are dropped.
            RunnerGone: others count this runner as stopped; all attempts are dropped.
        """
        session_url = self._settings.session_url
        assert session_url is not None
        await db.retry_while_unavailable(lambda: runners.register(
            self._pool, self._id, self._region, socket.gethostname(), self.capacity, self._name
        ))  # fmt: skip
        try:
            async with background(
                self._claims.run(),
                keep_lease(
                    session_url,
                    self._beat,
                    self._settings.runner_lost_after_seconds,
                    self._drop_all,
                    self._on_renewed,
                ),
                self._services.live_text.run(),
                repeat("looking for messages", self._wake_attempts, MESSAGE_SECONDS, EXPECTED),
                keep_house(self._pool, self._services.blobs, self._settings),
                collect_missing_forever(self._services, self._region),
            ):
                try:
                    await self._draining.wait()
                    await self._claims.settle()
                    self._give_back_all("The runner was stopped.")
                    await asyncio.gather(*self._running(), return_exceptions=True)
                finally:  # before the loops are cancelled: no attempt may run while nothing renews the lease
                    for task in self._running():
                        task.cancel()
        finally:
            await asyncio.gather(*self._running(), return_exceptions=True)
            for task in self._giving_back.values():  # `stop` lets others give these claims back
                task.cancel()
            await asyncio.gather(*self._giving_back.values(), return_exceptions=True)
            with contextlib.suppress(Exception):
                await asyncio.wait_for(runners.stop(self._pool, [self._id]), STOP_SECONDS)
        if self._is_gone:
            raise RunnerGone(
                f"The database does not have the runner {self._id} any more, or counts it as stopped, so others have "
                "taken over its tasks. Start it again: it gets a new id."
            )

    def _give_back_all(self, message: str) -> None:
        for attempt, _ in self._attempts.values():
            attempt.stop(EndReason.DRAINED, message)

    def _running(self) -> list[asyncio.Task[None]]:
        return [task for _, task in self._attempts.values()]

    def _may_claim(self) -> bool:
        is_paused = asyncio.get_running_loop().time() < self._paused_until
        is_wanted = not self._draining.is_set() and not self._is_drained
        return self._fits and is_wanted and not is_paused

    def _has_room(self) -> bool:
        """Whether this host has room for another attempt. If not, evict an idle conversation, which makes some."""
        if (fault := host.shortage(self._services.folder)) is None:
            return True
        if (left_out := self._shortages.admit(fault.partition(":")[0])) is not None:
            logger.error(
                "this host takes no work: %s (seen %d times since the last report)", fault, left_out + 1
            )
        self._slots.evict_longest_idle()
        return False

    def _start(self, claim: Claim) -> None:
        attempt = Attempt(self._services, claim, self._slots.occupy(claim))
        task = asyncio.create_task(attempt.run())
        self._attempts[claim] = attempt, task

        def on_end(_: object) -> None:
            del self._attempts[claim]
            self._slots.release(claim)
            self._unrecorded[claim] = attempt.unrecorded
            self._count_fault(attempt.is_platform_fault)
            self._claims.wake()

        task.add_done_callback(on_end)

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
        beat = await runners.beat(connection, self._id)
        if beat is None:
            self._is_gone = True
            self._draining.set()
        elif beat.is_draining:
            self._give_back_all("The operator drains the runner.")
        self._is_drained = beat is not None and beat.is_draining
        claims = set[Claim]() if beat is None else set(beat.claims)
        self._drop(before - claims, "the claim is gone")
        # A claim that is on its way has no attempt yet.
        unknown = set[Claim]() if self._claims.is_in_doubt else claims - set(self._attempts)
        for claim in (unknown & self._unknown) - self._giving_back.keys():
            # Not awaited: at a slow database it takes longer than a heartbeat may.
            self._giving_back[claim] = asyncio.create_task(self._give_back(claim))
        self._unknown = unknown
        self._unrecorded = {claim: end for claim, end in self._unrecorded.items() if claim in claims}

    def _on_renewed(self, began_at: float) -> None:
        self._renewed_at = began_at
        self._on_lease_renewed(began_at + self._settings.runner_lost_after_seconds * KILL_AFTER_SHARE)

    async def _wake_attempts(self) -> None:
        """Let attempts fetch messages and interrupts whose notification was lost."""
        if self._attempts:
            task_ids = {claim.task_id for claim in self._attempts}
            for task_id in await conversations.with_news(self._pool, task_ids):
                self._on_message(task_id)

    async def _give_back(self, claim: Claim) -> None:
        """End a claim that has no attempt here, so that the task gets another one."""
        if (reason := self._unrecorded.get(claim)) is not None:
            message = "The end of the attempt could not be recorded."
        else:  # the reply to the commit of the claim was lost for longer than we retry
            reason, message = EndReason.HOST_FAULT, "The attempt was not started."
        try:
            if await service.lose(self._pool, self._settings, claim, message, reason):
                logger.warning("%s attempt %d: %s", claim.task_id, claim.attempt, message)
        except EXPECTED as error:  # the next heartbeats find the claim again
            logger.warning("%s attempt %d cannot be given back: %r", claim.task_id, claim.attempt, error)
        finally:
            del self._giving_back[claim]

    def _drop(self, claims: set[Claim], reason: str) -> None:
        for claim in claims & set(self._attempts):
            logger.debug("%s attempt %d dropped: %s", claim.task_id, claim.attempt, reason)
            self._attempts[claim][0].drop()

    def _drop_all(self) -> None:
        self._drop(set(self._attempts), "the lease could not be renewed")

    def _on_cancel(self, payload: str) -> None:
        task_id, _, last_attempt = payload.partition(" ")
        claims = {claim for claim in self._attempts if claim.task_id == task_id}
        self._drop({claim for claim in claims if claim.attempt <= int(last_attempt)}, "cancelled")

    def _on_message(self, task_id: str) -> None:
        for claim, (attempt, _) in self._attempts.items():
            if claim.task_id == task_id:
                attempt.wake()
