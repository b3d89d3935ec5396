"""What API keys and accounts used today, in UTC, and whether their limits allow more.

A row is locked until its transaction ends, so that a limit is exact however many requests come at once.
"""

from dataclasses import dataclass
from datetime import datetime

from agentcontainer.db import Connection
from agentcontainer.domain.accounts.principal import Principal
from agentcontainer.errors import LimitReached

_TAKE = """
INSERT INTO daily_use AS today (owner_id, day, tasks)
SELECT $1, (clock_timestamp() AT TIME ZONE 'UTC')::date, $2::int WHERE $2 <= $3
ON CONFLICT (owner_id, day) DO UPDATE SET tasks = today.tasks + excluded.tasks
    WHERE today.tasks + excluded.tasks <= $3
RETURNING tasks
"""
_USED = """
SELECT coalesce((SELECT tasks FROM daily_use WHERE owner_id = $1 AND day = today.day), 0) AS tasks, ends_at,
    ceil(extract(epoch FROM ends_at - clock_timestamp()))::int AS seconds
FROM (SELECT day, (day + 1)::timestamp AT TIME ZONE 'UTC' AS ends_at
      FROM (SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date AS day) AS now) AS today
"""


@dataclass(frozen=True)
class Day:
    """What is used of the day, when it ends, and in how many seconds."""

    tasks: int
    ends_at: datetime
    seconds: int


async def take(connection: Connection, caller: Principal | None, count: int) -> None:
    """Count new tasks and turns for the caller's key. They count only if the transaction is committed.

    Raises:
        LimitReached: these would be more than the key may begin on a day.
    """
    if caller is None or caller.key_id is None or caller.limits.tasks_per_day is None:
        return
    limit = caller.limits.tasks_per_day
    if await connection.fetchval(_TAKE, caller.key_id, count, limit) is not None:
        return
    today = await used(connection, caller.key_id)
    left = f", so {count} more do not fit" if count > 1 else ""
    raise LimitReached(
        f"This key may begin {limit} tasks and turns a day, and has begun {today.tasks} today{left}. "
        f"A new day begins at {today.ends_at:%Y-%m-%d %H:%M} UTC.",
        today.seconds,
    )


async def used(connection: Connection, owner_id: str) -> Day:
    """What the key or account used today."""
    row = await connection.fetchrow(_USED, owner_id)
    assert row is not None
    return Day(row["tasks"], row["ends_at"], row["seconds"])
