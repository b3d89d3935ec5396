"""SQL on `wake_links`, the search for tasks whose hibernation is over, and the record of what woke them."""

from datetime import datetime

from agentcontainer.db import Connection, Pool
from agentcontainer.domain.hibernation.model import NewWakeLink, StoredWakeLink

_DUE = """
SELECT id FROM tasks WHERE status = 'hibernating' AND hibernate_until_at <= now() ORDER BY hibernate_until_at LIMIT 500
"""
_SET_WAKE_KIND = """
UPDATE tasks SET wake_kind =
    CASE WHEN $2::text IN ('provider', 'budget') THEN coalesce(wake_kind, $2) ELSE $2 END WHERE id = $1
"""
_LOCK_IF_DUE = """
SELECT coalesce(hibernation_reason, 'agent') FROM tasks
WHERE id = $1 AND status = 'hibernating' AND hibernate_until_at <= now() FOR UPDATE
"""
_INSERT_LINK = """
INSERT INTO wake_links (id, task_id, hibernation_number, expires_at)
SELECT $1, t.id, t.hibernation_number + CASE
    WHEN t.status = 'hibernating' AND coalesce(t.hibernation_reason, 'agent') = 'agent' THEN 0 ELSE 1 END,
    now() + $4::interval
FROM tasks t
WHERE t.id = $2 AND ($3::int IS NULL OR t.attempt = $3 AND t.status = 'running')
    AND (SELECT count(*) FROM wake_links WHERE task_id = $2) < $5
RETURNING expires_at
"""
_GET_LINK = """
SELECT l.id, task_id, l.hibernation_number, used_at, l.expires_at < now() AS has_expired,
    a.suspended_at IS NOT NULL AS is_suspended
FROM wake_links l JOIN tasks t ON t.id = l.task_id JOIN accounts a ON a.id = t.account_id WHERE l.id = $1
"""


async def due(pool: Pool) -> list[str]:
    """Ids of hibernating tasks whose deadline has passed: 500 at most."""
    return [row["id"] for row in await pool.fetch(_DUE)]


async def lock_if_due(connection: Connection, task_id: str) -> str | None:
    """Why the task hibernates, if it does so past its deadline; its row is locked until the transaction ends."""
    return await connection.fetchval(_LOCK_IF_DUE, task_id)


async def set_wake_kind(connection: Connection, task_id: str, kind: str) -> None:
    """Record what ended the hibernation. `provider` and `budget` do not overwrite a kind that the agent has not been
    told yet."""
    await connection.execute(_SET_WAKE_KIND, task_id, kind)


async def insert_link(connection: Connection | Pool, link: NewWakeLink, max_links: int) -> datetime | None:
    """Insert the link, for the current hibernation or the next one; returns when it expires. None: the attempt's claim
    is lost, or the task has `max_links` already."""
    return await connection.fetchval(_INSERT_LINK, link.id, link.task_id, link.attempt, link.life, max_links)


async def get_link(connection: Connection | Pool, link_id: str) -> StoredWakeLink | None:
    """The link. None: it does not exist."""
    row = await connection.fetchrow(_GET_LINK, link_id)
    if row is None:
        return None
    return StoredWakeLink(**{name: row[name] for name in StoredWakeLink.__dataclass_fields__})


async def set_link_used(connection: Connection, link_id: str) -> None:
    await connection.execute("UPDATE wake_links SET used_at = now() WHERE id = $1", link_id)
