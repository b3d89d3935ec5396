"""SQL on `runners`, the runner processes and their heartbeats."""

from agentcontainer.db import Pool

_INSERT = (
    "INSERT INTO runners (id, region, host, capacity) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING"
)
_BEAT = "UPDATE runners SET heartbeat_at = now() WHERE id = $1 AND stopped_at IS NULL RETURNING true"
_STOP = "UPDATE runners SET stopped_at = now() WHERE id = ANY($1::text[]) AND stopped_at IS NULL"


async def register(pool: Pool, runner_id: str, region: str, host: str, capacity: int) -> None:
    """Insert a runner that starts. Idempotent."""
    await pool.execute(_INSERT, runner_id, region, host, capacity)


async def beat(pool: Pool, runner_id: str) -> bool:
    """Record a heartbeat. False: the runner was marked as stopped meanwhile."""
    return bool(await pool.fetchval(_BEAT, runner_id, timeout=5))


async def stop(pool: Pool, runner_ids: list[str]) -> None:
    """Mark runners as stopped: from now on their claims count as lost."""
    await pool.execute(_STOP, runner_ids)
