"""SQL on `tasks`, except inserts (insertion.py), claims (queue.py), turns (conversations) and events (events.py).

Only `insertion.insert`, `move` and `queue.claim` write `tasks.status`; a test checks that.
"""

from collections.abc import Sequence
from datetime import datetime

from agentcontainer.db import Connection, Pool, Record
from agentcontainer.domain.execution.model import Budget, Execution, Overrides
from agentcontainer.domain.execution.store import (
    budget_of,
    budget_to_json,
    execution_of,
    execution_to_json,
    overrides_of,
    overrides_to_json,
)
from agentcontainer.domain.files import unowned
from agentcontainer.domain.tasks import repositories
from agentcontainer.domain.tasks.model import (
    Claim,
    ClosedContainer,
    Hibernation,
    InputFile,
    Output,
    Spent,
    Task,
    TaskChange,
    TaskEnd,
    TaskUsage,
)
from agentcontainer.domain.tasks.state import Status, sources

# The columns of a Task, beside `tasks t`, and the tables that they need beside it.
_COMPUTED = (
    "input_files",
    "agent_name",
    "agent_version_number",
    "container_image",
    "base_prompt",
    "wake_link_id",
    "container_micro_seconds",
)
INPUT_FILES = """coalesce((
    SELECT jsonb_agg(jsonb_build_object('id', f.id, 'filename', f.filename, 'content_type', f.content_type,
        'size_bytes', f.size_bytes, 'is_deleted', f.deleted_at IS NOT NULL) ORDER BY i.position)
    FROM task_input_files i JOIN files f ON f.id = i.file_id WHERE i.task_id = t.id
), '[]') AS input_files"""
_OWN = ", ".join(f"t.{name}" for name in Task.__dataclass_fields__ if name not in _COMPUTED)
COLUMNS = f"""{_OWN}, {INPUT_FILES},
    a.name AS agent_name, v.number AS agent_version_number, v.container_image, v.base_prompt,
    t.container_micro_seconds
    + coalesce(extract(epoch FROM clock_timestamp() - t.container_started_at) * 1000000, 0)::bigint
    AS used_micro_seconds, CASE WHEN t.status = 'hibernating' AND coalesce(t.hibernation_reason, 'agent') = 'agent' THEN
        (SELECT max(w.id) FROM wake_links w WHERE w.task_id = t.id AND w.hibernation_number = t.hibernation_number
            AND w.used_at IS NULL AND w.expires_at > now()) END AS wake_link_id
"""
JOINS = "JOIN agents a ON a.id = t.agent_id JOIN agent_versions v ON v.id = t.agent_version_id"
_SELECT = f"SELECT {COLUMNS} FROM tasks t {JOINS} "
_MOVE = """
UPDATE tasks SET status = $2, updated_at = clock_timestamp(), not_before = NULL,
    pending_since = CASE WHEN $2 = 'pending' THEN clock_timestamp() ELSE pending_since END
WHERE id = $1 AND status = ANY($3::text[]) AND ($4::int IS NULL OR attempt = $4) RETURNING true
"""
_CLOSE_CONTAINER = """
UPDATE tasks SET runner_id = NULL, last_runner_id = coalesce(runner_id, last_runner_id),
    container_started_at = NULL, expires_at = NULL, hibernate_until_at = NULL,
    hibernation_reason = NULL,
    container_micro_seconds = container_micro_seconds + CASE WHEN $2 AND container_started_at IS NOT NULL
        THEN (extract(epoch FROM clock_timestamp() - container_started_at) * 1000000)::bigint ELSE 0 END,
    tries = tries + $3, completed_at = NULL, completion = NULL, result = NULL, error = NULL, error_code = NULL
WHERE id = $1
RETURNING account_id, attempt, tries, hold_micro_usd, container_micro_seconds,
    execution->>'runtimeRegion' AS runtime_region
"""
# The keys of messages whose turn has not begun are deleted, too.
_SET_ENDING = """
WITH message AS (
    UPDATE messages SET provider_key_ciphertext = NULL WHERE task_id = $1 AND provider_key_ciphertext IS NOT NULL
)
UPDATE tasks SET completed_at = clock_timestamp(), provider_key_ciphertext = NULL,
    input_repositories = (
        SELECT coalesce(jsonb_agg(entry - 'sealedToken'), '[]') FROM jsonb_array_elements(input_repositories) AS entry
    ),
    turn_status = CASE WHEN turn_status IN ('queued', 'running')
        THEN CASE WHEN $2::text IS NULL THEN 'failed' ELSE 'completed' END ELSE turn_status END,
    completion = $2, result = $3, error = $4, error_code = $5, cost_micro_usd = $6, hold_micro_usd = 0
WHERE id = $1
"""
_BEGIN_WAIT = """
UPDATE tasks SET tries = 0, expires_at = clock_timestamp() + make_interval(secs => session_ttl_seconds)
WHERE id = $1 RETURNING expires_at
"""
_END_WAIT = """
UPDATE tasks SET expires_at = NULL WHERE id = $1 AND status = 'awaiting_input' AND runner_id IS NOT NULL
RETURNING true
"""
_EVICT = """
UPDATE tasks SET runner_id = NULL, last_runner_id = runner_id, container_started_at = NULL,
    container_micro_seconds = container_micro_seconds + CASE WHEN $3 AND container_started_at IS NOT NULL
        THEN (extract(epoch FROM clock_timestamp() - container_started_at) * 1000000)::bigint ELSE 0 END
WHERE id = $1 AND attempt = $2 AND status = 'awaiting_input' AND runner_id IS NOT NULL RETURNING true
"""
_SET_HIBERNATION = """
UPDATE tasks SET hibernate_until_at = $2, hibernation_reason = $5,
    hibernation_number = hibernation_number + ($5 = 'agent')::int,  -- a wake link is for one that the agent asked for
    hibernation_message = CASE WHEN $4::text IS NULL THEN coalesce(hibernation_message, $3) ELSE $3 END,
    wake_kind = CASE WHEN $4::text IS NULL THEN wake_kind END, tries = 0,
    checkpoint_id = coalesce($4, checkpoint_id), is_mid_turn = is_mid_turn OR $4::text IS NOT NULL,
    provider_failures = CASE WHEN $5 = 'provider' THEN provider_failures + 1 ELSE 0 END,
    provider_outage_since = CASE WHEN $5 = 'provider' THEN coalesce(provider_outage_since, clock_timestamp()) END
WHERE id = $1
"""
# The attempt has made progress, so what earlier attempts lost does not count towards MAX_TRIES any more.
_SET_CHECKPOINT = """
UPDATE tasks SET checkpoint_id = $3, wake_kind = NULL, is_mid_turn = true, tries = 0
FROM (
    SELECT id, checkpoint_id IS DISTINCT FROM $3 AS is_first_call FROM tasks
    WHERE id = $1 AND attempt = $2 AND status = 'running' FOR UPDATE
) AS before WHERE tasks.id = before.id RETURNING before.is_first_call
"""
_SET_BUDGET = """
UPDATE tasks SET overrides = jsonb_set(overrides, '{budget}', $2), execution = jsonb_set(execution, '{budget}', $2),
    budget_reported = CASE WHEN execution->'budget' IS DISTINCT FROM $2::jsonb THEN 0 ELSE budget_reported END
WHERE id = $1
"""
# Without a new key, the stored one is kept only if the provider stays the same: it must go to no other.
_SET_EXECUTION = """
UPDATE tasks SET overrides = $2, execution = $3, priority = $5, budget_reported = CASE
    WHEN execution->'budget' IS DISTINCT FROM $3::jsonb->'budget' THEN 0 ELSE budget_reported END,
    provider_key_ciphertext = CASE
    WHEN $4::bytea IS NOT NULL THEN $4
    WHEN execution->>'provider' = $3::jsonb->>'provider' THEN provider_key_ciphertext END
WHERE id = $1
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
) AS before WHERE tasks.id = before.id RETURNING before.is_first_call, runner_id
"""
# Totals never decrease, so the same total may be written twice, and two totals in either order.
_RAISE_USAGE = """
UPDATE tasks SET input_tokens = greatest(input_tokens, $3), output_tokens = greatest(output_tokens, $4),
    unreported_tokens = greatest(unreported_tokens, $5), model_cost_micro_usd = greatest(model_cost_micro_usd, $6),
    cached_input_tokens = greatest(cached_input_tokens, $7), provider_failures = 0, provider_outage_since = NULL
WHERE id = $1 AND attempt = $2
RETURNING status, budget_reported, execution->'budget' AS budget, model_cost_micro_usd,
    input_tokens + output_tokens + unreported_tokens AS tokens
"""
# False at the end: an event of this part, or of a larger one, was written for this budget.
_SET_BUDGET_REPORTED = """
UPDATE tasks SET budget_reported = $3
WHERE id = $1 AND attempt = $2 AND status = 'running' AND budget_reported < $3 RETURNING true
"""
_INSERT_OUTPUT = """
INSERT INTO files (id, account_id, filename, content_type, size_bytes, sha256, blob_key, task_id, output_name,
                   path, is_partial)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING
"""
_HELD_BY = "SELECT id, attempt FROM tasks WHERE runner_id = $1 AND status IN ('running', 'awaiting_input')"


async def get(connection: Connection | Pool, task_id: str, account_id: str | None = None) -> Task | None:
    """The task. None: it does not exist, is deleted, or is not of `account_id`."""
    row = await connection.fetchrow(
        _SELECT + "WHERE t.id = $1 AND ($2::text IS NULL OR t.account_id = $2) AND t.deleted_at IS NULL",
        task_id,
        account_id,
    )
    return task_of(row) if row else None


async def lock(connection: Connection, task_id: str, account_id: str | None = None) -> Task | None:
    """`get`, with the row locked until the transaction ends."""
    await connection.execute("SELECT FROM tasks WHERE id = $1 FOR UPDATE", task_id)
    return await get(connection, task_id, account_id)


async def move(
    connection: Connection,
    task_id: str,
    to: Status,
    *,
    attempt: int | None = None,
    only_from: Status | None = None,
) -> bool:
    """Change the status and nothing else. Moves from `pending` to `running` go through `queue.claim`.

    False, and nothing changed: the table of transitions forbids it, the task's status is not `only_from`, or
    `attempt` is not its attempt.
    """
    allowed = sources(to) if only_from is None else [only_from.value]
    return bool(await connection.fetchval(_MOVE, task_id, to.value, allowed, attempt))


async def close_container(
    connection: Connection, task_id: str, *, is_charged: bool = True, uses_a_try: bool = False
) -> ClosedContainer:
    """Record that the task has no container: add its time (if charged) and clear the columns of its former status."""
    row = await connection.fetchrow(_CLOSE_CONTAINER, task_id, is_charged, int(uses_a_try))
    assert row is not None
    assert row["runtime_region"] is not None, "the stored execution is damaged"
    return ClosedContainer(**dict(row))


async def set_ending(connection: Connection, task_id: str, ending: TaskEnd, cost_micro_usd: int) -> None:
    """Record a task's end and final cost, that nothing is held any more, and delete the secrets that it held."""
    await connection.execute(
        _SET_ENDING,
        task_id,
        ending.completion,
        ending.result,
        ending.error,
        ending.error_code,
        cost_micro_usd,
    )


async def begin_wait(connection: Connection, task_id: str) -> datetime:
    """Record that a conversation begins to wait for its user; returns the time at which it expires."""
    expires_at = await connection.fetchval(_BEGIN_WAIT, task_id)
    assert expires_at is not None
    return expires_at


async def end_wait(connection: Connection, task_id: str) -> bool:
    """Record that a waiting conversation goes on in its container. False: it has no container, or does not wait."""
    return bool(await connection.fetchval(_END_WAIT, task_id))


async def evict(connection: Connection | Pool, claim: Claim, *, is_charged: bool = True) -> bool:
    """Record that a waiting conversation gives up its container. False: it does not wait, or not in this attempt."""
    return bool(await connection.fetchval(_EVICT, claim.task_id, claim.attempt, is_charged))


async def set_hibernation(connection: Connection, task_id: str, hibernation: Hibernation) -> None:
    """Record the message, deadline and checkpoint of a hibernation that begins."""
    await connection.execute(
        _SET_HIBERNATION, task_id, hibernation.until, hibernation.message, hibernation.checkpoint_id, hibernation.reason
    )  # fmt: skip


async def set_checkpoint(connection: Connection, claim: Claim, checkpoint_id: str) -> bool | None:
    """Set the checkpoint that the next container starts from. Returns whether that is new. None: the claim is lost."""
    return await connection.fetchval(_SET_CHECKPOINT, claim.task_id, claim.attempt, checkpoint_id)


async def set_execution(
    connection: Connection,
    task_id: str,
    overrides: Overrides,
    execution: Execution,
    provider_key_ciphertext: bytes | None,
) -> None:
    """Set the task's execution from now on. Without a new key it keeps its own if the provider stays the same."""
    await connection.execute(
        _SET_EXECUTION, task_id, overrides_to_json(overrides), execution_to_json(execution),
        provider_key_ciphertext, overrides.effective_priority,
    )  # fmt: skip


async def set_budget(connection: Connection, task_id: str, budget: Budget) -> None:
    """Set the task's budget from now on. Events of its use are written anew if it differs."""
    await connection.execute(_SET_BUDGET, task_id, budget_to_json(budget))


async def count_time(connection: Connection, claim: Claim) -> None:
    """Add the container time until now, so that a later loss of the container does not undo it."""
    await connection.execute(_COUNT_TIME, claim.task_id, claim.attempt)


async def set_hold(connection: Connection, task_id: str, micro_usd: int) -> None:
    """Record what was held for the task."""
    await connection.execute("UPDATE tasks SET hold_micro_usd = $2 WHERE id = $1", task_id, micro_usd)


async def container_started(connection: Connection | Pool, claim: Claim) -> tuple[bool, str] | None:
    """Record that the container has started. Returns whether this is the first call, and the runner's id. None: the
    claim is lost."""
    row = await connection.fetchrow(_CONTAINER_STARTED, claim.task_id, claim.attempt)
    return None if row is None else (row["is_first_call"], row["runner_id"])


async def raise_usage(connection: Connection, claim: Claim, usage: TaskUsage) -> Spent | None:
    """Raise the totals that all model requests of the task have used. Idempotent. Returns what is used of its budget.
    None: the task has another attempt."""
    row = await connection.fetchrow(
        _RAISE_USAGE, claim.task_id, claim.attempt, usage.input_tokens, usage.output_tokens,
        usage.unreported_tokens, usage.cost_micro_usd, usage.cached_input_tokens,
    )  # fmt: skip
    if row is None:
        return None
    budget = budget_of(row["budget"]) if row["budget"] else None
    return Spent(
        Status(row["status"]), budget, row["budget_reported"], row["tokens"], row["model_cost_micro_usd"]
    )


async def set_budget_reported(connection: Connection, claim: Claim, percent: int) -> bool:
    """Record that an event of this part of the budget is written. False: it was before, or the claim is lost."""
    return bool(await connection.fetchval(_SET_BUDGET_REPORTED, claim.task_id, claim.attempt, percent))


async def describe(connection: Connection, task_id: str, change: TaskChange) -> None:
    """Set the title and the metadata."""
    query = "UPDATE tasks SET title = coalesce($2, title), metadata = coalesce($3, metadata) WHERE id = $1"
    await connection.execute(query, task_id, change.title, change.metadata)


async def set_title(connection: Connection, claim: Claim, title: str) -> bool:
    """Set the title. False: the claim is lost."""
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
    """Insert the rows of output files, whose blobs are stored already. Those that exist are left as they are."""
    await connection.executemany(
        _INSERT_OUTPUT,
        [
            (output.id, account_id, output.filename, output.content_type, output.size_bytes, output.sha256,
             output.blob_key, task_id, output.output_name, output.path, is_partial)
            for output in outputs
        ],
    )  # fmt: skip
    await unowned.remove(connection, [output.blob_key for output in outputs])


async def notify_of_end(connection: Connection, channel: str, task_id: str) -> None:
    """Notify `channel` of the task's id and the number of its last attempt, which has ended."""
    query = "SELECT pg_notify($2, id || ' ' || attempt) FROM tasks WHERE id = $1"
    await connection.execute(query, task_id, channel)


async def provider_key_ciphertext(pool: Pool, task_id: str) -> bytes | None:
    """The task's own provider key, encrypted."""
    return await pool.fetchval("SELECT provider_key_ciphertext FROM tasks WHERE id = $1", task_id)


async def held_by(connection: Connection | Pool, runner_id: str, timeout: float | None = None) -> set[Claim]:
    """The claims of a runner."""
    rows = await connection.fetch(_HELD_BY, runner_id, timeout=timeout)
    return {Claim(row["id"], row["attempt"]) for row in rows}


def task_of(row: Record) -> Task:
    """The task of a row with `COLUMNS`."""
    parsed = (
        "container_micro_seconds",
        "status",
        "overrides",
        "execution",
        "input_files",
        "input_repositories",
    )
    return Task(
        **{name: row[name] for name in Task.__dataclass_fields__ if name not in parsed},
        container_micro_seconds=row["used_micro_seconds"],
        status=Status(row["status"]),
        overrides=overrides_of(row["overrides"]),
        execution=execution_of(row["execution"]),
        input_files=[InputFile(**file) for file in row["input_files"]],
        input_repositories=[repositories.from_json(entry) for entry in row["input_repositories"]],
    )
