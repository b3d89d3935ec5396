"""SQL that reads the rows of an account for its export, page by page, without secrets.

A test compares `TABLES` and `LEFT_OUT` with the schema, so that a new table needs a decision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from agentcontainer import db
from agentcontainer.db import Page, Pool, Record

ROWS_AT_ONCE = 200

_PAGE = """
SELECT {key} AS key, ((to_jsonb(t) - $2::text[]){added})::text AS content FROM {table} t
WHERE {owner} = $1{condition}
"""
# Not `$3 IS NULL OR …`: with that, a plan for all values of $3 reads each page from the beginning of the table.
_AFTER = " AND {key} > $3::{type}"
_ACCOUNT = """
SELECT (to_jsonb(a) - $2::text[])::text FROM accounts a WHERE id = $1 AND deleted_at IS NULL
"""
_FILES = """
SELECT id, filename, blob_key, size_bytes, created_at FROM files WHERE id = ANY($1::text[]) ORDER BY id
"""
_SET_EXPORTED = "UPDATE accounts SET exported_at = $2 WHERE id = $1 AND deleted_at IS NULL"


@dataclass(frozen=True)
class Table:
    """A table of the export. `owner` and `key` are columns by which an index finds its rows in order; `without`:
    columns that are not exported; `added`: SQL of a JSON object of further fields."""

    name: str
    owner: Literal["account_id", "agent_id", "task_id"]
    key: str = "id"
    key_type: Literal["text", "bigint"] = "text"
    without: tuple[str, ...] = ()
    added: str = ""
    condition: str = ""

    def page(self, *, has_after: bool) -> str:
        """The SQL of a page of one owner. `has_after`: not of the first page."""
        query = _PAGE.format(
            owner=self.owner, key=self.key, table=self.name,
            added=f" || {self.added}" if self.added else "",
            condition=f" AND {self.condition}" if self.condition else "",
        )  # fmt: skip
        return query + _AFTER.format(key=self.key, type=self.key_type) if has_after else query


@dataclass(frozen=True)
class Row:
    """A row as JSON, and its place among those of its owner."""

    key: str | int
    content: str


@dataclass(frozen=True)
class ExportedFile:
    """A file whose bytes are exported."""

    id: str
    filename: str
    blob_key: str
    size_bytes: int
    created_at: datetime


_INPUTS = "jsonb_build_object('input_file_ids', ARRAY(SELECT file_id FROM task_input_files WHERE task_id = t.id ORDER BY position))"  # noqa: E501
_MESSAGE_FILES = "jsonb_build_object('file_ids', ARRAY(SELECT file_id FROM message_files WHERE message_id = t.id ORDER BY position))"  # noqa: E501
_SEALED = ("provider_key_ciphertext",)

FILES = Table("files", "account_id", without=("blob_key",), condition="deleted_at IS NULL")
TASKS = Table("tasks", "account_id", without=_SEALED, added=_INPUTS, condition="deleted_at IS NULL")
AGENTS = Table("agents", "account_id")
TABLES: Sequence[Table] = (
    Table("api_keys", "account_id", without=("key_hash",)),
    Table("provider_keys", "account_id", "provider", without=("ciphertext",)),
    Table("webhook_endpoints", "account_id", without=("secret", "previous_secret")),
    Table("ledger_entries", "account_id", "position", "bigint"),
    Table("audit_log", "account_id"),
    Table("batches", "account_id"),
    AGENTS,
    TASKS,
    FILES,
)
# Exported with each page of the table that they belong to.
PARTS: Mapping[str, Sequence[Table]] = {
    "agents": (Table("agent_versions", "agent_id", "number", "bigint"),),
    "tasks": (
        Table("messages", "task_id", "sequence", "bigint", without=_SEALED, added=_MESSAGE_FILES),
        Table("events", "task_id", "sequence", "bigint"),
    ),
}
# Tables of accounts and tasks that are not exported, each with the reason.
LEFT_OUT: Mapping[str, str] = {
    "accounts": "account.json",
    "task_input_files": "in tasks",
    "message_files": "in messages",
    "account_queues": "counters",
    "account_storage": "counters",
    "checkpoints": "the state of a container, which only the platform can use",
    "wake_links": "secrets",
    "idempotency_keys": "secrets",
    "sessions": "secrets",
    "login_codes": "secrets",
    "cli_logins": "secrets",
    "callback_secrets": "secrets",
    "uploads": "not completed, or in files",
    "feeds": "counters",
    "feed_outbox": "in events",
    "feed_entries": "in events",
    "webhook_deliveries": "in events",
    "usage": "in tasks",
}


async def read_account(pool: Pool, account_id: str) -> str | None:
    """The account as JSON. None: it does not exist."""
    return await pool.fetchval(_ACCOUNT, account_id, ["max_running_when_active", "deleted_at", "removed_at"])


async def read_page(pool: Pool, table: Table, owner_id: str, after: Row | None) -> Page[Row]:
    """The rows of an owner, from `after` on."""
    arguments = [] if after is None else [after.key]
    return await db.fetch_page(
        pool, table.page(has_after=after is not None), owner_id, list(table.without), *arguments,
        order="key", limit=ROWS_AT_ONCE, of=_row,
    )  # fmt: skip


async def read_files(pool: Pool, file_ids: Sequence[str]) -> list[ExportedFile]:
    """The names and blobs of these files."""
    rows = await pool.fetch(_FILES, list(file_ids))
    return [ExportedFile(**{name: row[name] for name in ExportedFile.__dataclass_fields__}) for row in rows]


async def set_exported(pool: Pool, account_id: str, began_at: datetime) -> None:
    """Record that the account was exported as it was at this time."""
    await pool.execute(_SET_EXPORTED, account_id, began_at)


def _row(row: Record) -> Row:
    return Row(row["key"], row["content"])
