"""SQL on the feeds of accounts and on the outbox, except for the events of tasks, which are inserted with them.

The positions of an account's entries have no gaps: only the oldest entries are ever deleted.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from agentcontainer import db
from agentcontainer.db import Connection, Page, Pool
from agentcontainer.domain.feed.model import FeedBounds, FeedEntry
from agentcontainer.ids import new_id

CHANNEL = "agentcontainer_feed"  # NOTIFY payload: the id of an account whose feed has new entries
OUTBOX_CHANNEL = "agentcontainer_feed_outbox"  # NOTIFY without payload: the outbox has new rows
WEBHOOK_CHANNEL = "agentcontainer_webhooks"  # NOTIFY without payload: there are new deliveries
PAGE_ENTRIES = 100
PAGE_BYTES = 64 * 1024  # of their data; a single larger entry is a page of its own
PURGE_ACCOUNTS = 100
MAX_POSITION = 2**63 - 1

# A row that a deletion has locked is left for the next batch, so that nobody waits for that transaction.
_NUMBER = """
WITH moved AS (
    DELETE FROM feed_outbox WHERE number = ANY (ARRAY(
        SELECT number FROM feed_outbox ORDER BY number LIMIT $1 FOR UPDATE SKIP LOCKED
    )) RETURNING *
), feed AS (
    INSERT INTO feeds AS f (account_id, last_position) SELECT account_id, count(*) FROM moved GROUP BY account_id
    ON CONFLICT (account_id) DO UPDATE SET last_position = f.last_position + excluded.last_position
    RETURNING account_id, last_position
), counted AS (
    SELECT account_id, task_id, id, type, created_at, position,
        CASE WHEN data = '{}' THEN data ELSE data || jsonb_build_object('position', position)
            || CASE WHEN task_id IS NULL THEN '{}' ELSE jsonb_build_object('url', $4::text || task_id) END
        END AS data
    FROM (
        SELECT moved.*, last_position + 1
            - row_number() OVER (PARTITION BY account_id ORDER BY number DESC) AS position
        FROM moved JOIN feed USING (account_id)
    ) AS numbered
), entry AS (
    INSERT INTO feed_entries (account_id, position, task_id, id, type, created_at, data)
    SELECT account_id, position, task_id, id, type, created_at, data FROM counted
), receiver AS (
    SELECT counted.*, e.id AS endpoint_id, e.events FROM counted JOIN webhook_endpoints e
        ON e.account_id = counted.account_id AND e.task_id IS NULL AND e.deleted_at IS NULL AND e.disabled_at IS NULL
    UNION ALL
    SELECT counted.*, e.id, e.events FROM counted JOIN webhook_endpoints e
        ON e.task_id = counted.task_id AND e.task_id IS NOT NULL AND e.disabled_at IS NULL
), delivery AS (
    INSERT INTO webhook_deliveries
        (id, endpoint_id, account_id, task_id, event_id, event_type, event_at, position, data)
    SELECT 'whd_' || substr(id, 5, 10) || left(encode(sha256(convert_to(endpoint_id || id, 'UTF8')), 'hex'), 16),
        endpoint_id, account_id, task_id, id, type, created_at, position, data
    FROM receiver WHERE events = '{*}' OR type = ANY (events)
    RETURNING endpoint_id
), news AS (
    INSERT INTO webhook_news SELECT DISTINCT endpoint_id FROM delivery
)
SELECT (SELECT count(*) FROM moved) AS moved, pg_notify($2, account_id),
    CASE WHEN EXISTS (SELECT FROM delivery) THEN pg_notify($3, '') END
FROM feed
"""
_APPEND = """
INSERT INTO feed_outbox (account_id, task_id, id, type, created_at, data)
VALUES ($1, $2, $3, $4, clock_timestamp(), $5)
"""
_BOUNDS = """
SELECT coalesce((SELECT last_position FROM feeds WHERE account_id = $1), 0) AS last,
    (SELECT position FROM feed_entries WHERE account_id = $1 ORDER BY position LIMIT 1) AS oldest
"""
_LAG = """
SELECT coalesce((SELECT greatest(0, extract(epoch FROM clock_timestamp() - created_at))
                 FROM feed_outbox ORDER BY number LIMIT 1), 0)::float8
"""
_LIST = """
SELECT * FROM feed_entries
WHERE account_id = $1 AND position > $2 AND position < $3
"""
_BEHIND = """
SELECT account_id FROM feeds JOIN unnest($1::text[], $2::bigint[]) AS reader (id, position) ON account_id = reader.id
WHERE last_position > position
"""
_NEWS = """
SELECT page.*, last_position
FROM unnest($1::text[], $2::bigint[]) AS reader (id, after)
JOIN feeds ON feeds.account_id = reader.id
CROSS JOIN LATERAL (
    SELECT *, sum(octet_length(data::text)) OVER (ORDER BY position) AS bytes_up_to_here
    FROM (SELECT * FROM feed_entries WHERE account_id = reader.id AND position > after
          ORDER BY position LIMIT $3) AS next
) AS page
WHERE bytes_up_to_here <= $4 OR position = after + 1
ORDER BY page.account_id, position
"""
_BLANK_OUTBOX = "UPDATE feed_outbox SET data = '{}' WHERE task_id = ANY ($1::text[]) AND data <> '{}'"
_BLANK = """
UPDATE feed_entries SET data = '{}' WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM feed_entries WHERE task_id = ANY ($1::text[]) AND data <> '{}' LIMIT $2
)) RETURNING true
"""
_WITH_OLD_ENTRIES = """
SELECT account_id FROM feeds CROSS JOIN LATERAL (
    SELECT created_at FROM feed_entries e WHERE e.account_id = feeds.account_id ORDER BY position LIMIT 1
) AS oldest
WHERE account_id > $1 AND created_at < $2 ORDER BY account_id LIMIT $3
"""
# Entries are not exactly in the order of their times, but only the oldest may be deleted: those before the first
# that is younger than `before`.
_PURGE = """
WITH oldest AS (
    SELECT position, created_at FROM feed_entries WHERE account_id = $1 ORDER BY position LIMIT $3
)
DELETE FROM feed_entries e WHERE account_id = $1
    AND position BETWEEN (SELECT min(position) FROM oldest) AND (
        SELECT max(position) FROM oldest
        WHERE position < coalesce((SELECT min(position) FROM oldest WHERE created_at >= $2), 9223372036854775807)
    ) RETURNING pg_column_size(e.*) AS bytes
"""


async def number(connection: Connection, limit: int, task_pages: str | None = None) -> int:
    """Move up to `limit` entries of the outbox into the feeds of their accounts, and write their deliveries to
    webhooks; returns how many entries it moved.

    `task_pages`: as `number_forever` has it; the entry of a task gets the `url` of the task's page.
    Only the process that holds the sequencer's lock may call it.
    """
    rows = await connection.fetch(_NUMBER, limit, CHANNEL, WEBHOOK_CHANNEL, task_pages)
    return rows[0]["moved"] if rows else 0


async def append(
    connection: Connection,
    account_id: str,
    event_type: str,
    data: Mapping[str, str],
    *,
    task_id: str | None = None,
) -> None:
    """Put an event into the outbox that is in no task's log."""
    await connection.execute(_APPEND, account_id, task_id, new_id("evt"), event_type, dict(data))
    await connection.execute("SELECT pg_notify($1, '')", OUTBOX_CHANNEL)


async def lag_seconds(pool: Pool) -> float:
    """The age of the oldest event that waits for its position; 0 if none waits."""
    return await pool.fetchval(_LAG)


async def bounds(pool: Pool, account_id: str) -> FeedBounds:
    """Which positions the account's feed has."""
    row = await pool.fetchrow(_BOUNDS, account_id)
    assert row is not None
    return FeedBounds(row["last"] + 1 if row["oldest"] is None else row["oldest"], row["last"])


async def list_page(
    pool: Pool, account_id: str, *, after: int = 0, before: int | None = None, limit: int, is_descending: bool
) -> Page[FeedEntry]:
    """The account's entries between `after` and `before`, by position."""
    order = f"position {'DESC' if is_descending else 'ASC'}"
    end = MAX_POSITION if before is None else before
    return await db.fetch_page(pool, _LIST, account_id, after, end, order=order, limit=limit, of=FeedEntry.of)


async def find_feeds(pool: Pool, positions: Mapping[str, int]) -> list[str]:
    """Of the accounts in `positions` (account id → position), those with entries after that position."""
    rows = await pool.fetch(_BEHIND, list(positions), list(positions.values()))
    return [row["account_id"] for row in rows]


async def read(pool: Pool, positions: Mapping[str, int]) -> Sequence[tuple[str, FeedEntry, int]]:
    """The next page of entries of each account in `positions` (account id → position), in order: the account's id, the
    entry, and the position of the account's last entry."""
    rows = await pool.fetch(_NEWS, list(positions), list(positions.values()), PAGE_ENTRIES, PAGE_BYTES)
    return [(row["account_id"], FeedEntry.of(row), row["last_position"]) for row in rows]


async def blank(connection: Connection, task_ids: Sequence[str], limit: int) -> int:
    """Empty the data of up to `limit` entries of deleted tasks; returns how many had some. Entries keep their position,
    id and type."""
    # The outbox first: an entry that the sequencer is moving is waited for, and then found in the feed.
    await connection.execute(_BLANK_OUTBOX, list(task_ids))
    return len(await connection.fetch(_BLANK, list(task_ids), limit))


async def accounts_to_purge(pool: Pool, before: datetime, after_id: str = "") -> list[str]:
    """The next accounts, by id, whose oldest entry is older than `before`."""
    rows = await pool.fetch(_WITH_OLD_ENTRIES, after_id, before, PURGE_ACCOUNTS)
    return [row["account_id"] for row in rows]


async def purge(connection: Connection | Pool, account_id: str, before: datetime, limit: int) -> list[int]:
    """Delete the account's oldest entries that are older than `before`, at most `limit`; returns the bytes of each."""
    return [row["bytes"] for row in await connection.fetch(_PURGE, account_id, before, limit)]
