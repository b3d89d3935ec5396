"""SQL that marks accounts as deleted, and that removes the rows of marked accounts in small batches.

Every table with a column `account_id` is in `STEPS`, `KEPT` or `OF_TASKS`; a test compares them with the schema.
"""

from collections.abc import Mapping, Sequence

from agentcontainer.db import Connection, Pool
from agentcontainer.domain.deletion.model import DeletableAccount, Removed
from agentcontainer.domain.deletion.store import NOW, Step
from agentcontainer.domain.files import store as files
from agentcontainer.domain.files import unowned
from agentcontainer.domain.tasks.state import TERMINAL, Status
from agentcontainer.domain.uploads.service import DIRECT_PREFIX

NAME = "Deleted account"
ACCOUNTS_AT_ONCE = 100
LIVE = [status.value for status in Status if status not in TERMINAL]

_LOCK = "SELECT id, suspended_at FROM accounts WHERE id = $1 AND deleted_at IS NULL FOR UPDATE"
_LIVE = """
SELECT id FROM tasks WHERE account_id = $1 AND status = ANY($2::text[]) AND deleted_at IS NULL LIMIT $3
"""
_COUNT_LIVE = """
SELECT count(*) FROM tasks WHERE account_id = $1 AND status = ANY($2::text[]) AND deleted_at IS NULL
"""
_IS_EXPORTED = """
SELECT exported_at > suspended_at IS TRUE
    AND NOT EXISTS (SELECT FROM tasks WHERE account_id = a.id AND completed_at > a.exported_at)
    AND NOT EXISTS (SELECT FROM files WHERE account_id = a.id AND created_at > a.exported_at AND deleted_at IS NULL)
FROM accounts a WHERE id = $1
"""
_MARK = """
UPDATE accounts SET deleted_at = now(), name = $2, email = NULL, is_operator = false WHERE id = $1
"""
# From the mark on, nobody can log in, and nothing is sent to the account's webhooks.
_SHUT = (
    "UPDATE api_keys SET revoked_at = now() WHERE account_id = $1 AND revoked_at IS NULL",
    "DELETE FROM sessions WHERE account_id = $1",
    "DELETE FROM login_codes WHERE account_id = $1",
    "DELETE FROM cli_logins WHERE account_id = $1",
    "UPDATE webhook_endpoints SET deleted_at = now() WHERE account_id = $1 AND deleted_at IS NULL",
)
_MARKED = """
SELECT id FROM accounts WHERE deleted_at IS NOT NULL AND removed_at IS NULL ORDER BY deleted_at LIMIT $1
"""
# Each of these removes at most $2 rows of the accounts $1.
_FILES = "SELECT id FROM files WHERE account_id = ANY($1::text[]) LIMIT $2"
_UPLOADS = """
DELETE FROM uploads WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM uploads WHERE account_id = ANY($1::text[]) AND file_id IS NULL LIMIT $2)) RETURNING blob_key
"""
_AGENTS = "SELECT id FROM agents WHERE account_id = ANY($1::text[]) LIMIT $2"
_DELIVERIES = """
DELETE FROM webhook_deliveries WHERE ctid = ANY(ARRAY(
    SELECT d.ctid FROM webhook_endpoints e JOIN webhook_deliveries d ON d.endpoint_id = e.id
    WHERE e.account_id = ANY($1::text[]) LIMIT $2))
"""
_DAILY_USE = """
DELETE FROM daily_use WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM daily_use WHERE owner_id = ANY($1::text[])
        OR owner_id IN (SELECT id FROM api_keys WHERE account_id = ANY($1::text[])) LIMIT $2))
"""
# The sums stay, but not the clients' texts by which they were counted: a digest keeps the rows apart.
_USAGE = """
UPDATE usage SET metadata = jsonb_build_object('', md5(metadata::text)) WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM usage WHERE account_id = ANY($1::text[]) AND metadata <> '{}' AND NOT metadata ? '' LIMIT $2))
"""


async def lock(connection: Connection, account_id: str) -> DeletableAccount | None:
    """The account, its row locked. None: it does not exist, or is deleted."""
    row = await connection.fetchrow(_LOCK, account_id)
    return DeletableAccount(row["id"], row["suspended_at"]) if row else None


async def live_tasks(pool: Pool, account_id: str, limit: int) -> list[str]:
    """Ids of the account's tasks that have not ended."""
    return [row["id"] for row in await pool.fetch(_LIVE, account_id, LIVE, limit)]


async def count_live(connection: Connection | Pool, account_id: str) -> int:
    """How many of the account's tasks have not ended."""
    return await connection.fetchval(_COUNT_LIVE, account_id, LIVE)


async def is_exported(connection: Connection, account_id: str) -> bool:
    """Whether an export has all that the account has."""
    return await connection.fetchval(_IS_EXPORTED, account_id)


async def mark(connection: Connection, account_id: str) -> None:
    """Mark an account as deleted, and remove its name and address."""
    await connection.execute(_MARK, account_id, NAME)
    for statement in _SHUT:
        await connection.execute(statement, account_id)


async def marked(pool: Pool) -> list[str]:
    """Ids of deleted accounts of which something is left."""
    return [row["id"] for row in await pool.fetch(_MARKED, ACCOUNTS_AT_ONCE)]


async def tasks(pool: Pool, account_id: str, limit: int) -> list[str]:
    """Ids of the account's tasks, also of deleted ones."""
    query = "SELECT id FROM tasks WHERE account_id = $1 ORDER BY id LIMIT $2"
    return [row["id"] for row in await pool.fetch(query, account_id, limit)]


async def set_removed(pool: Pool, account_id: str) -> None:
    """Record that nothing is left to remove."""
    await pool.execute("UPDATE accounts SET removed_at = now() WHERE id = $1", account_id)


def _rows_of(table: str) -> Step:
    """A step that removes the rows of a table by their column `account_id`."""
    return _deleting(
        f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("  # noqa: S608 - the names are in STEPS
        f"SELECT ctid FROM {table} WHERE account_id = ANY($1::text[]) LIMIT $2))"
    )


def _deleting(query: str) -> Step:
    async def remove(connection: Connection, account_ids: Sequence[str], limit: int) -> Removed:
        tag = await connection.execute(query, list(account_ids), limit)
        return Removed(int(tag.split()[-1]))

    return remove


async def _files(connection: Connection, account_ids: Sequence[str], limit: int) -> Removed:
    file_ids = [row["id"] for row in await connection.fetch(_FILES, list(account_ids), limit)]
    keys = await files.remove_with_references(connection, file_ids)
    await unowned.insert(connection, keys, NOW)
    return Removed(len(file_ids), keys)


async def _uploads(connection: Connection, account_ids: Sequence[str], limit: int) -> Removed:
    rows = await connection.fetch(_UPLOADS, list(account_ids), limit)
    keys = [row["blob_key"] for row in rows if row["blob_key"]]
    # A client may still write to the store with a URL that was signed for it, so these are deleted again later.
    direct = [key for key in keys if key.startswith(DIRECT_PREFIX)]
    own = [key for key in keys if not key.startswith(DIRECT_PREFIX)]
    await unowned.insert(connection, own, NOW)
    await unowned.insert(connection, direct, unowned.WRITTEN_WITHIN)
    return Removed(len(rows), own)


async def _agents(connection: Connection, account_ids: Sequence[str], limit: int) -> Removed:
    agent_ids = [row["id"] for row in await connection.fetch(_AGENTS, list(account_ids), limit)]
    await connection.execute("DELETE FROM agent_versions WHERE agent_id = ANY($1::text[])", agent_ids)
    await connection.execute("DELETE FROM agents WHERE id = ANY($1::text[])", agent_ids)
    return Removed(len(agent_ids))


STEPS: Mapping[str, Step] = {
    "webhook_deliveries": _deleting(_DELIVERIES),  # with their attempts
    "webhook_endpoints": _rows_of("webhook_endpoints"),
    "callback_secrets": _rows_of("callback_secrets"),
    "idempotency_keys": _rows_of("idempotency_keys"),
    "uploads": _uploads,
    "files": _files,
    "batches": _rows_of("batches"),
    "agents": _agents,
    "provider_keys": _rows_of("provider_keys"),
    "sessions": _rows_of("sessions"),
    "login_codes": _rows_of("login_codes"),
    "cli_logins": _rows_of("cli_logins"),
    "daily_use": _deleting(_DAILY_USE),
    "api_keys": _rows_of("api_keys"),
    "feed_outbox": _rows_of("feed_outbox"),
    "feed_entries": _rows_of("feed_entries"),
    "feeds": _rows_of("feeds"),
    "usage": _deleting(_USAGE),
}
# Tables whose rows stay, each with the reason.
KEPT: Mapping[str, str] = {
    "ledger_entries": "the operator's books; the database refuses to delete them",
    "audit_log": "who deleted the account",
    "usage": "sums by day, for the operator's books",
    "account_queues": "counters",
    "account_storage": "counters",
}
OF_TASKS = frozenset({"tasks"})  # removed before the steps
