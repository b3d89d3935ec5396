"""Repeats a statement that deletes a bounded number of rows until it finds no more.

Each batch is a transaction of its own. The batches get smaller while they take too long, so that no lock is held for
long.
"""

import time
from collections.abc import Awaitable, Callable

from agentcontainer import db
from agentcontainer.db import Connection, Pool

MAX_ROWS = 1000
MIN_ROWS = 10
SECONDS = 0.1  # aimed at

Step = Callable[[Connection, int], Awaitable[int]]


async def repeat(pool: Pool, step: Step) -> int:
    """Call `step(connection, limit)`, which returns how many rows it deleted, until these are fewer than `limit`;
    returns how many were deleted altogether."""
    limit, total = MAX_ROWS, 0
    while True:
        async with db.transaction(pool) as connection:
            begin = time.monotonic()
            count = await step(connection, limit)
        seconds = time.monotonic() - begin
        total += count
        if count < limit:
            return total
        if seconds > SECONDS:
            limit = max(MIN_ROWS, limit // 2)
        elif seconds < SECONDS / 4:
            limit = min(MAX_ROWS, limit * 2)
