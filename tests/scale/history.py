"""Databases with any number of ended tasks, and always the same number of live ones.

The rows are made by the server, with ids as `new_id` makes them: their first ten characters are the time.
"""

from dataclasses import dataclass

import asyncpg

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
MILLISECONDS_APART = 20_000  # a million tasks in 231 days
EVENTS_OF_A_TASK = 5
LIVE = 100
EXECUTION = (
    '{"provider": "anthropic", "model": "claude-sonnet-4-6", "weakModel": null, "internetAccess": false, '
    '"maxRuntimeSeconds": 60, "softFinishAfterSeconds": null, "outputPolicy": {"mode": "any"}, '
    '"runtimeRegion": "any"}'
)

# Task 1 is the newest. Of the ended ones, 1 in 50 failed and 1 in 20 is a conversation.
_ID = "'{prefix}_' || id_of_time({time}) || lpad(n::text, 16, '0')"
_FUNCTION = f"""
CREATE FUNCTION id_of_time(ms bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT string_agg(substr('{ALPHABET}', (ms >> shift & 31)::int + 1, 1), '' ORDER BY shift DESC)
   FROM generate_series(0, 45, 5) AS shift $$
"""
_TASKS = """
INSERT INTO tasks (id, account_id, agent_id, agent_version_id, mode, status, title, instructions, metadata, execution,
                   attempt, created_at, updated_at, started_at, completed_at, completion, error_code, remains_at,
                   last_event_sequence, runner_id, expires_at, session_ttl_seconds, hibernate_until_at)
SELECT {id}, CASE WHEN n % 10 = 0 THEN 'acc_' || n % 1000 ELSE $1 END, a.id, a.current_version_id,
    CASE WHEN status = 'awaiting_input' OR n % 20 = 3 THEN 'conversation' ELSE 'autonomous' END, status,
    'Report ' || n || ' of customer ' || n % 5000, repeat('Count the rows of the table. ', 20),
    jsonb_build_object('customer', 'c-' || n % 5000), $2::jsonb, 1, at, at, at,
    CASE WHEN n > {live} THEN at + interval '5 minutes' END, CASE WHEN status = 'finished' THEN 'complete' END,
    CASE WHEN status = 'failed' THEN 'agent_stopped' END, CASE WHEN n > {live} THEN at END, {events},
    CASE WHEN status = 'running' THEN 'rnr_1' END,
    CASE WHEN status = 'awaiting_input' THEN now() + interval '1 day' END, 3600,
    CASE WHEN status = 'hibernating' THEN now() + interval '1 day' END
FROM (
    SELECT n, {time} AS ms, to_timestamp({time} / 1000.0) AS at, CASE
        WHEN n > {live} THEN CASE WHEN n % 50 = 7 THEN 'failed' ELSE 'finished' END
        ELSE (ARRAY['pending', 'running', 'awaiting_input', 'hibernating'])[n % 4 + 1] END AS status
    FROM generate_series(1, $3::bigint) AS n
) AS task JOIN (
    SELECT id, current_version_id, row_number() OVER (ORDER BY id) - 1 AS number FROM agents
) AS a ON a.number = n % 3
"""
_EVENTS = """
INSERT INTO events (task_id, sequence, id, type, data, created_at)
SELECT {task_id}, sequence, {id} || sequence, 'tool.completed',
    '{{"callId": "call_1", "tool": "bash", "isError": false, "output": "North 12, South 7", "durationMs": 3}}', now()
FROM generate_series(1, $1::bigint) AS n, generate_series(1, {events}) AS sequence
"""
_FILES = """
INSERT INTO files (id, account_id, filename, content_type, size_bytes, sha256, blob_key, task_id, created_at)
SELECT {id}, CASE WHEN n % 10 = 0 THEN 'acc_' || n % 1000 ELSE $1 END, 'report.md', 'text/markdown', 1000, '', {id},
    CASE WHEN n % 2 = 0 THEN {task_id} END, to_timestamp({time} / 1000.0)
FROM generate_series(1, $2::bigint) AS n
"""
_LEDGER = """
INSERT INTO ledger_entries (id, account_id, kind, counter_account, amount_micro_usd, balance_after_micro_usd, task_id)
SELECT {id}, CASE WHEN n % 10 = 0 THEN 'acc_' || n % 1000 ELSE $1 END, 'charge', 'revenue', 0, 0, {task_id}
FROM generate_series(1, $2::bigint) AS n
"""
_INDEXES = """
SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index
WHERE indrelid = ANY(ARRAY['tasks', 'events', 'files', 'ledger_entries']::regclass[])
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
"""


@dataclass(frozen=True)
class History:
    """A filled database: its account with nine of ten tasks, and some tasks of that account."""

    url: str
    account_id: str
    tasks: int
    middle: str
    """A finished task, older than half of the others."""


def _id(prefix: str) -> str:
    return _ID.format(prefix=prefix, time=_time())


def _time() -> str:
    return f"((extract(epoch FROM now()) * 1000)::bigint - n * {MILLISECONDS_APART})"


async def fill(url: str, account_id: str, count: int) -> History:
    """Fill a migrated database that has the standard agents and this account."""
    connection = await asyncpg.connect(url, timeout=30)
    try:
        await connection.execute(_FUNCTION)
        await connection.execute(
            "INSERT INTO accounts (id, name, billing_mode) "
            "SELECT 'acc_' || n * 10, 'Other', 'unlimited_grant' FROM generate_series(0, 99) AS n"
        )
        await connection.execute(
            "INSERT INTO runners (id, region, host, capacity, heartbeat_at) "
            "VALUES ('rnr_1', 'any', 'h', 99, now() + interval '1 day')"
        )
        async with connection.transaction():  # one `now()`, so that the ids of all tables agree
            await _fill_tables(connection, account_id, count)
        await connection.execute("VACUUM ANALYZE", timeout=1200)
        middle = await connection.fetchval(
            "SELECT id FROM tasks WHERE account_id = $1 AND status = 'finished' ORDER BY id OFFSET $2 LIMIT 1",
            account_id, count * 45 // 100,
        )  # fmt: skip
        return History(url, account_id, count, middle)
    finally:
        await connection.close()


async def _fill_tables(connection: asyncpg.Connection, account_id: str, count: int) -> None:
    """Insert without triggers, foreign keys and indexes, then make the indexes and counters."""
    names = {"live": LIVE, "time": _time(), "events": EVENTS_OF_A_TASK, "task_id": _id("tsk")}
    indexes = await connection.fetch(_INDEXES)
    await connection.execute("SET LOCAL session_replication_role = replica")
    await connection.execute("SET LOCAL maintenance_work_mem = '512MB'")
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['name']}")
    await connection.execute(_TASKS.format(id=_id("tsk"), **names), account_id, EXECUTION, count, timeout=900)
    await connection.execute(_EVENTS.format(id=_id("evt"), **names), count, timeout=900)
    await connection.execute(_FILES.format(id=_id("file"), **names), account_id, count, timeout=900)
    await connection.execute(_LEDGER.format(id=_id("led"), **names), account_id, count, timeout=900)
    for index in indexes:
        await connection.execute(index["definition"], timeout=900)
    await connection.execute(
        "INSERT INTO account_storage SELECT account_id, sum(size_bytes) FROM files GROUP BY account_id "
        "ON CONFLICT (account_id) DO UPDATE SET used_bytes = excluded.used_bytes"
    )
    await connection.execute(
        "INSERT INTO account_queues (account_id, running, queued, ready_any) SELECT account_id, "
        "count(*) FILTER (WHERE status = 'running'), count(*) FILTER (WHERE status = 'pending'), "
        "count(*) FILTER (WHERE status = 'pending') FROM tasks WHERE status IN ('pending', 'running') "
        "GROUP BY account_id ON CONFLICT (account_id) DO UPDATE SET running = excluded.running, "
        "queued = excluded.queued, ready_any = excluded.ready_any"
    )
