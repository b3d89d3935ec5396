"""SQL on `batches`, and on the tasks of a batch."""

from agentcontainer import db
from agentcontainer.db import Connection, Page, Pool, Record
from agentcontainer.domain.batches.model import Batch
from agentcontainer.domain.tasks.state import TERMINAL, Status

_INSERT = "INSERT INTO batches (id, account_id, agent_id) VALUES ($1, $2, $3)"
_SELECT = """
SELECT b.id, b.agent_id, b.created_at, coalesce((
    SELECT jsonb_object_agg(status, tasks) FROM (
        SELECT status, count(*) AS tasks FROM tasks WHERE batch_id = b.id AND deleted_at IS NULL GROUP BY status
    ) AS counted
), '{}') AS counts FROM batches b WHERE b.account_id = $1
"""
_LIVE = "SELECT id FROM tasks WHERE batch_id = $1 AND NOT status = ANY($2::text[]) ORDER BY id"


async def insert(connection: Connection, batch_id: str, account_id: str, agent_id: str) -> None:
    """Insert a batch, whose tasks are inserted next."""
    await connection.execute(_INSERT, batch_id, account_id, agent_id)


async def get(connection: Connection | Pool, account_id: str, batch_id: str) -> Batch | None:
    """The batch. None: it does not exist, or is another account's."""
    row = await connection.fetchrow(f"{_SELECT} AND b.id = $2", account_id, batch_id)
    return _batch(row) if row else None


async def list_page(
    pool: Pool, account_id: str, *, after_id: str | None, limit: int, is_descending: bool
) -> Page[Batch]:
    """The account's batches by id, which is the order of their creation, from `after_id` on."""
    sign, direction = ("<", "DESC") if is_descending else (">", "ASC")
    query, arguments = (_SELECT, ()) if after_id is None else (f"{_SELECT} AND b.id {sign} $2", (after_id,))
    return await db.fetch_page(
        pool, query, account_id, *arguments, order=f"id {direction}", limit=limit, of=_batch
    )


async def live_tasks(pool: Connection | Pool, batch_id: str) -> list[str]:
    """Ids of the batch's tasks that have not ended."""
    rows = await pool.fetch(_LIVE, batch_id, [status.value for status in TERMINAL])
    return [row["id"] for row in rows]


def _batch(row: Record) -> Batch:
    counts = {status: row["counts"].get(status.value, 0) for status in Status}
    return Batch(row["id"], row["agent_id"], row["created_at"], counts)
