"""SQL that reads deliveries and their attempts, and that makes them pending again."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from agentcontainer import db, ids
from agentcontainer.db import Connection, Page, Pool, Record
from agentcontainer.domain.feed.model import FeedEntry
from agentcontainer.domain.webhooks.model import Attempt, Delivery, DeliveryStatus, Stats

MAX_ATTEMPTS_READ = 10_000  # for the statistics of an endpoint
MAX_ATTEMPTS_SHOWN = 100  # of a delivery
CLOCKS = timedelta(hours=1)  # ids have the time of the process that made them
EPOCH = datetime(1970, 1, 2, tzinfo=UTC)

_LIST = """
SELECT * FROM webhook_deliveries WHERE endpoint_id = $1 AND ($2::text IS NULL OR id {sign} $2)
"""
_OF_STATUS = f"{_LIST} AND status = $3"
_GET = "SELECT * FROM webhook_deliveries WHERE endpoint_id = $1 AND id = $2"
_ATTEMPTS = """
SELECT * FROM (
    SELECT * FROM webhook_attempts WHERE delivery_id = $1 ORDER BY started_at DESC LIMIT $2
) AS latest ORDER BY started_at
"""
_STATS = """
SELECT count(*) AS attempts, avg(is_success::int)::float8 AS success_share,
    percentile_disc(0.95) WITHIN GROUP (ORDER BY duration_ms) AS p95_ms
FROM (
    SELECT is_success, duration_ms FROM webhook_attempts
    WHERE endpoint_id = $1 AND started_at > now() - interval '7 days' ORDER BY started_at DESC LIMIT $2
) AS latest
"""
_RESEND = """
UPDATE webhook_deliveries SET status = 'pending', tries = 0, next_attempt_at = now(), delivered_at = NULL
WHERE id = $1 AND status <> 'pending' RETURNING *
"""
_RESEND_SINCE = """
WITH chosen AS (
    SELECT id, event_at FROM webhook_deliveries
    WHERE endpoint_id = $1 AND id >= $2 AND event_at >= $3 AND status = ANY ($4::text[])
    ORDER BY id LIMIT $5 + 1
), first AS (
    SELECT id FROM chosen ORDER BY id LIMIT $5
), resent AS (
    UPDATE webhook_deliveries d SET status = 'pending', tries = 0, next_attempt_at = now(), delivered_at = NULL
    FROM first WHERE d.id = first.id RETURNING true
)
SELECT (SELECT count(*) FROM resent) AS count,
    (SELECT event_at FROM chosen WHERE id NOT IN (SELECT id FROM first)) AS next_since
"""
_COUNT_PENDING = """
SELECT count(*) FROM (SELECT FROM webhook_deliveries WHERE endpoint_id = $1 AND status = 'pending' LIMIT $2) AS pending
"""
# The answers of receivers may repeat what they got.
_BLANK_ANSWERS = """
WITH blanked AS (
    UPDATE webhook_attempts SET answer = '' WHERE ctid = ANY (ARRAY(
        SELECT a.ctid FROM webhook_deliveries d JOIN webhook_attempts a ON a.delivery_id = d.id
        WHERE d.task_id = ANY ($1::text[]) AND answer <> '' LIMIT $2
    )) RETURNING true
)
SELECT count(*) FROM blanked
"""
_BLANK = """
WITH blanked AS (
    UPDATE webhook_deliveries SET data = '{}' WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM webhook_deliveries WHERE task_id = ANY ($1::text[]) AND data <> '{}' LIMIT $2
    )) RETURNING id
)
SELECT count(*) FROM blanked
"""
_REMOVE_OF_CALLBACKS = """
DELETE FROM webhook_deliveries WHERE ctid = ANY (ARRAY(
    SELECT d.ctid FROM webhook_endpoints e JOIN webhook_deliveries d ON d.endpoint_id = e.id
    WHERE e.task_id = ANY ($1::text[]) LIMIT $2))
"""


async def list_page(
    pool: Pool,
    endpoint_id: str,
    status: DeliveryStatus | None,
    *,
    after_id: str | None,
    limit: int,
    is_descending: bool,
) -> Page[Delivery]:
    """Deliveries of an endpoint, in the order of their events."""
    sign, direction = ("<", "DESC") if is_descending else (">", "ASC")
    query, arguments = (_LIST, []) if status is None else (_OF_STATUS, [status])
    return await db.fetch_page(
        pool, query.format(sign=sign), endpoint_id, after_id, *arguments, order=f"id {direction}",
        limit=limit, of=delivery_of,
    )  # fmt: skip


async def get(connection: Connection | Pool, endpoint_id: str, delivery_id: str) -> Delivery | None:
    """A delivery of an endpoint. None: there is none."""
    row = await connection.fetchrow(_GET, endpoint_id, delivery_id)
    return delivery_of(row) if row else None


async def attempts(pool: Pool, delivery_id: str) -> Sequence[Attempt]:
    """The latest attempts of a delivery, the oldest first."""
    rows = await pool.fetch(_ATTEMPTS, delivery_id, MAX_ATTEMPTS_SHOWN)
    return [
        Attempt(row["started_at"], row["duration_ms"], row["status"], row["error"], row["answer"])
        for row in rows
    ]


async def stats(pool: Pool, endpoint_id: str) -> Stats:
    """What the latest attempts of the endpoint say of it."""
    row = await pool.fetchrow(_STATS, endpoint_id, MAX_ATTEMPTS_READ)
    assert row is not None
    return Stats(row["attempts"], row["success_share"], row["p95_ms"])


async def resend(connection: Connection, delivery_id: str) -> Delivery | None:
    """Make a delivery pending again. None: it is pending. The row of its endpoint is locked."""
    row = await connection.fetchrow(_RESEND, delivery_id)
    return delivery_of(row) if row else None


async def resend_since(
    connection: Connection, endpoint_id: str, since: datetime, statuses: Sequence[DeliveryStatus], limit: int
) -> tuple[int, datetime | None]:
    """Make up to `limit` deliveries of events since then pending again, the oldest first; returns how many, and the
    time of the first that was too many. The row of their endpoint is locked."""
    lowest, _ = ids.bounds("whd", max(since, EPOCH) - CLOCKS)
    row = await connection.fetchrow(_RESEND_SINCE, endpoint_id, lowest, since, list(statuses), limit)
    assert row is not None
    return row["count"], row["next_since"]


async def count_pending(connection: Connection, endpoint_id: str, limit: int) -> int:
    """How many deliveries of the endpoint are pending, at most `limit`."""
    return await connection.fetchval(_COUNT_PENDING, endpoint_id, limit)


async def blank(connection: Connection, task_ids: Sequence[str], limit: int) -> int:
    """Empty the data of up to `limit` deliveries of deleted tasks; returns how many had some."""
    return await connection.fetchval(_BLANK, list(task_ids), limit)


async def blank_answers(connection: Connection, task_ids: Sequence[str], limit: int) -> int:
    """Empty the answers to up to `limit` attempts for deleted tasks; returns how many had some."""
    return await connection.fetchval(_BLANK_ANSWERS, list(task_ids), limit)


async def remove_of_callbacks(connection: Connection, task_ids: Sequence[str], limit: int) -> int:
    """Remove up to `limit` deliveries to the callback URLs of tasks; returns how many."""
    tag = await connection.execute(_REMOVE_OF_CALLBACKS, list(task_ids), limit)
    return int(tag.split()[-1])


def delivery_of(row: Record) -> Delivery:
    """A row of `webhook_deliveries`."""
    entry = FeedEntry(
        row["position"], row["event_id"], row["event_type"], row["task_id"], row["event_at"], row["data"]
    )
    return Delivery(
        row["id"], row["endpoint_id"], entry, row["status"], row["attempts"], row["next_attempt_at"],
        row["created_at"], row["delivered_at"],
    )  # fmt: skip
