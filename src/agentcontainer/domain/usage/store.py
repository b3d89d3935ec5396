"""SQL on `usage`: a row for each day, agent version, model, API key and the metadata by which the account counts.

A row only grows by what its transaction adds. The columns `counted_…` of a task say what of its use the rows have, so
that nothing is counted twice, whatever is repeated.
"""

from datetime import timedelta

from agentcontainer import db
from agentcontainer.db import Connection, Page, Pool, Record
from agentcontainer.domain.tasks.state import TERMINAL, Status
from agentcontainer.domain.usage.model import METADATA_PREFIX, UsageFilter, UsageRow

_ENDED = ", ".join(f"'{status.value}'" for status in sorted(TERMINAL))
# The cost of a task that has not ended is that of its container time so far, as `container_cost_micro_usd` computes it.
_COUNT = f"""
WITH task AS (
    SELECT *, CASE WHEN status IN ({_ENDED}) THEN cost_micro_usd
        ELSE ((container_micro_seconds + 999999) / 1000000 * $2::bigint + 30) / 60 END AS cost
    FROM tasks WHERE id = $1
), added AS (
    SELECT task.*, container_micro_seconds - counted_micro_seconds AS d_micro_seconds,
        cost - counted_cost_micro_usd AS d_cost, model_cost_micro_usd - counted_model_cost_micro_usd AS d_model_cost,
        input_tokens - counted_input_tokens AS d_input,
        cached_input_tokens - counted_cached_input_tokens AS d_cached,
        output_tokens - counted_output_tokens AS d_output
    FROM task
), counted AS (
    UPDATE tasks SET counted_micro_seconds = task.container_micro_seconds, counted_cost_micro_usd = task.cost,
        counted_model_cost_micro_usd = task.model_cost_micro_usd, counted_input_tokens = task.input_tokens,
        counted_cached_input_tokens = task.cached_input_tokens, counted_output_tokens = task.output_tokens
    FROM task WHERE tasks.id = task.id
)
INSERT INTO usage AS u (account_id, day, agent_id, agent_version_id, provider, model, api_key_id, metadata,
    finished, failed, cancelled, expired, container_micro_seconds, cost_micro_usd, model_cost_micro_usd,
    input_tokens, cached_input_tokens, output_tokens)
SELECT account_id, (clock_timestamp() AT TIME ZONE 'UTC')::date, agent_id, agent_version_id, execution->>'provider',
    execution->>'model', coalesce(api_key_id, ''),
    (SELECT coalesce(jsonb_object_agg(key, left(added.metadata->>key, 200)), '{{}}')
     FROM unnest(a.usage_metadata_keys) AS key WHERE jsonb_typeof(added.metadata->key) = 'string'),
    ($3 = 'finished')::int, ($3 = 'failed')::int, ($3 = 'cancelled')::int, ($3 = 'expired')::int,
    d_micro_seconds, d_cost, d_model_cost, d_input, d_cached, d_output
FROM added JOIN accounts a ON a.id = added.account_id
WHERE $3 <> '' OR (d_micro_seconds, d_cost, d_model_cost, d_input, d_cached, d_output) <> (0, 0, 0, 0, 0, 0)
ON CONFLICT (account_id, day, agent_version_id, provider, model, api_key_id, md5(metadata::text)) DO UPDATE SET
    finished = u.finished + excluded.finished, failed = u.failed + excluded.failed,
    cancelled = u.cancelled + excluded.cancelled, expired = u.expired + excluded.expired,
    container_micro_seconds = u.container_micro_seconds + excluded.container_micro_seconds,
    cost_micro_usd = u.cost_micro_usd + excluded.cost_micro_usd,
    model_cost_micro_usd = u.model_cost_micro_usd + excluded.model_cost_micro_usd,
    input_tokens = u.input_tokens + excluded.input_tokens,
    cached_input_tokens = u.cached_input_tokens + excluded.cached_input_tokens,
    output_tokens = u.output_tokens + excluded.output_tokens
"""  # noqa: S608
_SUMMED = ("finished", "failed", "cancelled", "expired", "container_micro_seconds", "cost_micro_usd",
           "model_cost_micro_usd", "input_tokens", "cached_input_tokens", "output_tokens")  # fmt: skip
# What counts as live is read from the tasks, by the index of what is live.
_PAGE = """
SELECT ARRAY[{values}] AS "values", md5(ARRAY[{values}]::text) AS digest, {sums} FROM (
    SELECT day, agent_id, agent_version_id, provider, model, api_key_id, metadata, 0 AS live, {columns}
    FROM usage WHERE account_id = $1 AND day BETWEEN $2 AND $3 AND ($4::text[] IS NULL OR agent_id = ANY($4))
    UNION ALL
    SELECT (created_at AT TIME ZONE 'UTC')::date, agent_id, agent_version_id, execution->>'provider',
        execution->>'model', coalesce(api_key_id, ''), metadata, 1, {zeros}
    FROM tasks WHERE account_id = $1 AND status IN ('pending', 'running', 'awaiting_input', 'hibernating')
        AND deleted_at IS NULL AND (created_at AT TIME ZONE 'UTC')::date BETWEEN $2 AND $3
        AND ($4::text[] IS NULL OR agent_id = ANY($4))
) AS used
GROUP BY ARRAY[{values}]
"""
# The page begins after the sums whose values have this digest: the values themselves may be longer than a cursor.
_REST = """
WITH summed AS ({query}), after AS (SELECT "values" FROM summed WHERE digest = ${number})
SELECT * FROM summed WHERE ${number}::text IS NULL OR "values" {sign} (SELECT "values" FROM after)
"""
_VALUES = {
    "day": "day::text",
    "agent": "agent_id",
    "agentVersion": "agent_version_id",
    "model": "provider || '/' || model",
    "key": "api_key_id",
}
_METADATA = "CASE WHEN jsonb_typeof({}) = 'string' THEN left({}, 200) ELSE '' END"
_PURGE = """
DELETE FROM usage u WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM usage WHERE day < (now() - $1::interval AT TIME ZONE 'UTC')::date ORDER BY day LIMIT $2))
RETURNING pg_column_size(u.*) AS bytes
"""


async def count(connection: Connection, task_id: str, rate: int, ended: Status | None = None) -> None:
    """Add what the task has used since the last call to the row of today. `rate`: micro-dollars for a minute of
    container time. `ended`: the status with which the task has ended in this transaction.

    The row stays locked until the transaction ends, so call it last.
    """
    await connection.execute(_COUNT, task_id, rate, ended.value if ended else "")


async def list_page(
    pool: Pool, usage: UsageFilter, *, after: str | None, limit: int, is_descending: bool = False
) -> Page[UsageRow]:
    """The sums by the values of `usage.by`, in the order of these values, after the row with this `digest`."""
    arguments: list[object] = [
        usage.account_id, usage.first_day, usage.last_day,
        None if usage.agent_ids is None else list(usage.agent_ids),
    ]  # fmt: skip
    values = list[str]()
    for name in usage.by:
        if name.startswith(METADATA_PREFIX):
            arguments.append(name.removeprefix(METADATA_PREFIX))
            number = len(arguments)
            values.append(_METADATA.format(f"metadata->${number}::text", f"metadata->>${number}::text"))
        else:
            values.append(_VALUES[name])
    query = _PAGE.format(
        values=", ".join(f'({value}) COLLATE "C"' for value in values),
        columns=", ".join(_SUMMED),
        zeros=", ".join("0" for _ in _SUMMED),
        sums=", ".join(f"sum({name})::bigint AS {name}" for name in ("live", *_SUMMED)),
    )
    arguments.append(after)
    query = _REST.format(query=query, number=len(arguments), sign="<" if is_descending else ">")
    order = f'"values" {"DESC" if is_descending else "ASC"}'
    return await db.fetch_page(pool, query, *arguments, order=order, limit=limit, of=_row)


async def purge(connection: Connection, age: timedelta, limit: int) -> list[int]:
    """Delete rows of days that are at least that long ago; returns the bytes of each."""
    return [row["bytes"] for row in await connection.fetch(_PURGE, age, limit)]


def _row(row: Record) -> UsageRow:
    return UsageRow(tuple(row["values"]), row["digest"], **{name: row[name] for name in ("live", *_SUMMED)})
