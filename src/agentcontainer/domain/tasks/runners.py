"""Runner processes as the database knows them: alive while their heartbeat is young."""

from agentcontainer.db import Pool

_INSERT = (
    "INSERT INTO runners (id, region, host, capacity) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING"
)
_BEAT = "UPDATE runners SET heartbeat_at = now() WHERE id = $1 AND stopped_at IS NULL RETURNING true"
_STOP = "UPDATE runners SET stopped_at = now() WHERE id = ANY($1::text[]) AND stopped_at IS NULL"


async def register(pool: Pool, runner_id: str, region: str, host: str, capacity: int) -> None:
    """A runner has started."""
    await pool.execute(_INSERT, runner_id, region, host, capacity)


async def beat(pool: Pool, runner_id: str) -> bool:
    """The runner lives; False when it was declared stopped meanwhile."""
    return bool(await pool.fetchval(_BEAT, runner_id, timeout=5))


async def stop(pool: Pool, runner_ids: list[str]) -> None:
    """These runners are gone: what they held is lost from now on."""
    await pool.execute(_STOP, runner_ids)
