"""SQL that finds the tasks which the reconciler or a runner must move on: those of a lost runner, expired
conversations, and ended tasks without their partial outputs."""

from collections.abc import Sequence
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
# Those that were postponed queue up behind the others.
_CLAIM_PARTIAL_OUTPUTS = """
UPDATE tasks SET partial_outputs_due_at = now() + $3::interval
WHERE id = (
    SELECT id FROM tasks WHERE remains_at IS NULL AND checkpoint_id IS NOT NULL
        AND status IN ('failed', 'cancelled', 'expired')
        AND coalesce(partial_outputs_due_at, completed_at + $2::interval) < now()
        AND coalesce(execution->>'runtimeRegion', 'any') = ANY($1::text[])
    ORDER BY coalesce(partial_outputs_due_at, completed_at + $2::interval) LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING id, attempt
"""
_POSTPONE_PARTIAL_OUTPUTS = """
UPDATE tasks SET partial_outputs_due_at = now() + $3::interval WHERE id = $1 AND attempt = $2
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


async def claim_partial_outputs(
    pool: Pool, regions: Sequence[str], older_than: timedelta, lease: timedelta
) -> Claim | None:
    """The last attempt of a task of these regions that ended at least that long ago, has a checkpoint, and has no
    partial outputs stored yet. No other caller gets it during the lease. None: there is no such task."""
    row = await pool.fetchrow(_CLAIM_PARTIAL_OUTPUTS, list(regions), older_than, lease)
    return None if row is None else Claim(row["id"], row["attempt"])


async def postpone_partial_outputs(pool: Pool, claim: Claim, delay: timedelta) -> None:
    """End the lease: the next caller may get the task after this delay."""
    await pool.execute(_POSTPONE_PARTIAL_OUTPUTS, claim.task_id, claim.attempt, delay)


async def take_partial_outputs(connection: Connection | Pool, task_id: str, attempt: int) -> str | None:
    """Mark the task's partial outputs as stored, so that one caller stores them. Returns the task's account. None: they
    were stored before, or the task did not end without delivering outputs."""
    return await connection.fetchval(_TAKE_PARTIAL_OUTPUTS, task_id, attempt)
