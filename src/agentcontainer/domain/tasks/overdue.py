"""SQL that finds the tasks which the reconciler or a runner must move on: those of a lost runner, expired
conversations, and ended tasks without their partial outputs."""

from datetime import timedelta

from agentcontainer.db import Connection, Pool
from agentcontainer.domain.tasks.model import Claim

_LOST = """
SELECT t.id, t.attempt FROM tasks t LEFT JOIN runners r ON r.id = t.runner_id
WHERE (t.status = 'running' OR t.status = 'awaiting_input' AND t.runner_id IS NOT NULL)
    AND (r.id IS NULL OR r.stopped_at IS NOT NULL OR r.heartbeat_at < now() - $1::interval)
LIMIT 500
"""
_EXPIRED = """
SELECT id FROM tasks WHERE status = 'awaiting_input' AND expires_at < now() ORDER BY expires_at LIMIT 500
"""
_IS_EXPIRED = """
SELECT true FROM tasks WHERE id = $1 AND status = 'awaiting_input' AND expires_at < now() FOR UPDATE
"""
_MISSING_PARTIAL_OUTPUTS = """
SELECT id, attempt FROM tasks WHERE remains_at IS NULL AND checkpoint_id IS NOT NULL
    AND status IN ('failed', 'cancelled', 'expired') AND completed_at < now() - $1::interval
ORDER BY completed_at LIMIT 10
"""
_TAKE_PARTIAL_OUTPUTS = """
UPDATE tasks SET remains_at = now() WHERE id = $1 AND attempt = $2 AND remains_at IS NULL
    AND status IN ('failed', 'cancelled', 'expired')
RETURNING account_id
"""


async def lost(pool: Pool, silent_for: timedelta) -> list[Claim]:
    """Claims whose runner has stopped, does not exist, or has sent no heartbeat for that long: 500 at most."""
    return [Claim(row["id"], row["attempt"]) for row in await pool.fetch(_LOST, silent_for)]


async def expired(pool: Pool) -> list[str]:
    """Ids of conversations that have waited for a message until they expired."""
    return [row["id"] for row in await pool.fetch(_EXPIRED)]


async def lock_if_expired(connection: Connection, task_id: str) -> bool:
    """Whether a conversation has expired. If so, its row is locked until the transaction ends."""
    return bool(await connection.fetchval(_IS_EXPIRED, task_id))


async def missing_partial_outputs(pool: Pool, older_than: timedelta) -> list[Claim]:
    """The last attempts of tasks that ended at least that long ago, have a checkpoint, and have no partial outputs
    stored yet: ten at most."""
    return [
        Claim(row["id"], row["attempt"]) for row in await pool.fetch(_MISSING_PARTIAL_OUTPUTS, older_than)
    ]


async def take_partial_outputs(connection: Connection | Pool, task_id: str, attempt: int) -> str | None:
    """Mark the task's partial outputs as stored, so that one caller stores them. Returns the task's account. None: they
    were stored before, or the task did not end without delivering outputs."""
    return await connection.fetchval(_TAKE_PARTIAL_OUTPUTS, task_id, attempt)
