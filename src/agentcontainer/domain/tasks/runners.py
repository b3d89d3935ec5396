"""SQL on `runners`, the runner processes and their heartbeats."""

from agentcontainer import __version__
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.migrations import schema

_INSERT = """
INSERT INTO runners (id, region, host, capacity, version, newest_schema, name)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (id) DO NOTHING
"""
# One statement, so that a heartbeat is one round trip. The claims are those before the statement began.
_BEAT = """
WITH beat AS (UPDATE runners SET heartbeat_at = now() WHERE id = $1 AND stopped_at IS NULL RETURNING id)
SELECT t.id, t.attempt FROM beat
LEFT JOIN tasks t ON t.runner_id = beat.id AND t.status IN ('running', 'awaiting_input')
"""
_STOP = "UPDATE runners SET stopped_at = now() WHERE id = ANY($1::text[]) AND stopped_at IS NULL"


async def register(
    pool: Pool, runner_id: str, region: str, host: str, capacity: int, name: str | None = None
) -> None:
    """Insert a runner of this version that starts. Idempotent."""
    await pool.execute(_INSERT, runner_id, region, host, capacity, __version__, schema.HEAD, name)


async def beat(connection: Connection | Pool, runner_id: str) -> set[Claim] | None:
    """Record a heartbeat; returns the runner's claims. None: its row is gone, or it was marked as stopped."""
    rows = await connection.fetch(_BEAT, runner_id)
    if not rows:
        return None
    return {Claim(row["id"], row["attempt"]) for row in rows if row["id"] is not None}


async def stop(pool: Pool, runner_ids: list[str]) -> None:
    """Mark runners as stopped: from now on their claims count as lost."""
    await pool.execute(_STOP, runner_ids)
