"""The two SQL statements of a dispatch: one reads everything that it names, the other inserts its tasks.

Each statement is one round trip to the database, so that a dispatch is quick although the database may be far away.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from agentcontainer import db
from agentcontainer.db import Connection
from agentcontainer.domain.accounts import store as accounts
from agentcontainer.domain.accounts.model import OwnEndpoint
from agentcontainer.domain.agents import store as agents
from agentcontainer.domain.agents.model import Version
from agentcontainer.domain.execution.store import execution_to_json, overrides_to_json
from agentcontainer.domain.feed.model import SUMMARY
from agentcontainer.domain.feed.store import OUTBOX_CHANNEL
from agentcontainer.domain.ledger.store import HOLD_FOR_TASKS
from agentcontainer.domain.tasks import repositories, store
from agentcontainer.domain.tasks.event_data import TaskCreated, draft
from agentcontainer.domain.tasks.model import NewTask, Task
from agentcontainer.domain.tasks.state import Status
from agentcontainer.domain.unset import Unset
from agentcontainer.ids import new_id
from agentcontainer.telemetry import metrics

_READ = """
WITH locked AS (
    SELECT id FROM files WHERE account_id = $1 AND id = ANY($4::text[]) AND deleted_at IS NULL FOR SHARE
)
SELECT a.archived_at, to_jsonb(v) AS version, v.created_at AS version_created_at, k.base_url, k.api, k.input_usd,
    k.output_usd, k.cache_read_usd, k.cache_write_usd, q.max_queued,
    (SELECT max_cost_micro_usd_per_day FROM accounts WHERE id = $1) AS max_cost_micro_usd_per_day,
    (SELECT max_priority FROM accounts WHERE id = $1) AS max_priority,
    ARRAY(SELECT id FROM locked) AS file_ids
FROM agents a
LEFT JOIN agent_versions v ON v.agent_id = a.id AND v.id = coalesce($3, a.current_version_id)
LEFT JOIN provider_keys k ON k.account_id = $1 AND k.base_url IS NOT NULL
    AND k.provider = coalesce($5, v.defaults->>'provider')
LEFT JOIN account_queues q ON q.account_id = $1
WHERE a.id = $2 AND (a.account_id = $1 OR a.account_id IS NULL)
"""
_INSERT = """
WITH new AS (
    SELECT * FROM jsonb_to_recordset($4) AS new (
        number int, id text, agent_id text, agent_version_id text, mode text, title text, instructions text,
        metadata jsonb, overrides jsonb, execution jsonb, skills jsonb, provider_key text, title_source text,
        input_repositories jsonb, session_ttl_seconds int, api_key_id text, priority int, batch_id text,
        traceparent text, input_file_ids text[], event_id text, event_data jsonb, ledger_id text,
        callback_id text, callback_url text)
), {hold}, task AS (
    INSERT INTO tasks (id, account_id, agent_id, agent_version_id, mode, status, title, instructions, metadata,
                       overrides, execution, skills, provider_key_ciphertext, hold_micro_usd, title_source,
                       input_repositories, session_ttl_seconds, api_key_id, priority, batch_id, traceparent,
                       last_event_sequence)
    SELECT id, $1, agent_id, agent_version_id, mode, 'pending', title, instructions, metadata, overrides, execution,
        skills, decode(provider_key, 'base64'), allowed.hold, title_source, input_repositories, session_ttl_seconds,
        api_key_id, priority, batch_id, traceparent, 1
    FROM new CROSS JOIN allowed RETURNING *
), input AS (
    INSERT INTO task_input_files (task_id, file_id, position)
    SELECT task.id, file.id, file.position FROM task JOIN new ON new.id = task.id
    CROSS JOIN unnest(new.input_file_ids) WITH ORDINALITY AS file (id, position)
), callback AS (
    INSERT INTO webhook_endpoints (id, account_id, task_id, url, events)
    SELECT callback_id, $1, task.id, callback_url, '{{*}}' FROM task JOIN new ON new.id = task.id
    WHERE callback_url IS NOT NULL
), event AS (
    INSERT INTO events (task_id, sequence, id, type, data)
    SELECT task.id, 1, event_id, 'task.created', event_data FROM task JOIN new ON new.id = task.id
    RETURNING task_id, sequence, id, type, created_at
), listed AS (
    INSERT INTO feed_outbox (account_id, task_id, id, type, created_at, data)
    SELECT account_id, task.id, event.id, type, event.created_at, {summary}
    FROM event JOIN task ON task.id = event.task_id JOIN new ON new.id = task.id ORDER BY new.number
)
SELECT task.*, a.name AS agent_name, v.number AS agent_version_number, v.container_image, v.base_prompt,
    0::bigint AS used_micro_seconds,
    NULL::text AS wake_link_id, (SELECT pg_notify($5, '')), coalesce((
        SELECT jsonb_agg(jsonb_build_object('id', f.id, 'filename', f.filename, 'content_type', f.content_type,
            'size_bytes', f.size_bytes, 'is_deleted', false) ORDER BY named.position)
        FROM unnest(new.input_file_ids) WITH ORDINALITY AS named (id, position) JOIN files f ON f.id = named.id
    ), '[]') AS input_files
FROM task JOIN new ON new.id = task.id
JOIN agents a ON a.id = task.agent_id JOIN agent_versions v ON v.id = task.agent_version_id
ORDER BY new.number
"""


@dataclass(frozen=True)
class Named:
    """What a dispatch names. `version` None: the agent has no such version. `endpoint`: the account's own endpoint,
    if the provider is one. `file_ids`: those of the named files that exist; they cannot be deleted during this
    transaction. `max_queued`: the account's limit of pending tasks. `max_cost_micro_usd_per_day`: that of what its
    tasks cost on a day. `max_priority`: the greatest priority that it allows its tasks."""

    archived_at: datetime | None
    version: Version | None
    endpoint: OwnEndpoint | None
    file_ids: frozenset[str]
    max_queued: int | None
    max_cost_micro_usd_per_day: int | None
    max_priority: int | None


async def read(
    connection: Connection, account_id: str, agent_id: str, version_id: str | None, provider: str | None,
    file_ids: Sequence[str],
) -> Named | None:  # fmt: skip
    """Read what a dispatch names. `provider` None: the version's. Returns None if there is no such agent."""
    row = await connection.fetchrow(_READ, account_id, agent_id, version_id, list(file_ids), provider)
    if row is None:
        return None
    version = agents.version_of(row["version"], row["version_created_at"]) if row["version"] else None
    return Named(
        row["archived_at"], version, accounts.endpoint_of(row), frozenset(row["file_ids"]), row["max_queued"],
        row["max_cost_micro_usd_per_day"],
        row["max_priority"],
    )  # fmt: skip


async def insert(
    connection: Connection, account_id: str, tasks: Sequence[NewTask], hold_micro_usd: int
) -> list[Task]:
    """Insert the tasks, `pending`, with their input files, first events and entries of the feed, and hold this money
    for each of them.

    Returns none, and nothing is inserted, if the balance is too low or there is no such account.
    """
    rows = [_row(number, task) for number, task in enumerate(tasks, 1)]
    inserted = await connection.fetch(
        _INSERT.format(hold=HOLD_FOR_TASKS, summary=SUMMARY),
        account_id,
        hold_micro_usd,
        len(rows),
        rows,
        OUTBOX_CHANNEL,
    )
    for row in inserted:
        db.on_commit(metrics.TASKS_CREATED.labels(row["mode"]).inc)
    return [store.task_of(row) for row in inserted]


def _row(number: int, task: NewTask) -> dict[str, object]:
    key, callback_url = task.provider_key_ciphertext, task.overrides.callback_url
    return {
        "number": number,
        "id": task.id,
        "agent_id": task.agent_id,
        "agent_version_id": task.agent_version_id,
        "mode": task.mode,
        "title": task.title,
        "instructions": task.instructions,
        "metadata": task.metadata,
        "overrides": overrides_to_json(task.overrides),
        "execution": execution_to_json(task.execution),
        "skills": list(task.skills),
        "provider_key": None if key is None else base64.b64encode(key).decode(),
        "title_source": task.title_source,
        "input_repositories": [repositories.to_json(repository) for repository in task.input_repositories],
        "session_ttl_seconds": task.session_ttl_seconds,
        "api_key_id": task.api_key_id,
        "priority": task.overrides.effective_priority,
        "batch_id": task.batch_id,
        "traceparent": task.traceparent,
        "input_file_ids": list(task.input_file_ids),
        "event_id": new_id("evt"),
        "event_data": draft(TaskCreated(Status.PENDING, task.agent_id, task.mode)).data,
        "ledger_id": new_id("led"),
        "callback_id": new_id("whk"),
        "callback_url": None if isinstance(callback_url, Unset) else callback_url,
    }
