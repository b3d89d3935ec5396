"""How many bytes an account may store: its files, and what it sent for uploads it has not completed."""

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


async def used_bytes(connection: Connection | Pool, account_id: str, but_upload: str = "") -> int:
    """What counts against the quota, without what `but_upload` holds."""
    return await connection.fetchval(_USED, account_id, but_upload)


async def room(
    connection: Connection | Pool, settings: Settings, account_id: str, but_upload: str = ""
) -> int | None:
    """The bytes the account may still store, not counting what `but_upload` holds; None: no quota is enforced."""
    if not settings.file_quota_bytes:
        return None
    return max(0, settings.file_quota_bytes - await used_bytes(connection, account_id, but_upload))


async def take(
    connection: Connection, settings: Settings, account_id: str, size: int, but_upload: str
) -> None:
    """See that `size` more bytes fit; until this transaction ends nobody else takes them.

    Raises:
        PayloadTooLarge: they do not fit.
    """
    if settings.file_quota_bytes:
        await connection.execute(_LOCK, account_id)
        check(settings, await room(connection, settings, account_id, but_upload), size)


def check(settings: Settings, left: int | None, size: int) -> None:
    """Refuse what does not fit into `left`.

    Raises:
        PayloadTooLarge: it does not fit.
    """
    if left is not None and size > left:
        raise exceeded(settings, left)


def exceeded(settings: Settings, left: int) -> PayloadTooLarge:
    """Says the quota, what is left of it, and the way out."""
    return PayloadTooLarge(
        f"The account's file quota is {settings.file_quota_bytes} bytes (fileStorage.quotaBytes), of which {left} "
        "are left. Delete files with DELETE /api/v1/files/{fileId}."
    )
