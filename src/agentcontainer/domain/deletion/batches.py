"""Repeats a statement that deletes a bounded number of rows until it finds no more.

Each batch is a transaction of its own. The batches get smaller while they take too long, so that no lock is held for
long.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

from agentcontainer import db
from agentcontainer.db import Connection, Pool

MAX_ROWS = 1000
MIN_ROWS = 10
SECONDS = 0.1  # aimed at
MAX_PAUSE_SECONDS = 1.0

Step = Callable[[Connection, int], Awaitable[int]]


class BatchSize:
    """How many rows the next batch has: fewer while batches take too long, and more again while they are quick."""

    def __init__(self, max_rows: int = MAX_ROWS) -> None:
        self._max_rows = max_rows
        self.rows = max_rows

    @contextmanager
    def timed(self) -> Generator[None]:
        """The block is a batch."""
        begin = time.monotonic()
        yield
        seconds = time.monotonic() - begin
        if seconds > SECONDS:
            self.rows = max(MIN_ROWS, self.rows // 2)
        elif seconds < SECONDS / 4:
            self.rows = min(self._max_rows, self.rows * 2)


async def repeat(pool: Pool, step: Step) -> int:
    """Call `step(connection, limit)`, which returns how many rows it deleted, until these are fewer than `limit`;
    returns how many were deleted altogether."""
    size, total = BatchSize(), 0
    while True:
        limit = size.rows
        async with db.transaction(pool) as connection:
            with size.timed():
                count = await step(connection, limit)
        total += count
        if count < limit:
            return total


async def rest(begin: float) -> None:
    """Wait as long as the work since `begin` took, so that it leaves room for others."""
    await asyncio.sleep(min(time.monotonic() - begin, MAX_PAUSE_SECONDS))
