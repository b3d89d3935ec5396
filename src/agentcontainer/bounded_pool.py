"""A connection pool whose users wait for a free connection for a bounded time, so that overload does not queue up."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

IDLE_SECONDS = 30.0  # then an unused connection is closed: many loops that begin together open some


class Busy(TimeoutError):
    """No connection of the pool became free in time."""


class BoundedPool(asyncpg.Pool):  # pyright: ignore[reportMissingTypeArgument]
    """A pool whose `acquire` raises Busy if all connections are in use for `wait_seconds`; None: it waits. Opening one
    may take longer: the database may be far away. The other arguments are those of `asyncpg.create_pool`."""

    __slots__ = ("_free", "_wait_seconds")

    def __init__(self, url: str, *, wait_seconds: float | None, max_size: int, **options: Any) -> None:
        super().__init__(
            url, max_size=max_size, max_queries=50_000, max_inactive_connection_lifetime=IDLE_SECONDS, loop=None,
            connection_class=asyncpg.Connection, record_class=asyncpg.Record, **options,
        )  # fmt: skip
        self._free = asyncio.Semaphore(max_size)
        self._wait_seconds = wait_seconds

    def acquire(self, *, timeout: float | None = None) -> Any:
        """A context with a connection.

        Raises:
            Busy: none became free in time.
        """
        return self._acquired(timeout)

    @asynccontextmanager
    async def _acquired(self, timeout: float | None) -> AsyncGenerator[Any]:
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise Busy(
                f"No connection to the database became free in {self._wait_seconds} seconds."
            ) from None
        try:
            async with super().acquire(timeout=timeout) as connection:
                yield connection
        finally:
            self._free.release()
