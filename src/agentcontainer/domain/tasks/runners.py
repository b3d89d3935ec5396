"""SQL on `runners`, the runner processes and their heartbeats."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from agentcontainer import __version__
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.execution.model import RuntimeRegion
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.domain.tasks.queue import REGIONS
from agentcontainer.migrations import schema

UIDS_OF_RUNNER = 1000
_INSERT = """
INSERT INTO runners (id, region, host, capacity, version, newest_schema, name)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (id) DO NOTHING
"""
# One statement, so that a heartbeat is one round trip. The claims are those before the statement began.
_BEAT = """
WITH beat AS (
    UPDATE runners SET heartbeat_at = now() WHERE id = $1 AND stopped_at IS NULL RETURNING id, draining_at
) SELECT t.id, t.attempt, beat.draining_at IS NOT NULL AS is_draining FROM beat
LEFT JOIN tasks t ON t.runner_id = beat.id AND t.status IN ('running', 'awaiting_input')
"""
_RECORD_HOST = """
UPDATE runners SET clock_skew_seconds = $2, boot_id = $3, first_uid = $4, uid_lock_folder = $5 WHERE id = $1
"""
_SAME_UIDS = """
SELECT host FROM runners
WHERE boot_id = $1 AND abs(first_uid - $2) < $3 AND uid_lock_folder <> $4
    AND stopped_at IS NULL AND heartbeat_at > now() - $5::interval
LIMIT 1
"""
_SET_DRAINING = """
UPDATE runners SET draining_at = CASE WHEN $2 THEN coalesce(draining_at, now()) END
WHERE (id = $1 OR name = $1) AND stopped_at IS NULL RETURNING id
"""
_REGIONS = """
SELECT DISTINCT region FROM runners WHERE stopped_at IS NULL AND heartbeat_at > now() - $1::interval
"""
_STOP = "UPDATE runners SET stopped_at = now() WHERE id = ANY($1::text[]) AND stopped_at IS NULL"


class Uids(Protocol):
    """Which uids of which kernel a runner's sandboxes use, and its locks on them."""

    @property
    def boot_id(self) -> str: ...
    @property
    def first_uid(self) -> int: ...
    @property
    def lock_folder(self) -> str: ...


@dataclass(frozen=True)
class Beat:
    """What a heartbeat returns: the runner's claims, and whether the operator drains the runner."""

    claims: frozenset[Claim]
    is_draining: bool


async def register(
    pool: Pool, runner_id: str, region: str, host: str, capacity: int, name: str | None = None
) -> None:
    """Insert a runner of this version that starts. Idempotent."""
    await pool.execute(_INSERT, runner_id, region, host, capacity, __version__, schema.HEAD, name)


async def beat(connection: Connection | Pool, runner_id: str) -> Beat | None:
    """Record a heartbeat. None: the runner's row is gone, or it was marked as stopped."""
    rows = await connection.fetch(_BEAT, runner_id)
    if not rows:
        return None
    claims = frozenset(Claim(row["id"], row["attempt"]) for row in rows if row["id"] is not None)
    return Beat(claims, rows[0]["is_draining"])


async def set_draining(pool: Pool | Connection, runner: str, *, is_draining: bool) -> bool:
    """Let the runner with this id or name claim no task and give back those that it runs, or let it work again.

    False: no such runner.
    """
    return bool(await pool.fetch(_SET_DRAINING, runner, is_draining))


async def record_host(pool: Pool, runner_id: str, skew_seconds: float, uids: Uids | None) -> None:
    """Record by how much the clock of the runner's host is ahead of the database server's, and its sandboxes' uids."""
    values = (uids.boot_id, uids.first_uid, uids.lock_folder) if uids else (None, None, None)
    await pool.execute(_RECORD_HOST, runner_id, skew_seconds, *values)


async def host_with_same_uids(pool: Pool, uids: Uids, silence: timedelta) -> str | None:
    """The host of a living runner that uses some of these uids of the same kernel, but other locks. None: no runner."""
    return await pool.fetchval(
        _SAME_UIDS, uids.boot_id, uids.first_uid, UIDS_OF_RUNNER, uids.lock_folder, silence
    )


async def stop(pool: Pool, runner_ids: list[str]) -> None:
    """Mark runners as stopped: from now on their claims count as lost."""
    await pool.execute(_STOP, runner_ids)


async def served_regions(pool: Pool, lost_after_seconds: float) -> set[RuntimeRegion]:
    """The regions whose tasks a running runner takes."""
    rows = await pool.fetch(_REGIONS, timedelta(seconds=lost_after_seconds))
    return {region for row in rows for region in REGIONS[row["region"]]}
