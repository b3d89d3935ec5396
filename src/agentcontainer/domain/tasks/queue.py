"""The queue: which pending task a runner claims next.

The rows of `tasks` are the queue. `account_queues` has a row for each account, whose counters triggers keep, so that a
claim reads a few rows, however many tasks are pending.

- Accounts take turns: the one with the fewest running tasks first, then the one whose last claim is the oldest.
- Of an account's tasks, the highest priority comes first. Then come messages to conversations and work that has begun
  before, then the task that has been pending for longest.
- A claim is one statement. It skips rows that others have locked, and so waits for nobody.
- For `PREFERENCE`, a conversation's next turn is left to the runner of its last container, which has its image, if that
  runner lives and has a free slot.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from agentcontainer.db import Connection, Pool
from agentcontainer.domain.execution.model import RuntimeRegion
from agentcontainer.domain.tasks import events
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.errors import LimitReached
from agentcontainer.ids import new_id
from agentcontainer.telemetry import metrics

CHANNEL = "agentcontainer_queue"  # NOTIFY payload: the region of a task that became ready to be claimed
REGIONS: dict[RuntimeRegion, Sequence[RuntimeRegion]] = {"any": ["any"], "eu": ["any", "eu"]}
"""A runner's region → the regions whose tasks it takes."""
MAX_ACCOUNTS = 20  # that one claim looks at, should others be claiming the tasks of the first ones
PREFERENCE = timedelta(milliseconds=200)

# The event is appended by the same statement, so that no claim is without it and a claim is still one round trip.
_CLAIM = """
WITH claimed AS (
UPDATE tasks SET status = 'running', updated_at = clock_timestamp(), attempt = attempt + 1, runner_id = $1,
    last_event_sequence = last_event_sequence + 1
FROM (
    SELECT best.id FROM (
        SELECT account_id FROM account_queues WHERE is_due_{region}
        ORDER BY running, served_at LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED
    ) AS account CROSS JOIN LATERAL (
        SELECT first.id FROM unnest($2::text[]) AS region (name) CROSS JOIN LATERAL (
            SELECT id, priority, mode = 'autonomous' AND attempt = 0 AS is_new, pending_since FROM tasks
            WHERE account_id = account.account_id AND status = 'pending' AND not_before IS NULL
                AND coalesce(execution->>'runtimeRegion', 'any') = region.name
                AND (mode = 'autonomous' OR last_runner_id IS NULL OR last_runner_id = $1
                    OR pending_since < clock_timestamp() - $5::interval OR NOT EXISTS (
                        SELECT FROM runners AS last WHERE last.id = tasks.last_runner_id AND last.stopped_at IS NULL
                            AND last.draining_at IS NULL AND last.heartbeat_at > now() - $3::interval
                            AND last.capacity > (SELECT count(*) FROM tasks AS held
                                WHERE held.status = 'running' AND held.runner_id = last.id)
                    ))
            ORDER BY -priority, (mode = 'autonomous' AND attempt = 0), pending_since, id
            LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
        ) AS first ORDER BY -first.priority, first.is_new, first.pending_since, first.id LIMIT 1
    ) AS best
    WHERE EXISTS (
        SELECT FROM runners WHERE id = $1 AND stopped_at IS NULL AND draining_at IS NULL
            AND heartbeat_at > now() - $3::interval
    ) AND NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
    LIMIT 1
) AS next WHERE tasks.id = next.id RETURNING tasks.id, tasks.attempt, last_event_sequence,
    coalesce(execution->>'runtimeRegion', 'any') AS region,
    greatest(0, extract(epoch FROM clock_timestamp() - pending_since))::float8 AS waited_seconds
), event AS (
    INSERT INTO events (task_id, sequence, id, type, data)
    SELECT id, last_event_sequence, $6, 'task.claimed',
        jsonb_build_object('status', 'running', 'attempt', attempt, 'runnerId', $1::text) FROM claimed
)
SELECT id, attempt, region, waited_seconds, pg_notify($7, id) FROM claimed
"""
_COUNT_DUE = """
SELECT coalesce(sum(least(ready, room)), 0)::bigint FROM (
    SELECT ready_any + CASE WHEN $1 = 'eu' THEN ready_eu ELSE 0 END AS ready,
        coalesce(max_running, 2147483647) - running AS room
    FROM account_queues WHERE is_due_{region} ORDER BY running, served_at LIMIT $2
) AS due WHERE NOT EXISTS (SELECT FROM installation WHERE paused_at IS NOT NULL)
"""
_IS_ANOTHER_FIRST = """
SELECT EXISTS (SELECT FROM account_queues WHERE is_due_{region} AND account_id <> $1
    AND running < (SELECT running FROM account_queues WHERE account_id = $1))
"""
_SET_PRIORITY = """
UPDATE tasks SET priority = $2::int, overrides = overrides || jsonb_build_object('priority', $2::int) WHERE id = $1
"""
_LIMIT = "SELECT queued, max_queued FROM account_queues WHERE account_id = $1"
_PAUSE = "UPDATE installation SET paused_at = coalesce(paused_at, now())"
_RESUME = "UPDATE installation SET paused_at = NULL"
_DELAY = "UPDATE tasks SET not_before = clock_timestamp() + $2::interval WHERE id = $1 AND status = 'pending'"
_DELAYED = """
SELECT id FROM tasks WHERE status = 'pending' AND not_before <= now() ORDER BY not_before LIMIT 500
"""
_END_DELAY = """
UPDATE tasks SET not_before = NULL WHERE id = $1 AND status = 'pending' AND (not_before <= now() OR NOT $2)
RETURNING true
"""
# The planner's statistics can be older than a burst of dispatches. Without these settings it may then sort all pending
# tasks of an account instead of reading the first one from its index.
_PLAN_BY_INDEX = "SET enable_sort = off; SET enable_seqscan = off; SET enable_bitmapscan = off"
# A plan that uses what is switched off counts as very expensive, and PostgreSQL compiles expensive statements (`jit`),
# which takes seconds of CPU time. A claim that its runner has given up ends in the server too.
_LIMITS = "SET jit = off; SET statement_timeout = '3s'"


async def prepare(connection: Connection) -> None:
    """Make the session plan claims as they should be, whatever the planner's statistics say. For claims only."""
    await connection.execute(f"{_PLAN_BY_INDEX}; {_LIMITS}")


async def claim(
    connection: Connection, runner_id: str, region: RuntimeRegion, lost_after_seconds: float,
    timeout: float | None = None,
) -> Claim | None:  # fmt: skip
    """Claim the next task that this runner may run: `pending` → `running`, with the next attempt number. The session
    is prepared by `prepare`.

    None: there is none, others are claiming those there are, or this runner has no heartbeat in `lost_after_seconds`.
    """
    arguments = claim_arguments(runner_id, region, lost_after_seconds)
    row = await connection.fetchrow(claim_statement(region), *arguments, timeout=timeout)
    if row is None:
        return None
    metrics.QUEUE_WAIT.labels(row["region"]).observe(row["waited_seconds"])
    return Claim(row["id"], row["attempt"], row["waited_seconds"])


def claim_statement(region: RuntimeRegion) -> str:
    """The SQL of `claim`."""
    return _CLAIM.format(region=region)


def claim_arguments(
    runner_id: str, region: RuntimeRegion, lost_after_seconds: float
) -> tuple[str, Sequence[str], timedelta, int, timedelta, str, str]:
    """The parameters of `claim_statement`."""
    lost_after = timedelta(seconds=lost_after_seconds)
    return (
        runner_id, REGIONS[region], lost_after, MAX_ACCOUNTS, PREFERENCE, new_id("evt"), events.CHANNEL,
    )  # fmt: skip


async def count_due(
    connection: Connection | Pool, region: RuntimeRegion, limit: int, timeout: float | None = None
) -> int:
    """How many tasks wait for a slot on a runner of this region; from `limit` on it is a lower bound. 0 while the
    queue is paused."""
    return await connection.fetchval(_COUNT_DUE.format(region=region), region, limit, timeout=timeout)


async def is_another_first(pool: Connection | Pool, region: RuntimeRegion, account_id: str) -> bool:
    """Whether another account would get the slot that a running task of this account gives up."""
    return await pool.fetchval(_IS_ANOTHER_FIRST.format(region=region), account_id)


async def check_room(connection: Connection, account_id: str, count: int) -> None:
    """Check that the account may have so many more pending tasks. Its other dispatches wait for this transaction.

    Raises:
        LimitReached: it may not.
    """
    fault = await room_fault(connection, account_id, count, "FOR NO KEY UPDATE")
    if fault is not None:
        raise fault


async def room_fault(
    connection: Connection, account_id: str, count: int, lock: Literal["", "FOR NO KEY UPDATE"] = ""
) -> LimitReached | None:
    """Why the account may not have so many more pending tasks. None: it may."""
    row = await connection.fetchrow(f"{_LIMIT} {lock}", account_id)
    if row is None or row["max_queued"] is None or row["queued"] + count <= row["max_queued"]:
        return None
    return LimitReached(
        f"{row['queued']} tasks of this account are pending, and its limit is {row['max_queued']}, so {count} more "
        "cannot be dispatched. Wait until some have begun."
    )


async def set_paused(pool: Connection | Pool, *, is_paused: bool) -> None:
    """Let no runner claim a task, or let them claim again."""
    await pool.execute(_PAUSE if is_paused else _RESUME)


async def set_priority(connection: Connection, task_id: str, priority: int) -> None:
    """Set the task's priority, which its overrides show too."""
    await connection.execute(_SET_PRIORITY, task_id, priority)


async def delay(connection: Connection, task_id: str, delay: timedelta) -> None:
    """Let no runner claim a pending task for this long."""
    await connection.execute(_DELAY, task_id, delay)


async def delayed(pool: Pool) -> list[str]:
    """Ids of pending tasks whose delay is over: 500 at most."""
    return [row["id"] for row in await pool.fetch(_DELAYED)]


async def end_delay(pool: Pool, task_id: str, *, is_due_only: bool = True) -> bool:
    """Let runners claim a delayed task, unless its delay lasts longer (`is_due_only`). False: nothing was changed."""
    return bool(await pool.fetchval(_END_DELAY, task_id, is_due_only))
