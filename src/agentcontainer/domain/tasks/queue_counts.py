"""Compares the counters in `account_queues`, which triggers keep, with the tasks, and corrects them."""

from dataclasses import dataclass

from agentcontainer import db
from agentcontainer.db import Pool, Record

WHOLE_TABLE_SECONDS = 600.0

_COUNT = """
SELECT account_id, count(*) FILTER (WHERE status = 'running')::int AS running,
    count(*) FILTER (WHERE status = 'pending')::int AS queued,
    count(*) FILTER (WHERE is_ready AND region = 'any')::int AS ready_any,
    count(*) FILTER (WHERE is_ready AND region = 'eu')::int AS ready_eu
FROM (
    SELECT account_id, status, status = 'pending' AND not_before IS NULL AS is_ready,
        coalesce(execution->>'runtimeRegion', 'any') AS region
    FROM tasks WHERE status IN ('pending', 'running')
) AS live GROUP BY account_id
"""
_WRONG = f"""
WITH tasks_of AS ({_COUNT}), pair AS (
    SELECT account_id,
        ARRAY[coalesce(q.running, 0), coalesce(q.queued, 0), coalesce(q.ready_any, 0), coalesce(q.ready_eu, 0)]
            AS counters,
        ARRAY[coalesce(t.running, 0), coalesce(t.queued, 0), coalesce(t.ready_any, 0), coalesce(t.ready_eu, 0)]
            AS counted
    FROM account_queues q FULL JOIN tasks_of t USING (account_id)
)
SELECT * FROM pair WHERE counters <> counted ORDER BY account_id
"""  # noqa: S608
# Until the transaction ends, every transaction that changes a counter waits for its COMMIT, and adds to the new value.
_LOCK = """
INSERT INTO account_queues AS q (account_id) VALUES ($1)
ON CONFLICT (account_id) DO UPDATE SET running = q.running
"""
_CORRECT = f"""
UPDATE account_queues SET running = t.running, queued = t.queued, ready_any = t.ready_any, ready_eu = t.ready_eu
FROM (
    SELECT coalesce(max(running), 0) AS running, coalesce(max(queued), 0) AS queued,
        coalesce(max(ready_any), 0) AS ready_any, coalesce(max(ready_eu), 0) AS ready_eu
    FROM ({_COUNT}) AS counted WHERE account_id = $1
) AS t WHERE account_id = $1
"""  # noqa: S608


@dataclass(frozen=True)
class QueueCounts:
    """How many tasks of an account run, are pending, and may be claimed now, by their region."""

    running: int
    queued: int
    ready_any: int
    ready_eu: int

    def __str__(self) -> str:
        return (
            f"{self.running} running and {self.queued} pending tasks, {self.ready_any} ready for any region and "
            f"{self.ready_eu} for eu"
        )


@dataclass(frozen=True)
class WrongCounts:
    """An account whose counters are not what its tasks say."""

    account_id: str
    counters: QueueCounts
    counted: QueueCounts

    @classmethod
    def of(cls, row: Record) -> "WrongCounts":
        return cls(row["account_id"], QueueCounts(*row["counters"]), QueueCounts(*row["counted"]))


async def wrong(pool: Pool) -> list[WrongCounts]:
    """The accounts whose counters are wrong. Reads all live tasks."""
    return [WrongCounts.of(row) for row in await pool.fetch(_WRONG, timeout=WHOLE_TABLE_SECONDS)]


async def correct(pool: Pool, account_id: str) -> None:
    """Set the account's counters to what its tasks say. It may run beside APIs and runners."""
    async with db.transaction(pool) as connection:
        await connection.execute(_LOCK, account_id)
        await connection.execute(_CORRECT, account_id)
