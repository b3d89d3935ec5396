"""Sets the container time of a running attempt back, so that waiting for a host that is at fault is not billed."""

from datetime import timedelta

from agentcontainer.db import Pool
from agentcontainer.domain.tasks.model import Claim

_READ = """
SELECT clock_timestamp() - container_started_at FROM tasks WHERE id = $1 AND attempt = $2 AND status = 'running'
"""
_SET_BACK = """
UPDATE tasks SET container_started_at = greatest(container_started_at, clock_timestamp() - $3::interval)
WHERE id = $1 AND attempt = $2 AND status = 'running' AND container_started_at IS NOT NULL
"""


async def read(pool: Pool, claim: Claim) -> timedelta:
    """The container's time that is not counted yet; zero if the claim is lost."""
    return await pool.fetchval(_READ, claim.task_id, claim.attempt) or timedelta(0)


async def set_back(pool: Pool, claim: Claim, time: timedelta) -> None:
    """Reduce the container's time that is not counted yet to at most `time`. Idempotent."""
    await pool.execute(_SET_BACK, claim.task_id, claim.attempt, max(time, timedelta(0)))
