"""SQL that says what exists for a key which is bound to agents: their tasks, batches and files."""

from collections.abc import Sequence

from agentcontainer.db import Connection, Pool
from agentcontainer.domain.accounts.principal import Principal

_TASK = "SELECT EXISTS (SELECT FROM tasks WHERE id = $1 AND account_id = $2 AND agent_id = ANY($3::text[]))"
_BATCH = (
    "SELECT EXISTS (SELECT FROM batches WHERE id = $1 AND account_id = $2 AND agent_id = ANY($3::text[]))"
)
# Of a file `f`: what the key itself uploaded, what tasks of the agents wrote or were given, and what the agents have.
FILE = """(
    f.api_key_id = {key_id}
    OR EXISTS (SELECT FROM tasks t WHERE t.id = f.task_id AND t.agent_id = ANY({agent_ids}::text[]))
    OR EXISTS (SELECT FROM task_input_files i JOIN tasks t ON t.id = i.task_id
               WHERE i.file_id = f.id AND t.agent_id = ANY({agent_ids}::text[]) AND t.account_id = f.account_id)
    OR EXISTS (SELECT FROM message_files i JOIN messages m ON m.id = i.message_id JOIN tasks t ON t.id = m.task_id
               WHERE i.file_id = f.id AND t.agent_id = ANY({agent_ids}::text[]) AND t.account_id = f.account_id)
    OR EXISTS (SELECT FROM agent_versions v WHERE v.reference_file_ids @> ARRAY[f.id]
               AND v.agent_id = ANY({agent_ids}::text[]))
    OR EXISTS (SELECT FROM agent_versions v WHERE v.skills <> '[]' AND v.skills ? f.id
               AND v.agent_id = ANY({agent_ids}::text[]))
)"""
_FILES = f"""
SELECT f.id FROM files f WHERE f.account_id = $1 AND f.id = ANY($2::text[]) AND f.deleted_at IS NULL
    AND {FILE.format(key_id="$3", agent_ids="$4")}
"""


async def is_task_visible(pool: Connection | Pool, principal: Principal, task_id: str) -> bool:
    """Whether the task exists for the principal."""
    return await pool.fetchval(_TASK, task_id, principal.account_id, principal.visible_agents() or [])


async def is_batch_visible(pool: Connection | Pool, principal: Principal, batch_id: str) -> bool:
    """Whether the batch exists for the principal."""
    return await pool.fetchval(_BATCH, batch_id, principal.account_id, principal.visible_agents() or [])


async def visible_files(pool: Connection | Pool, principal: Principal, file_ids: Sequence[str]) -> set[str]:
    """Those of these files that exist for the principal, who is bound to agents."""
    rows = await pool.fetch(
        _FILES, principal.account_id, list(file_ids), principal.key_id, principal.visible_agents() or []
    )
    return {row["id"] for row in rows}
