"""Enforces how many bytes an account may store: in its files, and in uploads that are not completed."""

from agentcontainer.db import Connection, Pool
from agentcontainer.errors import PayloadTooLarge
from agentcontainer.settings import Settings

# Not FOR UPDATE: that would wait for every transaction that merely refers to the account.
_LOCK = "SELECT true FROM accounts WHERE id = $1 FOR NO KEY UPDATE"
_USED = """
SELECT (SELECT coalesce(sum(size_bytes), 0) FROM files WHERE account_id = $1 AND deleted_at IS NULL)::bigint
    + (SELECT coalesce(sum(received_bytes), 0) FROM uploads
       WHERE account_id = $1 AND file_id IS NULL AND id <> $2)::bigint
"""


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
    """Check that `size` more bytes fit. The account's other uploads wait until this transaction ends.

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
