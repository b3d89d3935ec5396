"""Enforces how many bytes an account may store: in its files, and in uploads that are not completed.

An upload counts with the size that it declared from `prepare` on, and with what arrived after that. Triggers of the
database keep the account's counter.
"""

from dataclasses import dataclass

from agentcontainer import db
from agentcontainer.db import Connection, Pool
from agentcontainer.errors import PayloadTooLarge
from agentcontainer.settings import Settings

_LOCK = """
INSERT INTO account_storage AS s (account_id) VALUES ($1)
ON CONFLICT (account_id) DO UPDATE SET used_bytes = s.used_bytes
"""
_USED = """
SELECT coalesce((SELECT used_bytes FROM account_storage WHERE account_id = $1), 0) - coalesce(
    (SELECT coalesce(received_bytes, size_bytes) FROM uploads
     WHERE id = $2 AND account_id = $1 AND file_id IS NULL), 0)
"""
_SUM = """
(SELECT coalesce(sum(size_bytes), 0) FROM files WHERE account_id = a.id AND deleted_at IS NULL)
    + (SELECT coalesce(sum(coalesce(received_bytes, size_bytes)), 0) FROM uploads
       WHERE account_id = a.id AND file_id IS NULL)
"""
_WRONG = f"""
SELECT * FROM (
    SELECT a.id, coalesce(s.used_bytes, 0) AS used_bytes, ({_SUM})::bigint AS sum_bytes
    FROM accounts a LEFT JOIN account_storage s ON s.account_id = a.id
) AS account WHERE used_bytes <> sum_bytes ORDER BY id
"""  # noqa: S608
_CORRECT = f"UPDATE account_storage SET used_bytes = ({_SUM})::bigint FROM accounts a WHERE a.id = $1 AND account_id = a.id"  # noqa: S608, E501
WHOLE_TABLE_SECONDS = 600.0


@dataclass(frozen=True)
class WrongCount:
    """An account whose counter is not the sum of its files and open uploads."""

    account_id: str
    used_bytes: int
    sum_bytes: int


async def used_bytes(connection: Connection | Pool, account_id: str, except_upload: str = "") -> int:
    """The bytes that count against the quota, without those of the upload `except_upload`."""
    return await connection.fetchval(_USED, account_id, except_upload)


async def room(
    connection: Connection | Pool, settings: Settings, account_id: str, except_upload: str = ""
) -> int | None:
    """The bytes that the account may still store, as if `except_upload` did not exist; None: there is no quota."""
    if not settings.file_quota_bytes:
        return None
    return max(0, settings.file_quota_bytes - await used_bytes(connection, account_id, except_upload))


async def take(
    connection: Connection, settings: Settings, account_id: str, size: int, except_upload: str
) -> None:
    """Check that `size` more bytes fit. The account's other uploads wait until this transaction ends, so that several
    at once cannot exceed the quota together.

    Raises:
        PayloadTooLarge: they do not fit.
    """
    if settings.file_quota_bytes:
        await connection.execute(_LOCK, account_id)
        check(settings, await room(connection, settings, account_id, except_upload), size)


def check(settings: Settings, left: int | None, size: int) -> None:
    """Check that `size` bytes fit into the quota's `left` bytes.

    Raises:
        PayloadTooLarge: they do not fit.
    """
    if left is not None and size > left:
        raise exceeded(settings, left)


def exceeded(settings: Settings, left: int) -> PayloadTooLarge:
    """The error that says the quota, how much of it is left, and how to free some."""
    return PayloadTooLarge(
        f"The account's file quota is {settings.file_quota_bytes} bytes (fileStorage.quotaBytes), of which {left} "
        "are left. Delete files with DELETE /api/v1/files/{fileId}."
    )


async def wrong_counts(pool: Pool) -> list[WrongCount]:
    """Accounts whose counter is wrong. Reads the whole tables."""
    rows = await pool.fetch(_WRONG, timeout=WHOLE_TABLE_SECONDS)
    return [WrongCount(row["id"], row["used_bytes"], row["sum_bytes"]) for row in rows]


async def correct(pool: Pool, account_id: str) -> None:
    """Set the account's counter to the sum."""
    async with db.transaction(pool) as connection:
        await connection.execute(_LOCK, account_id)  # no file or upload changes until the end
        await connection.execute(_CORRECT, account_id)
