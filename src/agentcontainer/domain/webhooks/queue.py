"""SQL of sending deliveries: which are due, who sends them, and what came of it.

An endpoint's `due_at` is when its next delivery may be sent, so that looking for work reads one row for each endpoint,
however many deliveries are pending. Whoever claims or settles deliveries of an endpoint, or makes some of them pending,
holds the lock of its row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from agentcontainer import db
from agentcontainer.db import Connection, Pool, Record
from agentcontainer.domain.feed.store import WEBHOOK_CHANNEL
from agentcontainer.domain.webhooks.deliveries import delivery_of
from agentcontainer.domain.webhooks.model import MAX_PENDING, Answered, Claimed

AT_ONCE = 4  # deliveries of one endpoint that are sent at a time, by all processes together
LEASE = timedelta(seconds=30)  # longer than a request may take
NEWS_AT_ONCE = 1000
LANES = (0, 1, 2)
QUICK_MS = 2000  # an endpoint whose last attempt took longer, or failed, waits in a lane of its own

# Rows of endpoints that another transaction has locked stay for the next time, so that nobody waits for it.
_ADMIT = """
WITH news AS (
    SELECT ctid, endpoint_id FROM webhook_news LIMIT $1
), locked AS (
    SELECT id FROM webhook_endpoints WHERE id IN (SELECT endpoint_id FROM news) FOR UPDATE SKIP LOCKED
), removed AS (
    DELETE FROM webhook_news WHERE ctid = ANY (ARRAY(
        SELECT n.ctid FROM webhook_news n JOIN news ON news.ctid = n.ctid
        WHERE n.endpoint_id IN (SELECT id FROM locked)
            OR NOT EXISTS (SELECT FROM webhook_endpoints e WHERE e.id = n.endpoint_id)
        FOR UPDATE OF n SKIP LOCKED))
)
UPDATE webhook_endpoints SET due_at = now()
WHERE id IN (SELECT id FROM locked) AND (due_at IS NULL OR due_at > now())
"""
_LOOK = """
SELECT EXISTS (SELECT FROM webhook_news) AS has_news, lane, extract(epoch FROM due_at - now())::float8 AS seconds
FROM unnest($1::smallint[]) AS lane LEFT JOIN LATERAL (
    SELECT due_at FROM webhook_endpoints e
    WHERE e.lane = lane.lane AND due_at IS NOT NULL AND disabled_at IS NULL AND deleted_at IS NULL
    ORDER BY due_at LIMIT 1
) AS next ON true
"""
# It jumps from account to account in the index, however many endpoints each account has.
WAITING_ACCOUNTS = """
WITH RECURSIVE found AS (
    SELECT $2::text AS account_id, now() AS due_at, 0 AS number
    UNION ALL
    SELECT next.account_id, next.due_at, found.number + 1 FROM found CROSS JOIN LATERAL (
        SELECT account_id, due_at FROM webhook_endpoints e
        WHERE lane = $1 AND e.account_id > found.account_id
            AND due_at IS NOT NULL AND disabled_at IS NULL AND deleted_at IS NULL
        ORDER BY account_id, due_at LIMIT 1
    ) AS next
    WHERE found.number < $3
)
SELECT account_id, due_at <= now() AS is_due FROM found WHERE number > 0 ORDER BY number
"""
LOCK_DUE = """
SELECT due.id FROM unnest($2::text[], $3::int[]) AS turn (account_id, count) CROSS JOIN LATERAL (
    SELECT id FROM webhook_endpoints e
    WHERE lane = $1 AND e.account_id = turn.account_id
        AND due_at <= now() AND disabled_at IS NULL AND deleted_at IS NULL
    ORDER BY due_at LIMIT turn.count FOR UPDATE SKIP LOCKED
) AS due
"""
_CLAIM = """
WITH slot AS (
    SELECT e.id, $2 - (SELECT count(*) FROM webhook_deliveries d WHERE d.endpoint_id = e.id AND leased_until > now())
        AS free
    FROM unnest($1::text[]) AS e (id)
), next AS (
    SELECT d.id FROM slot CROSS JOIN LATERAL (
        SELECT id FROM webhook_deliveries
        WHERE endpoint_id = slot.id AND status = 'pending' AND next_attempt_at <= now()
        ORDER BY next_attempt_at, position LIMIT greatest(slot.free, 0)
    ) AS d
)
UPDATE webhook_deliveries d SET next_attempt_at = now() + $3, leased_until = now() + $3
FROM next, webhook_endpoints e LEFT JOIN callback_secrets c ON c.account_id = e.account_id AND e.task_id IS NOT NULL
WHERE d.id = next.id AND e.id = d.endpoint_id
RETURNING d.*, e.url, e.task_id IS NOT NULL AS is_callback, now() AS now,
    coalesce(e.secret, c.secret) AS secret,
    CASE WHEN coalesce(e.previous_until, c.previous_until) > now()
         THEN coalesce(e.previous_secret, c.previous_secret) END AS previous_secret
"""
# With all slots taken, the next delivery can be sent when one of them is settled, or its lease ends.
_SCHEDULE = """
UPDATE webhook_endpoints e SET due_at = CASE
    WHEN leased.count >= $2 THEN leased.first
    ELSE (SELECT min(next_attempt_at) FROM webhook_deliveries d WHERE d.endpoint_id = e.id AND status = 'pending')
END
FROM unnest($1::text[]) AS chosen (id), LATERAL (
    SELECT count(*), min(leased_until) AS first FROM webhook_deliveries d
    WHERE d.endpoint_id = chosen.id AND leased_until > now()
) AS leased
WHERE e.id = chosen.id
"""
_LOCK_ENDPOINT = """
SELECT id, account_id, task_id, disabled_at, deleted_at, now() - failing_since AS failing_for
FROM webhook_endpoints WHERE id = $1 FOR UPDATE
"""
_INSERT_ATTEMPT = """
INSERT INTO webhook_attempts (delivery_id, started_at, endpoint_id, duration_ms, is_success, status, error, answer)
SELECT $1, $2, $3, $4, $5, $6, $7, $8 WHERE EXISTS (SELECT FROM webhook_deliveries WHERE id = $1 FOR KEY SHARE)
ON CONFLICT DO NOTHING RETURNING true
"""
_SET_DELIVERED = """
UPDATE webhook_deliveries SET status = 'delivered', tries = tries + 1, attempts = attempts + 1, next_attempt_at = NULL,
    leased_until = NULL, delivered_at = now()
WHERE id = $1
"""
# The delivery's state is that of the process which has the lease.
_SET_FAILED = """
UPDATE webhook_deliveries SET attempts = attempts + 1,
    tries = CASE WHEN is_ours THEN tries + 1 ELSE tries END,
    status = CASE WHEN is_ours AND $3::interval IS NULL THEN 'failed' ELSE status END,
    next_attempt_at = CASE WHEN is_ours THEN now() + $3::interval ELSE next_attempt_at END,
    leased_until = CASE WHEN is_ours THEN NULL ELSE leased_until END
FROM (SELECT status = 'pending' AND leased_until = $2 AS is_ours FROM webhook_deliveries WHERE id = $1) AS lease
WHERE id = $1
"""
_SET_HEALTH = """
UPDATE webhook_endpoints SET lane = $2, last_success_at = CASE WHEN $3 THEN now() ELSE last_success_at END,
    failing_since = CASE WHEN $3 THEN NULL ELSE coalesce(failing_since, now()) END
WHERE id = $1
"""
_FAIL_PENDING = """
UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL, leased_until = NULL
WHERE id = ANY (ARRAY(SELECT id FROM webhook_deliveries WHERE endpoint_id = $1 AND status = 'pending' LIMIT $2))
"""
_LEFTOVERS = """
SELECT id, deleted_at IS NOT NULL AS is_deleted FROM webhook_endpoints
WHERE deleted_at IS NOT NULL OR disabled_at IS NOT NULL AND due_at IS NOT NULL LIMIT 100
"""
_REMOVE_DELIVERIES = """
DELETE FROM webhook_deliveries WHERE id = ANY (ARRAY(
    SELECT id FROM webhook_deliveries WHERE endpoint_id = $1 LIMIT $2))
"""
_REMOVE_ENDPOINT = "DELETE FROM webhook_endpoints WHERE id = $1 AND deleted_at IS NOT NULL"
_FULL = """
SELECT account_id, id FROM webhook_endpoints e
WHERE due_at IS NOT NULL AND disabled_at IS NULL AND deleted_at IS NULL AND task_id IS NULL
    AND EXISTS (SELECT FROM webhook_deliveries d WHERE d.endpoint_id = e.id AND status = 'pending' OFFSET $1)
"""
_PENDING = (
    "SELECT count(*) FROM (SELECT FROM webhook_deliveries WHERE status = 'pending' LIMIT $1) AS pending"
)


@dataclass(frozen=True)
class Outlook:
    """Whether there are new deliveries, and by lane in how many seconds a delivery is due; None: none is pending."""

    has_news: bool
    due_seconds: dict[int, float | None]


@dataclass(frozen=True)
class WaitingAccount:
    """An account with pending deliveries in a lane. `is_due`: one of them may be sent now."""

    id: str
    is_due: bool


@dataclass(frozen=True)
class LockedEndpoint:
    """An endpoint whose row is locked, for the settling of a delivery. `failing_for`: since its first failure."""

    id: str
    account_id: str
    task_id: str | None
    is_active: bool
    failing_for: timedelta | None


async def look(pool: Pool) -> Outlook:
    """What there is to do. It reads a few rows."""
    rows = await pool.fetch(_LOOK, list(LANES))
    return Outlook(rows[0]["has_news"], {row["lane"]: row["seconds"] for row in rows})


async def admit(pool: Pool) -> None:
    """Note which endpoints have new deliveries."""
    await pool.execute(_ADMIT, NEWS_AT_ONCE)


async def waiting_accounts(pool: Pool, lane: int, after_account: str, limit: int) -> list[WaitingAccount]:
    """The next accounts, by id, that have pending deliveries in the lane."""
    rows = await pool.fetch(WAITING_ACCOUNTS, lane, after_account, limit)
    return [WaitingAccount(row["account_id"], row["is_due"]) for row in rows]


async def claim(pool: Pool, lane: int, turns: Mapping[str, int]) -> list[Claimed]:
    """Take deliveries of the lane that are due: of at most so many endpoints of each account in `turns`, and at most
    `AT_ONCE` of each endpoint."""
    async with db.transaction(pool) as connection:
        rows = await connection.fetch(LOCK_DUE, lane, list(turns), list(turns.values()))
        endpoint_ids = [row["id"] for row in rows]
        if not endpoint_ids:
            return []
        # Statements of their own, because only those see what was committed before the lock was free.
        rows = await connection.fetch(_CLAIM, endpoint_ids, AT_ONCE, LEASE)
        await schedule(connection, endpoint_ids)
    return [_claimed(row) for row in rows]


async def schedule(connection: Connection, endpoint_ids: Sequence[str]) -> None:
    """Compute when these endpoints are due. Their rows are locked."""
    await connection.execute(_SCHEDULE, list(endpoint_ids), AT_ONCE)


async def announce(connection: Connection) -> None:
    """Tell all processes that there are deliveries to send."""
    await connection.execute("SELECT pg_notify($1, '')", WEBHOOK_CHANNEL)


async def schedule_one(pool: Pool, endpoint_id: str) -> None:
    """Compute when an endpoint is due."""
    async with db.transaction(pool) as connection:
        await lock_endpoint(connection, endpoint_id)
        await schedule(connection, [endpoint_id])


async def lock_endpoint(connection: Connection, endpoint_id: str) -> LockedEndpoint | None:
    """Lock the endpoint's row. None: it was removed."""
    row = await connection.fetchrow(_LOCK_ENDPOINT, endpoint_id)
    if row is None:
        return None
    is_active = row["disabled_at"] is None and row["deleted_at"] is None
    return LockedEndpoint(row["id"], row["account_id"], row["task_id"], is_active, row["failing_for"])


async def insert_attempt(connection: Connection, claimed: Claimed, answered: Answered) -> bool:
    """Record an attempt. False: it was recorded before, or its delivery was removed."""
    return bool(
        await connection.fetchval(
            _INSERT_ATTEMPT, claimed.delivery.id, claimed.started_at, claimed.delivery.endpoint_id,
            answered.duration_ms, answered.is_success, answered.status, answered.error, answered.answer,
        )
    )  # fmt: skip


async def set_delivered(connection: Connection, claimed: Claimed) -> None:
    await connection.execute(_SET_DELIVERED, claimed.delivery.id)


async def set_failed(connection: Connection, claimed: Claimed, pause: timedelta | None) -> None:
    """Record a failure. `pause`: until the next try; None: there is none."""
    await connection.execute(_SET_FAILED, claimed.delivery.id, claimed.leased_until, pause)


async def set_health(connection: Connection, endpoint_id: str, answered: Answered) -> None:
    """Record in the endpoint's row what came of its latest attempt."""
    is_quick = answered.is_success and answered.duration_ms <= QUICK_MS
    await connection.execute(_SET_HEALTH, endpoint_id, 0 if is_quick else 2, answered.is_success)


async def leftovers(pool: Pool) -> list[tuple[str, bool]]:
    """Endpoints that were disabled while deliveries were pending, or deleted (True)."""
    return [(row["id"], row["is_deleted"]) for row in await pool.fetch(_LEFTOVERS)]


async def fail_pending(connection: Connection, endpoint_id: str, limit: int) -> int:
    """Make up to `limit` pending deliveries failed; returns how many."""
    return _count(await connection.execute(_FAIL_PENDING, endpoint_id, limit))


async def remove_deliveries(connection: Connection, endpoint_id: str, limit: int) -> int:
    """Remove up to `limit` deliveries with their attempts; returns how many."""
    return _count(await connection.execute(_REMOVE_DELIVERIES, endpoint_id, limit))


async def remove_endpoint(connection: Connection | Pool, endpoint_id: str) -> None:
    """Remove the row of an endpoint that was deleted."""
    await connection.execute(_REMOVE_ENDPOINT, endpoint_id)


async def find_full(pool: Pool) -> list[tuple[str, str]]:
    """The account and id of endpoints with more than `MAX_PENDING` pending deliveries."""
    return [(row["account_id"], row["id"]) for row in await pool.fetch(_FULL, MAX_PENDING)]


async def count_pending(pool: Pool) -> int:
    """How many deliveries of all accounts are pending, at most `MAX_PENDING`."""
    return await pool.fetchval(_PENDING, MAX_PENDING)


def _claimed(row: Record) -> Claimed:
    secrets = [secret for secret in (row["secret"], row["previous_secret"]) if secret is not None]
    return Claimed(
        delivery_of(row), row["account_id"], row["url"], row["tries"], row["is_callback"], secrets, row["now"],
        row["leased_until"],
    )  # fmt: skip


def _count(command_tag: str) -> int:
    return int(command_tag.split()[-1])
