"""Claims pending tasks for a runner's free slots, over a connection of its own, on which the runner also listens.

A notification says that a task became pending. Polling finds the tasks whose notification was lost.
Every call has a time limit, and a connection on which one fails is replaced. So a runner that was cut off from its
database claims again within seconds.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType

import asyncpg

from agentcontainer import crash, db
from agentcontainer.db import RawConnection
from agentcontainer.domain.execution.model import RuntimeRegion
from agentcontainer.domain.tasks import queue, store
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.periodic import repeat
from agentcontainer.runner.slot import Slots
from agentcontainer.settings import Settings

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
CALL_SECONDS = 2.0
CONNECT_SECONDS = 4.0
EVICT_AFTER_SECONDS = 0.1  # a runner with a free slot claims a waiting task sooner
FIRST_RETRY_SECONDS = 0.01


class ClaimLoop:
    """Claims tasks while the runner has free slots.

    `start` is called with each claim. `may_claim`: whether the runner takes work; `has_room`: whether its host has room
    for an attempt. `find_unstarted`: which of these claims of the runner have no attempt.
    """

    def __init__(
        self,
        settings: Settings,
        runner_id: str,
        region: RuntimeRegion,
        slots: Slots,
        *,
        may_claim: Callable[[], bool],
        has_room: Callable[[], bool],
        start: Callable[[Claim], None],
        find_unstarted: Callable[[set[Claim]], set[Claim]],
        listeners: Mapping[str, Callable[[str], None]] = MappingProxyType({}),
    ) -> None:
        """`listeners`: what is called with the payload of each notification on a channel, and with "" after each
        connect, because notifications may have been lost before."""
        self._settings = settings
        self._runner_id = runner_id
        self._region: RuntimeRegion = region
        self._slots = slots
        self._may_claim = may_claim
        self._has_room = has_room
        self._start = start
        self._find_unstarted = find_unstarted
        self._listeners = listeners
        self._woken = asyncio.Event()
        self._claiming = asyncio.Lock()
        self.is_in_doubt = False
        """Whether a claim was sent whose reply has not arrived: it may have been committed."""
        self._retry_seconds = FIRST_RETRY_SECONDS

    def wake(self) -> None:
        """Look at the queue now, for instance because a slot has become free."""
        self._woken.set()

    async def settle(self) -> None:
        """Wait until no claim is on its way. `may_claim` must be false before, so that no other follows."""
        async with self._claiming:
            pass

    async def run(self) -> None:
        """Claim tasks until cancelled."""
        expected = (asyncpg.PostgresError, *db.UNREACHABLE)
        await repeat("claiming tasks", self._over_one_connection, db.RECONNECT_SECONDS, expected)

    async def _over_one_connection(self) -> None:
        assert self._settings.session_url is not None
        async with asyncio.timeout(CONNECT_SECONDS):
            connection = await db.connect(self._settings.session_url)
        try:
            connection.add_termination_listener(lambda _: self.wake())
            async with asyncio.timeout(CALL_SECONDS):
                await queue.prepare(connection)
                await connection.add_listener(queue.CHANNEL, self._on_notification)
            for channel, listener in self._listeners.items():
                async with asyncio.timeout(CALL_SECONDS):
                    await connection.add_listener(channel, db.payload_only(listener))
                listener("")
            while not connection.is_closed():
                self._woken.clear()
                await self._wait(await self._look(connection))
        finally:
            connection.terminate()

    def _on_notification(self, _connection: object, _pid: int, _channel: str, region: object) -> None:
        if region in queue.REGIONS[self._region]:
            self._retry_seconds = FIRST_RETRY_SECONDS
            self.wake()

    async def _wait(self, seconds: float) -> None:
        """Wait that long, or until woken."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    async def _look(self, connection: RawConnection) -> float:
        """Claim tasks for all free slots; returns after how many seconds to look again."""
        has_room = self._has_room()
        async with self._claiming:
            await self._start_unconfirmed(connection)
            while has_room and self._slots.free > 0 and self._may_claim():
                if not await self._claim(connection):
                    break
        if not has_room or not self._may_claim():
            await connection.execute("SELECT 1", timeout=CALL_SECONDS)  # fails if notifications do not arrive
            return POLL_SECONDS
        if self._slots.free == 0:
            await self._wait(EVICT_AFTER_SECONDS)
        due = await queue.count_due(connection, self._region, self._slots.capacity, timeout=CALL_SECONDS)
        is_full = self._slots.free == 0
        self._slots.expect(due if is_full else 0)
        if due == 0 or is_full:
            self._retry_seconds = FIRST_RETRY_SECONDS
            return POLL_SECONDS
        # Tasks wait, but others held their rows: probably they are claiming them.
        self._retry_seconds = min(2 * self._retry_seconds, POLL_SECONDS)
        return self._retry_seconds

    async def _claim(self, connection: RawConnection) -> bool:
        """Claim a task and start its attempt. False: there was none to claim."""
        self.is_in_doubt = True
        claim = await queue.claim(
            connection, self._runner_id, self._region, self._settings.runner_lost_after_seconds,
            timeout=CALL_SECONDS,
        )  # fmt: skip
        self.is_in_doubt = False
        if claim is None:
            return False
        crash.reach("claimed")
        self._start(claim)
        return True

    async def _start_unconfirmed(self, connection: RawConnection) -> None:
        """Start attempts for claims that were committed although their reply was lost."""
        if self.is_in_doubt:
            held = await store.held_by(connection, self._runner_id, timeout=CALL_SECONDS)
            for claim in self._find_unstarted(held):
                self._start(claim)
            self.is_in_doubt = False
