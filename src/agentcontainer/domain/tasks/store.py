"""All SQL on `tasks`. `move` is the only writer of `status`; it refuses illegal and stale moves."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from agentcontainer import db
from agentcontainer.db import Connection, Page, Pool
from agentcontainer.domain.tasks.model import Claim, Output, Task
from agentcontainer.domain.tasks.state import TERMINAL, Status, sources
from agentcontainer.ids import new_id

_SELECT = """
SELECT t.*, a.name AS agent_name, v.container_image, v.base_prompt, t.container_micro_seconds
    + coalesce(extract(epoch FROM clock_timestamp() - t.container_started_at) * 1000000, 0)::bigint
    AS used_micro_seconds
FROM tasks t JOIN agents a ON a.id = t.agent_id JOIN agent_versions v ON v.id = t.agent_version_id
"""
_INSERT = """
INSERT INTO tasks (id, account_id, agent_id, agent_version_id, mode, status, title, instructions, metadata,
                   overrides, execution, skills, provider_key_ciphertext, hold_micro_usd, title_source,
                   input_repositories, session_ttl_seconds)
VALUES ($1, $2, $3, $4, $5, 'pending', $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
"""
# Concurrent dispatches do not wait for each other here; who pages oldest first waits for them, and they for its query.
_ON_ITS_WAY = "SELECT pg_advisory_xact_lock_shared(hashtextextended('tasks:' || $1, 0))"
_NONE_ON_ITS_WAY = "SELECT pg_advisory_xact_lock(hashtextextended('tasks:' || $1, 0))"
_INSERT_INPUT_FILES = """
INSERT INTO task_input_files (task_id, file_id, position)
SELECT $1, id, position FROM unnest($2::text[]) WITH ORDINALITY AS input (id, position)
"""
# Whatever a move leaves, the container is down after it: its time is added, or dropped where the platform
# is at fault ($5 false).
_MOVE = """
UPDATE tasks SET status = $2, updated_at = clock_timestamp(), runner_id = NULL, container_started_at = NULL,
    expires_at = NULL, hibernate_until_at = NULL,
    container_micro_seconds = container_micro_seconds + CASE WHEN $5 AND container_started_at IS NOT NULL
        THEN (extract(epoch FROM clock_timestamp() - container_started_at) * 1000000)::bigint ELSE 0 END,
    tries = tries + $6,
    completed_at = CASE WHEN $7 THEN clock_timestamp() END,
    provider_key_ciphertext = CASE WHEN $7 THEN NULL ELSE provider_key_ciphertext END,
    input_repositories = CASE WHEN $7 THEN (
        SELECT coalesce(jsonb_agg(entry - 'sealedToken'), '[]') FROM jsonb_array_elements(input_repositories) AS entry
    ) ELSE input_repositories END,
    turn_status = CASE WHEN $7 AND turn_status IN ('queued', 'running')
        THEN CASE WHEN $8::text IS NULL THEN 'failed' ELSE 'completed' END ELSE turn_status END,
    completion = $8, result = $9, error = $10, error_code = $11
WHERE id = $1 AND status = ANY($3::text[]) AND ($4::int IS NULL OR attempt = $4)
RETURNING account_id, attempt, tries, hold_micro_usd, container_micro_seconds, execution
"""
_CLAIM = """
UPDATE tasks SET status = 'running', updated_at = clock_timestamp(), attempt = attempt + 1, runner_id = $2
WHERE id = $1 AND status = 'pending' RETURNING attempt
"""
_SLEEP = """
UPDATE tasks SET hibernate_until_at = $2, hibernation_message = $3, hibernation_number = hibernation_number + 1,
    checkpoint_id = $4, wake_kind = NULL, tries = 0, is_mid_turn = true
WHERE id = $1
"""
_ADOPT = """
UPDATE tasks SET checkpoint_id = $3, wake_kind = NULL, is_mid_turn = true
FROM (
    SELECT id, checkpoint_id IS DISTINCT FROM $3 AS is_first_call FROM tasks
    WHERE id = $1 AND attempt = $2 AND status = 'running' FOR UPDATE
) AS before WHERE tasks.id = before.id RETURNING before.is_first_call
"""
_REST = """
UPDATE tasks SET status = 'awaiting_input', updated_at = clock_timestamp(), tries = 0,
    expires_at = clock_timestamp() + make_interval(secs => session_ttl_seconds)
WHERE id = $1 AND attempt = $2 AND status = 'running' RETURNING expires_at
"""
_SET_EXECUTION = """
UPDATE tasks SET overrides = $2, execution = $3, provider_key_ciphertext = CASE
    WHEN $4::bytea IS NOT NULL THEN $4  -- else the task's own key is for its provider only
    WHEN execution->>'provider' = $3::jsonb->>'provider' THEN provider_key_ciphertext END
WHERE id = $1
"""
_RESUME = """
UPDATE tasks SET status = 'running', updated_at = clock_timestamp(), expires_at = NULL
WHERE id = $1 AND status = 'awaiting_input' AND runner_id IS NOT NULL RETURNING true
"""
# A conversation between turns, its container still up: the time until now is counted, whatever becomes of it.
_PUT_AWAY = """
UPDATE tasks SET runner_id = NULL, container_started_at = NULL,
    container_micro_seconds = container_micro_seconds + CASE WHEN $3 AND container_started_at IS NOT NULL
        THEN (extract(epoch FROM clock_timestamp() - container_started_at) * 1000000)::bigint ELSE 0 END
WHERE id = $1 AND attempt = $2 AND status = 'awaiting_input' AND runner_id IS NOT NULL RETURNING true
"""
_COUNT_TIME = """
UPDATE tasks SET container_started_at = clock_timestamp(), container_micro_seconds = container_micro_seconds
    + (extract(epoch FROM clock_timestamp() - container_started_at) * 1000000)::bigint
WHERE id = $1 AND attempt = $2 AND status = 'running' AND container_started_at IS NOT NULL
"""
_CONTAINER_STARTED = """
UPDATE tasks SET started_at = coalesce(started_at, clock_timestamp()),
    container_started_at = coalesce(tasks.container_started_at, clock_timestamp())
FROM (
    SELECT id, container_started_at IS NULL AS is_first_call FROM tasks
    WHERE id = $1 AND attempt = $2 AND status = 'running' FOR UPDATE
) AS before WHERE tasks.id = before.id RETURNING before.is_first_call
"""
# Totals never fall, so they may arrive twice, and in any order.
_RAISE_USAGE = """
UPDATE tasks SET input_tokens = greatest(input_tokens, $3), output_tokens = greatest(output_tokens, $4),
    unreported_tokens = greatest(unreported_tokens, $5), model_cost_micro_usd = greatest(model_cost_micro_usd, $6)
WHERE id = $1 AND attempt = $2
"""
_FORGET_KEYS = """
UPDATE messages SET provider_key_ciphertext = NULL WHERE task_id = $1 AND provider_key_ciphertext IS NOT NULL
"""
_INSERT_OUTPUT = """
INSERT INTO files (id, account_id, filename, content_type, size_bytes, sha256, blob_key, task_id, output_name,
                   is_partial)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING
"""
_TAKE_REMAINS = """
UPDATE tasks SET remains_at = now() WHERE id = $1 AND attempt = $2 AND remains_at IS NULL
    AND status IN ('failed', 'cancelled', 'expired')
RETURNING account_id
"""
_FORGOTTEN_REMAINS = """
SELECT id, attempt FROM tasks WHERE remains_at IS NULL AND checkpoint_id IS NOT NULL
    AND status IN ('failed', 'cancelled', 'expired') AND completed_at < now() - $1::interval
ORDER BY completed_at LIMIT 10
"""
_HELD_BY = "SELECT id, attempt FROM tasks WHERE runner_id = $1 AND status IN ('running', 'awaiting_input')"
_LOST = """
SELECT t.id, t.attempt FROM tasks t LEFT JOIN runners r ON r.id = t.runner_id
WHERE (t.status = 'running' OR t.status = 'awaiting_input' AND t.runner_id IS NOT NULL)
    AND (r.id IS NULL OR r.stopped_at IS NOT NULL OR r.heartbeat_at < now() - $1::interval)
"""
_EXPIRED = """
SELECT id FROM tasks WHERE status = 'awaiting_input' AND expires_at < now() ORDER BY expires_at LIMIT 500
"""
_WAITING = """
SELECT id, attempt, execution->>'runtimeRegion' AS region FROM tasks
WHERE status = 'pending' AND updated_at < now() - $1::interval AND NOT EXISTS (
    SELECT FROM pgqueuer WHERE dedupe_key = tasks.id || ':' || attempt AND status IN ('queued', 'picked'))
ORDER BY id LIMIT 500
"""


async def begin(connection: Connection, account_id: str) -> str:
    """The id of a task that this transaction inserts. `list_page` knows that it is on its way."""
    await connection.execute(_ON_ITS_WAY, account_id)
    return new_id("tsk")


async def insert(
    connection: Connection, task_id: str, values: Sequence[Any], input_file_ids: Sequence[str]
) -> None:
    """A new row, `pending`, with its input files."""
    await connection.execute(_INSERT, task_id, *values)
    if input_file_ids:
        await connection.execute(_INSERT_INPUT_FILES, task_id, list(input_file_ids))


async def get(connection: Connection | Pool, task_id: str, account_id: str | None = None) -> Task | None:
    """The task, or None: not there, or another account's."""
    row = await connection.fetchrow(
        _SELECT + "WHERE t.id = $1 AND ($2::text IS NULL OR t.account_id = $2)", task_id, account_id
    )
    return Task.of(row) if row else None


async def lock(connection: Connection, task_id: str, account_id: str | None = None) -> Task | None:
    """`get`, and nobody else changes the row before this transaction ends."""
    await connection.execute("SELECT FROM tasks WHERE id = $1 FOR UPDATE", task_id)
    return await get(connection, task_id, account_id)


async def list_page(
    pool: Pool,
    account_id: str,
    filters: dict[str, Any],
    *,
    after_id: str | None,
    limit: int,
    is_descending: bool,
) -> Page[Task]:
    """Tasks by id (that is, by creation), from `after_id` on.

    `filters`: any of status, agent_id, mode, created_after, created_before, metadata (a dict of strings).
    """
    arguments: list[Any] = [account_id]

    def argument(value: Any) -> str:
        arguments.append(value)
        return f"${len(arguments)}"

    comparisons = {"status": "=", "agent_id": "=", "mode": "=", "created_after": ">", "created_before": "<"}
    clauses = ["t.account_id = $1"]
    for name, value in filters.items():
        if name == "metadata":
            clauses.append(f"t.metadata @> {argument(value)}::jsonb")
        else:
            column = "created_at" if name.startswith("created_") else name
            clauses.append(f"t.{column} {comparisons[name]} {argument(value)}")
    if after_id is not None:
        clauses.append(f"t.id {'<' if is_descending else '>'} {argument(after_id)}")
    query, order = f"{_SELECT}WHERE {' AND '.join(clauses)}", f"id {'DESC' if is_descending else 'ASC'}"
    if is_descending:
        return await db.fetch_page(pool, query, *arguments, order=order, limit=limit, of=Task.of)
    async with db.transaction(pool) as connection:
        # Else the cursor passes tasks that are committed after younger ones.
        await connection.execute(_NONE_ON_ITS_WAY, account_id)
        return await db.fetch_page(connection, query, *arguments, order=order, limit=limit, of=Task.of)


async def claim(connection: Connection, task_id: str, runner_id: str) -> Claim | None:
    """`pending` → `running` with the next attempt number; None when somebody else was first."""
    attempt = await connection.fetchval(_CLAIM, task_id, runner_id)
    return None if attempt is None else Claim(task_id, attempt)


async def move(
    connection: Connection,
    task_id: str,
    to: Status,
    *,
    attempt: int | None = None,
    is_charged: bool = True,
    uses_a_try: bool = False,
    completion: str | None = None,
    result: str | None = None,
    error: str | None = None,
    error_code: str | None = None,
    only_from: Status | None = None,
) -> Any | None:
    """Move a task on, and its container time with it; None, and nothing changed, when the move is not allowed
    from where the task is, or `attempt` is no longer its attempt. Moves to `running` go through `claim`, those of a
    conversation whose container stays up through `rest` and `resume`."""
    is_final = to in TERMINAL
    allowed = sources(to) if only_from is None else [only_from.value]
    return await connection.fetchrow(
        _MOVE, task_id, to.value, allowed, attempt, is_charged, int(uses_a_try), is_final,
        completion, result, error, error_code,
    )  # fmt: skip


async def rest(connection: Connection, claim: Claim) -> datetime | None:
    """`running` → `awaiting_input` with the container still up; when it expires. None: the claim is lost."""
    return await connection.fetchval(_REST, claim.task_id, claim.attempt)


async def sleep(
    connection: Connection, task_id: str, until: datetime, message: str, checkpoint_id: str
) -> None:
    """What is known of a hibernation that begins."""
    await connection.execute(_SLEEP, task_id, until, message, checkpoint_id)


async def set_wake_kind(connection: Connection, task_id: str, kind: str) -> None:
    """What ended the hibernation."""
    await connection.execute("UPDATE tasks SET wake_kind = $2 WHERE id = $1", task_id, kind)


async def adopt(connection: Connection, claim: Claim, checkpoint_id: str) -> bool | None:
    """The next container starts from this checkpoint; whether it did not before. None: the claim is lost."""
    return await connection.fetchval(_ADOPT, claim.task_id, claim.attempt, checkpoint_id)


async def set_execution(
    connection: Connection,
    task_id: str,
    overrides: dict[str, Any],
    execution: dict[str, Any],
    key: bytes | None,
) -> None:
    """What the task runs with from now on; `key` None: with the key it has."""
    await connection.execute(_SET_EXECUTION, task_id, overrides, execution, key)


async def resume(connection: Connection, task_id: str) -> bool:
    """`awaiting_input` → `running` in the container that is still up; False when there is none."""
    return bool(await connection.fetchval(_RESUME, task_id))


async def evict(connection: Connection | Pool, claim: Claim, *, is_charged: bool = True) -> bool:
    """The container of a conversation that waits is given up; False when it no longer waits, or not in that one."""
    return bool(await connection.fetchval(_PUT_AWAY, claim.task_id, claim.attempt, is_charged))


async def count_time(connection: Connection, claim: Claim) -> None:
    """Count the container time until now for good: a later loss of the container does not undo it."""
    await connection.execute(_COUNT_TIME, claim.task_id, claim.attempt)


async def forget_keys(connection: Connection, task_id: str) -> None:
    """Drop the provider keys that came with messages no turn has begun on."""
    await connection.execute(_FORGET_KEYS, task_id)


async def is_expired(connection: Connection, task_id: str) -> bool:
    """Whether a conversation has waited too long; nobody else changes that before this transaction ends."""
    query = (
        "SELECT true FROM tasks WHERE id = $1 AND status = 'awaiting_input' AND expires_at < now() FOR UPDATE"
    )
    return bool(await connection.fetchval(query, task_id))


async def set_cost(connection: Connection, task_id: str, micro_usd: int) -> None:
    """The final cost; the hold is settled with it."""
    await connection.execute(
        "UPDATE tasks SET cost_micro_usd = $2, hold_micro_usd = 0 WHERE id = $1", task_id, micro_usd
    )


async def set_hold(connection: Connection, task_id: str, micro_usd: int) -> None:
    """What was held for the task."""
    await connection.execute("UPDATE tasks SET hold_micro_usd = $2 WHERE id = $1", task_id, micro_usd)


async def container_started(connection: Connection | Pool, claim: Claim) -> bool | None:
    """Container time runs from the first call; whether this is it. None: the claim is lost."""
    return await connection.fetchval(_CONTAINER_STARTED, claim.task_id, claim.attempt)


async def raise_usage(
    pool: Pool, claim: Claim, input_tokens: int, output_tokens: int, unreported_tokens: int, micro_usd: int
) -> None:
    """What all of the task's model requests have used and cost by now. `unreported_tokens`: an upper bound of what
    requests used whose provider did not say. Idempotent."""
    await pool.execute(
        _RAISE_USAGE, claim.task_id, claim.attempt, input_tokens, output_tokens, unreported_tokens, micro_usd
    )


async def set_title(connection: Connection, claim: Claim, title: str) -> bool:
    """A new title; False when the claim is lost."""
    query = "UPDATE tasks SET title = $3 WHERE id = $1 AND attempt = $2 AND status = 'running' RETURNING true"
    return bool(await connection.fetchval(query, claim.task_id, claim.attempt, title))


async def is_output(connection: Connection, file_id: str) -> bool:
    """Whether this file has been inserted."""
    return bool(await connection.fetchval("SELECT true FROM files WHERE id = $1", file_id))


async def insert_outputs(
    connection: Connection,
    account_id: str,
    task_id: str,
    outputs: Sequence[Output],
    *,
    is_partial: bool = False,
) -> None:
    """The rows of output files whose blobs are stored."""
    await connection.executemany(
        _INSERT_OUTPUT,
        [
            (
                o.id,
                account_id,
                o.filename,
                o.content_type,
                o.size_bytes,
                o.sha256,
                o.blob_key,
                task_id,
                o.output_name,
                is_partial,
            )
            for o in outputs
        ],
    )


async def notify_of_end(connection: Connection, channel: str, task_id: str) -> None:
    """Say which task has left its last attempt behind, and the attempt's number."""
    query = "SELECT pg_notify($2, id || ' ' || attempt) FROM tasks WHERE id = $1"
    await connection.execute(query, task_id, channel)


async def take_partial_outputs(connection: Connection | Pool, task_id: str, attempt: int) -> str | None:
    """The account of a task that ended without handing anything over, whose remains are the caller's to keep, once."""
    return await connection.fetchval(_TAKE_REMAINS, task_id, attempt)


async def missing_partial_outputs(pool: Pool, older_than: timedelta) -> list[Claim]:
    """Ten tasks that ended that long ago, with a checkpoint, whose remains nobody kept: the last attempt of each."""
    return [Claim(row["id"], row["attempt"]) for row in await pool.fetch(_FORGOTTEN_REMAINS, older_than)]


async def provider_key_ciphertext(pool: Pool, task_id: str) -> bytes | None:
    """The task's own provider key, encrypted."""
    return await pool.fetchval("SELECT provider_key_ciphertext FROM tasks WHERE id = $1", task_id)


async def held_by(connection: Connection | Pool, runner_id: str) -> set[Claim]:
    """The claims that the database says are this runner's."""
    return {Claim(row["id"], row["attempt"]) for row in await connection.fetch(_HELD_BY, runner_id)}


async def lost(pool: Pool, silent_for: timedelta) -> list[Claim]:
    """Tasks with a container whose runner has stopped, vanished, or been silent that long."""
    return [Claim(row["id"], row["attempt"]) for row in await pool.fetch(_LOST, silent_for)]


async def expired(pool: Pool) -> list[str]:
    """Ids of conversations that have waited too long."""
    return [row["id"] for row in await pool.fetch(_EXPIRED)]


async def waiting(pool: Pool, longer_than: timedelta) -> list[tuple[str, int, str]]:
    """(id, attempt, region) of tasks pending that long without a job in the queue."""
    return [(row["id"], row["attempt"], row["region"]) for row in await pool.fetch(_WAITING, longer_than)]
