"""Says why a pending task waits: its position among its account's own tasks, and what it waits for.

It says nothing about other accounts.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from agentcontainer.db import Pool
from agentcontainer.domain.execution.model import RuntimeRegion

Reason = Literal["no_free_slot", "account_limit", "no_runner", "draining"]
MAX_POSITION = 1000

# In the order of the index `tasks_queue`, so that it reads at most `MAX_POSITION` of its entries.
_READ = """
SELECT task.region, task.pending_since, task.not_before, account.running, account.max_running,
    installation.paused_at IS NOT NULL AS is_paused, fleet.living, fleet.taking, (
        SELECT count(*) FROM (
            SELECT FROM tasks WHERE account_id = task.account_id AND status = 'pending' AND not_before IS NULL
                AND coalesce(execution->>'runtimeRegion', 'any') = task.region
                AND ((-priority), (mode = 'autonomous' AND attempt = 0), pending_since, id)
                    < (task.rank, task.is_new, task.pending_since, task.id)
            LIMIT $2
        ) AS earlier
    ) AS position
FROM (
    SELECT id, account_id, pending_since, not_before, -priority AS rank,
        mode = 'autonomous' AND attempt = 0 AS is_new, coalesce(execution->>'runtimeRegion', 'any') AS region
    FROM tasks WHERE id = $1 AND status = 'pending'
) AS task CROSS JOIN installation CROSS JOIN LATERAL (
    SELECT count(*) AS living, count(*) FILTER (WHERE draining_at IS NULL) AS taking FROM runners
    WHERE stopped_at IS NULL AND heartbeat_at > now() - $3::interval AND (task.region = 'any' OR region = task.region)
) AS fleet LEFT JOIN account_queues AS account ON account.account_id = task.account_id
"""


@dataclass(frozen=True)
class QueueState:
    """A pending task's place in the queue. `position`: its account's tasks before it, at most `MAX_POSITION`."""

    position: int
    reason: Reason
    message: str
    since: datetime


@dataclass(frozen=True)
class _Row:
    region: RuntimeRegion
    pending_since: datetime
    not_before: datetime | None
    running: int | None
    max_running: int | None
    is_paused: bool
    living: int
    taking: int
    position: int


async def read(pool: Pool, task_id: str, lost_after_seconds: float) -> QueueState | None:
    """Where the task is in the queue. None: it is not pending."""
    row = await pool.fetchrow(_READ, task_id, MAX_POSITION, timedelta(seconds=lost_after_seconds))
    if row is None:
        return None
    values = _Row(**dict(row))
    reason, message = _explain(values)
    return QueueState(values.position, reason, message, values.pending_since)


def _explain(row: _Row) -> tuple[Reason, str]:
    if row.living == 0:
        return "no_runner", f"no runner in {row.region}" if row.region != "any" else "no runner"
    if row.is_paused:
        return "draining", "the operator has paused the queue for maintenance"
    if row.taking == 0:
        return "draining", "all runners of this region are being drained"
    if row.not_before is not None:
        return "no_free_slot", f"the next attempt begins after {row.not_before:%H:%M:%S} UTC"
    if row.max_running is not None and (row.running or 0) >= row.max_running:
        return "account_limit", f"{row.running} of {row.max_running} slots of your account run"
    more = " or more" if row.position == MAX_POSITION else ""
    return (
        "no_free_slot",
        f"{row.position}{more} before you" if row.position else "next of your account's tasks",
    )
