"""SQL that reads the state of the whole installation, and the rows of its API processes.

Each statement reads what is live, by an index: its cost does not grow with the history.
"""

from datetime import timedelta

from agentcontainer.db import Connection, Pool
from agentcontainer.domain.processes.model import (
    AccountQueue,
    ApiProcess,
    OpenTransaction,
    RegionQueue,
    Runner,
)
from agentcontainer.migrations import schema

MAX_ROWS = 1000

_BEAT = """
INSERT INTO api_processes (id, host, port, version, newest_schema) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE SET heartbeat_at = now()
"""
_REMOVE = "DELETE FROM api_processes WHERE id = $1 OR heartbeat_at < now() - interval '1 day'"
_API_PROCESSES = """
SELECT id, host, port, version, extract(epoch FROM now() - heartbeat_at)::float8 AS silent_seconds
FROM api_processes ORDER BY id LIMIT $1
"""
_RUNNERS = """
SELECT r.id, r.name, r.host, r.version, r.region, r.capacity, r.clock_skew_seconds,
    r.draining_at IS NOT NULL AS is_draining,
    extract(epoch FROM now() - r.heartbeat_at)::float8 AS silent_seconds, coalesce(t.claims, 0) AS claims
FROM runners r LEFT JOIN (
    SELECT runner_id, count(*) AS claims FROM tasks
    WHERE status IN ('running', 'awaiting_input') AND runner_id IS NOT NULL GROUP BY runner_id
) AS t ON t.runner_id = r.id
WHERE r.stopped_at IS NULL AND (r.heartbeat_at > now() - $1::interval OR t.claims > 0)
ORDER BY r.region, r.host, r.id LIMIT $2
"""
# The counters of `account_queues` say how many tasks are pending, so that none of these reads all of them.
_LIVE_TASKS = """
SELECT 'pending' AS status, coalesce(sum(queued), 0)::bigint AS count FROM account_queues
UNION ALL
SELECT status, count(*) FROM tasks WHERE status IN ('running', 'awaiting_input', 'hibernating') GROUP BY status
"""
_QUEUES = """
SELECT region, waiting, coalesce(greatest(0, extract(epoch FROM now() - (
    SELECT pending_since FROM tasks WHERE status = 'pending' AND not_before IS NULL
        AND coalesce(execution->>'runtimeRegion', 'any') = region ORDER BY pending_since LIMIT 1
))), 0)::float8 AS oldest_seconds
FROM (
    SELECT 'any' AS region, coalesce(sum(ready_any), 0)::bigint AS waiting FROM account_queues
    UNION ALL SELECT 'eu', coalesce(sum(ready_eu), 0)::bigint FROM account_queues
) AS counted WHERE waiting > 0 ORDER BY region
"""
_ACCOUNT_QUEUES = """
SELECT account_id, queued AS waiting, running, max_running FROM account_queues WHERE queued > 0 OR running > 0
ORDER BY queued DESC, running DESC, account_id LIMIT $1
"""
_OPEN_TRANSACTIONS = """
SELECT coalesce(host(client_addr), 'local socket') AS client, coalesce(application_name, '') AS application,
    extract(epoch FROM clock_timestamp() - state_change)::float8 AS seconds
FROM pg_stat_activity
WHERE datname = current_database() AND state LIKE 'idle in transaction%'
    AND state_change < clock_timestamp() - $1::interval
ORDER BY state_change LIMIT $2
"""


async def beat(pool: Pool, process_id: str, host: str, port: int, version: str) -> None:
    """Record that this API process lives."""
    await pool.execute(_BEAT, process_id, host, port, version, schema.HEAD, timeout=5)


async def remove(pool: Pool, process_id: str) -> None:
    """Remove an API process that stops, and those that have been silent for a day."""
    await pool.execute(_REMOVE, process_id, timeout=5)


async def api_processes(pool: Pool) -> list[ApiProcess]:
    """The API processes that have not stopped, also those that died within the last day."""
    return [ApiProcess(**dict(row)) for row in await pool.fetch(_API_PROCESSES, MAX_ROWS)]


async def runners(pool: Pool, silent_for: timedelta = timedelta(hours=1)) -> list[Runner]:
    """The runners that have not stopped and were heard of within this time, or have claims."""
    return [Runner(**dict(row)) for row in await pool.fetch(_RUNNERS, silent_for, MAX_ROWS)]


async def live_tasks(pool: Pool | Connection) -> dict[str, int]:
    """How many tasks have each status that is not final."""
    return {row["status"]: row["count"] for row in await pool.fetch(_LIVE_TASKS)}


async def queues(pool: Pool | Connection) -> list[RegionQueue]:
    """The tasks that wait for a runner, by region."""
    return [RegionQueue(**dict(row)) for row in await pool.fetch(_QUEUES)]


async def account_queues(pool: Pool, limit: int) -> list[AccountQueue]:
    """The accounts with most waiting tasks."""
    return [AccountQueue(**dict(row)) for row in await pool.fetch(_ACCOUNT_QUEUES, limit)]


async def open_transactions(pool: Pool, longer_than: timedelta) -> list[OpenTransaction]:
    """Transactions that have been idle for that long."""
    rows = await pool.fetch(_OPEN_TRANSACTIONS, longer_than, MAX_ROWS)
    return [OpenTransaction(**dict(row)) for row in rows]
