"""SQL on webhook endpoints and on the callback secrets of accounts."""

from collections.abc import Sequence
from datetime import timedelta

from agentcontainer import db
from agentcontainer.db import Connection, Page, Pool, Record
from agentcontainer.domain.webhooks.model import CallbackSecret, DisabledReason, Endpoint, NewEndpoint

# An advisory lock, because the row of the account is locked by every dispatch.
_LOCK_ACCOUNT = "SELECT pg_advisory_xact_lock(hashtextextended('webhooks:' || $1, 0))"
_OWN = "FROM webhook_endpoints WHERE account_id = $1 AND task_id IS NULL AND deleted_at IS NULL"
_COUNT = f"SELECT count(*) {_OWN}"
_INSERT = """
INSERT INTO webhook_endpoints (id, account_id, url, events, description, secret)
VALUES ($1, $2, $3, $4, $5, $6) RETURNING *
"""
_GET = "SELECT * FROM webhook_endpoints WHERE account_id = $1 AND id = $2 AND deleted_at IS NULL"
_OF_TASK = "SELECT id FROM webhook_endpoints WHERE task_id = $1 AND deleted_at IS NULL"
_UPDATE = """
UPDATE webhook_endpoints SET url = $2, events = $3, description = $4 WHERE id = $1 RETURNING *
"""
# With the next failure the time without a success begins anew.
_ENABLE = """
UPDATE webhook_endpoints SET disabled_at = NULL, disabled_reason = NULL, failing_since = NULL, lane = 1
WHERE id = $1 RETURNING *
"""
_DISABLE = """
UPDATE webhook_endpoints SET disabled_at = now(), disabled_reason = $2, due_at = coalesce(due_at, now())
WHERE id = $1 RETURNING *
"""
_DELETE = """
UPDATE webhook_endpoints SET deleted_at = now(), secret = NULL, previous_secret = NULL WHERE id = $1
"""
_ROTATE = """
UPDATE webhook_endpoints SET secret = $2, previous_secret = CASE WHEN $3 > interval '0' THEN secret END,
    previous_until = CASE WHEN $3 > interval '0' THEN now() + $3 END
WHERE id = $1 RETURNING *
"""
_SECRETS = """
SELECT secret, CASE WHEN previous_until > now() THEN previous_secret END AS previous FROM {table}
"""
_SECRETS_OF_ENDPOINT = f"{_SECRETS.format(table='webhook_endpoints')} WHERE id = $1"
_SECRETS_OF_CALLBACKS = f"{_SECRETS.format(table='callback_secrets')} WHERE account_id = $1"
_INSERT_OF_CALLBACKS = """
INSERT INTO callback_secrets (account_id, secret) VALUES ($1, $2) ON CONFLICT (account_id) DO NOTHING
"""
_OF_CALLBACKS = "SELECT * FROM callback_secrets WHERE account_id = $1"
_ROTATE_OF_CALLBACKS = """
UPDATE callback_secrets SET secret = $2, previous_secret = CASE WHEN $3 > interval '0' THEN secret END,
    previous_until = CASE WHEN $3 > interval '0' THEN now() + $3 END, created_at = now()
WHERE account_id = $1 RETURNING *
"""


async def lock_account(connection: Connection, account_id: str) -> None:
    """Wait until no other transaction adds an endpoint to the account."""
    await connection.execute(_LOCK_ACCOUNT, account_id)


async def count(connection: Connection, account_id: str) -> int:
    """How many endpoints the account has, without callback URLs of tasks."""
    return await connection.fetchval(_COUNT, account_id)


async def insert(connection: Connection, new: NewEndpoint) -> Endpoint:
    """Insert an endpoint."""
    row = await connection.fetchrow(
        _INSERT, new.id, new.account_id, new.url, list(new.events), new.description, new.secret
    )
    assert row is not None
    return _endpoint(row)


async def list_page(
    pool: Pool, account_id: str, *, after_id: str | None, limit: int, is_descending: bool
) -> Page[Endpoint]:
    """The account's endpoints, by id from `after_id` on, without callback URLs of tasks."""
    sign, direction = ("<", "DESC") if is_descending else (">", "ASC")
    query = f"SELECT * {_OWN} AND ($2::text IS NULL OR id {sign} $2)"
    return await db.fetch_page(
        pool, query, account_id, after_id, order=f"id {direction}", limit=limit, of=_endpoint
    )


async def get(connection: Connection | Pool, account_id: str, endpoint_id: str) -> Endpoint | None:
    """An endpoint of the account, also the callback URL of a task. None: there is none."""
    row = await connection.fetchrow(_GET, account_id, endpoint_id)
    return _endpoint(row) if row else None


async def lock(connection: Connection, account_id: str, endpoint_id: str) -> Endpoint | None:
    """The same, its row locked."""
    row = await connection.fetchrow(f"{_GET} FOR UPDATE", account_id, endpoint_id)
    return _endpoint(row) if row else None


async def find_of_task(pool: Pool, task_id: str) -> str | None:
    """The id of the endpoint that is the task's callback URL. None: it has none."""
    return await pool.fetchval(_OF_TASK, task_id)


async def sealed_secrets(pool: Pool, endpoint: Endpoint) -> Sequence[bytes]:
    """What signs requests to this endpoint now: its secret, or that of callbacks, and during a rotation the previous
    one. Empty: the endpoint was deleted meanwhile, or the account has had no callback yet."""
    if endpoint.task_id is None:
        row = await pool.fetchrow(_SECRETS_OF_ENDPOINT, endpoint.id)
    else:
        row = await pool.fetchrow(_SECRETS_OF_CALLBACKS, endpoint.account_id)
    return [] if row is None else [sealed for sealed in row.values() if sealed is not None]


async def update(
    connection: Connection, endpoint_id: str, url: str, events: Sequence[str], description: str | None
) -> Endpoint:
    """Change what the client chose."""
    row = await connection.fetchrow(_UPDATE, endpoint_id, url, list(events), description)
    assert row is not None
    return _endpoint(row)


async def enable(connection: Connection, endpoint_id: str) -> Endpoint:
    """From now on the endpoint gets new events."""
    row = await connection.fetchrow(_ENABLE, endpoint_id)
    assert row is not None
    return _endpoint(row)


async def disable(connection: Connection, endpoint_id: str, reason: DisabledReason) -> Endpoint:
    """From now on the endpoint gets nothing. Its pending deliveries are left to `queue.fail_pending`."""
    row = await connection.fetchrow(_DISABLE, endpoint_id, reason)
    assert row is not None
    return _endpoint(row)


async def set_deleted(connection: Connection, endpoint_id: str) -> None:
    """From now on nobody sees the endpoint. Its deliveries are left to `queue.remove_deleted`."""
    await connection.execute(_DELETE, endpoint_id)


async def rotate(connection: Connection, endpoint_id: str, secret: bytes, overlap_seconds: int) -> Endpoint:
    """Store a new secret. The present one signs, too, during the overlap."""
    row = await connection.fetchrow(_ROTATE, endpoint_id, secret, _seconds(overlap_seconds))
    assert row is not None
    return _endpoint(row)


async def insert_callback_secret(connection: Connection | Pool, account_id: str, secret: bytes) -> None:
    """Store the secret of the account's callbacks, if it has none."""
    await connection.execute(_INSERT_OF_CALLBACKS, account_id, secret)


async def callback_secret(connection: Connection | Pool, account_id: str) -> CallbackSecret | None:
    """The secret of the account's callbacks. None: none was needed yet."""
    row = await connection.fetchrow(_OF_CALLBACKS, account_id)
    return _callback_secret(row) if row else None


async def rotate_callback_secret(
    connection: Connection, account_id: str, secret: bytes, overlap_seconds: int
) -> CallbackSecret:
    """Store a new secret of the account's callbacks. The present one signs, too, during the overlap."""
    row = await connection.fetchrow(_ROTATE_OF_CALLBACKS, account_id, secret, _seconds(overlap_seconds))
    assert row is not None
    return _callback_secret(row)


def _seconds(number: int) -> timedelta:
    return timedelta(seconds=number)


def _callback_secret(row: Record) -> CallbackSecret:
    return CallbackSecret(row["secret"], row["previous_until"], row["created_at"])


def _endpoint(row: Record) -> Endpoint:
    return Endpoint(**{name: row[name] for name in Endpoint.__dataclass_fields__})
