"""Renews a runner's lease by heartbeats, and stops its attempts in time if that fails.

Runners and API processes take over the tasks of a runner whose heartbeat is older than `runner_lost_after_seconds`. A
runner that cannot renew its lease stops its own attempts well before that, so that no task runs on two runners at once.

With the default of 10 s: the lease is renewed every 1 s and attempts stop 8.5 s after the last renewal. An outage that
begins just before a renewal (1 s) and lasts 6 s is over at 7 s; the next try begins at most 0.75 s later.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

import asyncpg

from agentcontainer import db
from agentcontainer.db import RawConnection
from agentcontainer.periodic import FailureLog

HEARTBEAT_SECONDS = 1.0
TRY_SECONDS = 0.75  # how long a try on a new connection may take
PAUSE_SECONDS = 0.25  # after a try that failed at once
STOP_AFTER_SHARE = 0.85  # of the time after which others take over the tasks
KILL_AFTER_SHARE = 0.9  # the same, if this process does not even stop its attempts: see sandbox/watchdog.py
EXPECTED = (asyncpg.PostgresError, *db.UNREACHABLE)
Beat = Callable[[RawConnection], Awaitable[None]]


async def keep_lease(
    url: str,
    beat: Beat,
    lost_after_seconds: float,
    stop_attempts: Callable[[], None],
    on_renewed: Callable[[float], None] = lambda _: None,
) -> NoReturn:
    """Call `beat` every `HEARTBEAT_SECONDS` until cancelled, on a connection of its own. If none succeeds for
    `STOP_AFTER_SHARE` of the lease, call `stop_attempts`.

    `on_renewed` gets the time of each renewal, by CLOCK_BOOTTIME: when the heartbeat began.
    """
    loop = asyncio.get_running_loop()
    stop_after_seconds = lost_after_seconds * STOP_AFTER_SHARE
    stop_timer = loop.call_later(stop_after_seconds, stop_attempts)
    heartbeats, renewed_at = _Heartbeats(url, beat, lost_after_seconds), boottime()
    try:
        while True:
            last = await heartbeats.beat()
            stop_timer.cancel()
            # True after this process, or its host, was stopped for so long.
            if boottime() - renewed_at > stop_after_seconds:
                stop_attempts()
            stop_timer = loop.call_at(last.began_at + stop_after_seconds, stop_attempts)
            renewed_at = last.began_at_boottime
            on_renewed(renewed_at)
            await asyncio.sleep(max(0.0, last.began_at + HEARTBEAT_SECONDS - loop.time()))
    finally:
        stop_timer.cancel()
        heartbeats.close()


def boottime() -> float:
    """Seconds since the host's start. Unlike the event loop's clock, it goes on while the host is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class _Heartbeats:
    """Beats until one try succeeds. A try that hangs does not delay the next ones.

    The first try of a beat uses the connection of the last one, and may take as long as the lease, so that a slow
    database is enough. From `TRY_SECONDS` on, short tries on new connections run beside it, one after the other.
    """

    def __init__(self, url: str, beat: Beat, lost_after_seconds: float) -> None:
        self._url = url
        self._beat = beat
        self._lost_after_seconds = lost_after_seconds
        self._connection: RawConnection | None = None
        self._failures = FailureLog("renewing the runner's lease", EXPECTED)

    async def beat(self) -> "_Try":
        """Returns the try that succeeded."""
        long = short = None
        try:
            while True:
                if long is None:
                    long = self._start(self._connection, self._lost_after_seconds)
                    self._connection = None
                elif short is None:
                    short = self._start(None, TRY_SECONDS)
                ended = await _first_ended([long] if short is None else [long, short])
                for ended_try in ended:
                    if not self._has_failed(ended_try):
                        self._connection, ended_try.connection = ended_try.connection, None
                        return ended_try
                long = None if long in ended else long
                short = None if short in ended else short
                if ended:
                    await asyncio.sleep(PAUSE_SECONDS)
        finally:
            for unfinished in (long, short):
                if unfinished is not None:
                    unfinished.abandon()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()

    def _start(self, connection: RawConnection | None, seconds: float) -> "_Try":
        return _Try(self._url, self._beat, connection, seconds)

    def _has_failed(self, ended: "_Try") -> bool:
        error = ended.task.exception()
        if error is None:
            return False
        if not isinstance(error, Exception):
            raise error
        self._failures.add(error)
        return True


class _Try:
    """One try to renew the lease."""

    def __init__(self, url: str, beat: Beat, connection: RawConnection | None, seconds: float) -> None:
        self.began_at = asyncio.get_running_loop().time()
        self.began_at_boottime = boottime()
        self.connection = connection
        self._url = url
        self._beat = beat
        self.task = asyncio.create_task(self._run())
        self._timer = asyncio.get_running_loop().call_later(seconds, self.abandon)

    async def _run(self) -> None:
        try:
            if self.connection is None or self.connection.is_closed():
                self.connection = await db.connect(self._url)
            await self._beat(self.connection)
        except asyncio.CancelledError:
            raise TimeoutError("no reply") from None
        finally:
            self._timer.cancel()

    def abandon(self) -> None:
        """Close the connection and end the try. Does not wait: to cancel a query, asyncpg would open a connection."""
        if self.connection is not None:
            self.connection.terminate()
        self.task.cancel()
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())


async def _first_ended(tries: Sequence[_Try]) -> list[_Try]:
    """The tries that have ended, as soon as there is one; none after `TRY_SECONDS`."""
    await asyncio.wait(
        [each.task for each in tries], timeout=TRY_SECONDS, return_when=asyncio.FIRST_COMPLETED
    )
    return [each for each in tries if each.task.done()]
