"""SQL on the audit log, whose rows the database lets nobody change."""

from datetime import datetime, timedelta

from agentcontainer import db
from agentcontainer.db import Connection, Page, Pool, Record
from agentcontainer.domain.audit.model import Actor, AuditEntry
from agentcontainer.ids import new_id

MIN_AGE = timedelta(days=31)  # the database refuses to delete entries of the last 30 days

_INSERT = """
INSERT INTO audit_log (id, account_id, actor_account_id, actor_kind, actor_id, action, target, address, request_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_PAGE = """
SELECT * FROM audit_log WHERE ($1::text IS NULL OR account_id = $1) AND ($2::text IS NULL OR actor_id = $2)
    AND ($3::text IS NULL OR CASE WHEN $4 THEN id < $3 ELSE id > $3 END)
"""
_PURGE = """
DELETE FROM audit_log e WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM audit_log WHERE at < now() - $1::interval ORDER BY at LIMIT $2))
RETURNING pg_column_size(e.*) AS bytes
"""


async def insert(
    connection: Connection, account_id: str | None, actor: Actor, action: str, target: str | None
) -> None:
    """Add an entry."""
    await connection.execute(
        _INSERT, new_id("aud"), account_id, actor.account_id, actor.kind, actor.id, action, target,
        actor.address, actor.request_id,
    )  # fmt: skip


async def list_page(
    pool: Pool, account_id: str | None, *, actor_id: str | None = None, after_id: str | None, limit: int,
    is_descending: bool,
) -> Page[AuditEntry]:  # fmt: skip
    """The entries of an account, or all of them, by id, from `after_id` on. With `actor_id`: only what that key did."""
    order = f"id {'DESC' if is_descending else 'ASC'}"
    return await db.fetch_page(
        pool, _PAGE, account_id, actor_id, after_id, is_descending, order=order, limit=limit, of=_entry
    )


async def purge(connection: Connection, age: timedelta, limit: int) -> list[int]:
    """Delete entries that are at least that old; returns the bytes of each. It must be `MIN_AGE` or more."""
    return [row["bytes"] for row in await connection.fetch(_PURGE, age, limit)]


def _entry(row: Record) -> AuditEntry:
    actor = Actor(
        row["actor_account_id"], row["actor_kind"], row["actor_id"], row["address"], row["request_id"]
    )
    at: datetime = row["at"]
    return AuditEntry(row["id"], row["account_id"], at, actor, row["action"], row["target"])
