"""SQL on `uploads`."""

from datetime import datetime

from agentcontainer.db import Connection, Pool, Record
from agentcontainer.domain.files.blobs import Blob
from agentcontainer.domain.uploads.model import NewUpload, Upload

_INSERT = """
INSERT INTO uploads (id, account_id, filename, content_type, size_bytes, blob_key, expires_at, method, api_key_id)
VALUES ($1, $2, $3, $4, $5, $6, date_trunc('second', clock_timestamp() + $7::interval), $8, $9) RETURNING expires_at
"""
_SET_RECEIVED = """
UPDATE uploads SET received_bytes = $2, sha256 = $3, blob_key = $4, storage_id = $5 WHERE id = $1
"""
_GET = """
SELECT *, clock_timestamp() AS read_at,
    (SELECT suspended_at IS NOT NULL FROM accounts a WHERE a.id = account_id) AS is_suspended
FROM uploads WHERE id = $1 AND ($2::text IS NULL OR account_id = $2)
"""


async def insert(connection: Connection, upload: NewUpload) -> datetime:
    """Returns when it expires, in whole seconds."""
    return await connection.fetchval(
        _INSERT, upload.id, upload.account_id, upload.filename, upload.content_type, upload.size_bytes,
        upload.blob_key, upload.life, upload.method, upload.api_key_id,
    )  # fmt: skip


async def get(pool: Pool, upload_id: str, account_id: str | None = None) -> Upload | None:
    """The upload. None: it does not exist, or is not of `account_id`."""
    row = await pool.fetchrow(_GET, upload_id, account_id)
    return _upload(row) if row else None


async def lock(connection: Connection, upload_id: str, account_id: str | None = None) -> Upload | None:
    """`get`, with the row locked until the transaction ends."""
    row = await connection.fetchrow(f"{_GET} FOR UPDATE", upload_id, account_id)
    return _upload(row) if row else None


async def set_received(connection: Connection, upload_id: str, blob: Blob, storage_id: str | None) -> None:
    """Record the bytes that came through us."""
    await connection.execute(_SET_RECEIVED, upload_id, blob.size_bytes, blob.sha256, blob.key, storage_id)


async def set_completed(connection: Connection, upload_id: str, file_id: str, blob_key: str) -> None:
    """Record the file that came of the upload."""
    query = "UPDATE uploads SET file_id = $2, blob_key = $3 WHERE id = $1"
    await connection.execute(query, upload_id, file_id, blob_key)


def _upload(row: Record) -> Upload:
    return Upload(**{name: row[name] for name in Upload.__dataclass_fields__})
