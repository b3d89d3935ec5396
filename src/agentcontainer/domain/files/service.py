"""Files: the three-step upload, and what tasks and clients read."""

import secrets
import unicodedata
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agentcontainer import db
from agentcontainer.db import Connection, Pool, Record
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files.blobs import Blob, Blobs
from agentcontainer.errors import Conflict, Forbidden, NotFound, PayloadTooLarge, ValidationError
from agentcontainer.ids import new_id
from agentcontainer.settings import Settings

MAX_FILENAME_BYTES = 255

_INSERT_UPLOAD = """
INSERT INTO uploads (id, account_id, filename, content_type, size_bytes, blob_key, expires_at)
VALUES ($1, $2, $3, $4, $5, '', $6)
"""
_RECEIVED = "UPDATE uploads SET received_bytes = $2, sha256 = $3, blob_key = $4 WHERE id = $1"
_INSERT_FILE = """
INSERT INTO files (id, account_id, filename, content_type, size_bytes, sha256, blob_key)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *
"""
_GET = "SELECT * FROM files WHERE id = $1 AND account_id = $2 AND deleted_at IS NULL"
_OUTPUTS = """
SELECT * FROM files WHERE task_id = $1 AND account_id = $2 AND deleted_at IS NULL
    AND ($3::text IS NULL OR CASE WHEN $4 THEN id < $3 ELSE id > $3 END)
"""
_INPUTS = """
SELECT f.* FROM task_input_files i JOIN files f ON f.id = i.file_id WHERE i.task_id = $1 ORDER BY i.position
"""
_KNOWN = """
SELECT id FROM files WHERE account_id = $1 AND id = ANY($2::text[]) AND deleted_at IS NULL FOR SHARE
"""


@dataclass(frozen=True)
class File:
    """A stored file. `task_id` is set on an output."""

    id: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    blob_key: str
    task_id: str | None
    output_name: str | None
    is_partial: bool
    created_at: datetime

    @classmethod
    def of(cls, row: Record) -> "File":
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Upload:
    """A prepared upload: where to send the bytes, and until when."""

    id: str
    url: str
    content_type: str
    expires_at: datetime


def filename_fault(name: str) -> str | None:
    """What is wrong with a client's or an agent's filename; None when it is a name and nothing more."""
    if not name or name in (".", ".."):
        return "must be a file name"
    if "/" in name or "\\" in name:
        return "must be a name, not a path: no / or \\"
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        return "must not hold control characters"
    if len(name.encode()) > MAX_FILENAME_BYTES:
        return f"must be at most {MAX_FILENAME_BYTES} bytes"
    return None


async def prepare(
    pool: Pool,
    settings: Settings,
    vault: Vault,
    account_id: str,
    filename: str,
    content_type: str,
    size: int | None,
) -> Upload:
    """Step 1: a signed URL that takes these bytes once, until it expires.

    Raises:
        ValidationError: the filename is not a name. PayloadTooLarge: over the limit.
    """
    if fault := filename_fault(filename):
        raise ValidationError.at("filename", fault)
    if size is not None and size > settings.max_upload_bytes:
        raise PayloadTooLarge(f"sizeBytes: at most {settings.max_upload_bytes} bytes can be uploaded")
    upload_id = new_id("upl")
    expires_at = (datetime.now(UTC) + timedelta(seconds=settings.upload_ttl_seconds)).replace(microsecond=0)
    await pool.execute(_INSERT_UPLOAD, upload_id, account_id, filename, content_type, size, expires_at)
    expires = str(int(expires_at.timestamp()))
    signature = vault.sign("upload", upload_id, expires)
    url = f"{settings.public_url}/uploads/{upload_id}?expires={expires}&signature={signature}"
    return Upload(upload_id, url, content_type, expires_at)


async def receive(
    pool: Pool, settings: Settings, vault: Vault, blobs: Blobs, upload_id: str, *, expires: str, signature: str,
    content_type: str | None, content_length: int | None, body: AsyncIterator[bytes],
) -> None:  # fmt: skip
    """Step 2: the bytes, streamed into the store. A repeat before step 3 replaces what was sent.

    Raises:
        Forbidden: the URL is not ours, has expired, or is for another content type.
        Conflict: the upload is already completed. PayloadTooLarge: more bytes than declared or allowed.
        ValidationError: fewer bytes than declared.
    """
    upload = await _admit(pool, vault, upload_id, expires, signature, content_type)
    declared: int | None = upload["size_bytes"]
    limit = settings.max_upload_bytes if declared is None else declared
    if content_length is not None:
        _check_size(content_length, declared, limit)
    # A key of its own: a second sender cannot mix with us.
    key = f"uploads/{upload_id}/{secrets.token_hex(8)}"
    blob = await blobs.put(key, body, limit)
    try:
        _check_size(blob.size_bytes, declared, limit)
        replaced_key = await _record_bytes(pool, upload_id, blob)
    except (ValidationError, Conflict):
        await blobs.delete(key)
        raise
    if replaced_key:
        await blobs.delete(replaced_key)


async def _admit(
    pool: Pool, vault: Vault, upload_id: str, expires: str, signature: str, content_type: str | None
) -> Record:
    if not vault.is_signed(signature, "upload", upload_id, expires):
        raise Forbidden("The upload URL is not valid. Prepare the upload again.")
    if int(expires) < datetime.now(UTC).timestamp():
        raise Forbidden("The upload URL has expired. Prepare the upload again.")
    upload = await pool.fetchrow("SELECT * FROM uploads WHERE id = $1", upload_id)
    if upload is None:
        raise Forbidden("The upload URL is not valid. Prepare the upload again.")
    if content_type != upload["content_type"]:
        raise Forbidden(
            f"The upload was prepared for Content-Type {upload['content_type']}; send exactly that."
        )
    if upload["file_id"] is not None:
        raise Conflict("The upload is already completed.")
    return upload


def _check_size(size: int, declared: int | None, limit: int) -> None:
    if size > limit:
        raise PayloadTooLarge(f"The upload may have at most {limit} bytes.")
    if declared is not None and size != declared:
        raise ValidationError.at("body", f"has {size} bytes, {declared} were declared in sizeBytes")


async def _record_bytes(pool: Pool, upload_id: str, blob: Blob) -> str:
    """The upload has these bytes now; returns the key of those it had before, or an empty string."""
    async with db.transaction(pool) as connection:
        query = "SELECT file_id, blob_key FROM uploads WHERE id = $1 FOR UPDATE"
        upload = await connection.fetchrow(query, upload_id)
        if upload is None or upload["file_id"] is not None:
            raise Conflict("The upload is already completed.")
        await connection.execute(_RECEIVED, upload_id, blob.size_bytes, blob.sha256, blob.key)
        return upload["blob_key"]


async def complete(pool: Pool, account_id: str, upload_id: str) -> File:
    """Step 3: the file. A repeat gives the same file.

    Raises:
        NotFound: no such upload. Conflict: its bytes have not arrived.
    """
    async with db.transaction(pool) as connection:
        query = "SELECT * FROM uploads WHERE id = $1 AND account_id = $2 FOR UPDATE"
        upload = await connection.fetchrow(query, upload_id, account_id)
        if upload is None:
            raise NotFound(f"Upload {upload_id} does not exist.")
        if upload["file_id"] is not None:
            return await get(connection, account_id, upload["file_id"])
        if upload["received_bytes"] is None:
            raise Conflict("The bytes have not arrived: send them to uploadUrl first.")
        file_id = new_id("file")
        row = await connection.fetchrow(
            _INSERT_FILE, file_id, account_id, upload["filename"], upload["content_type"],
            upload["received_bytes"], upload["sha256"], upload["blob_key"],
        )  # fmt: skip
        await connection.execute("UPDATE uploads SET file_id = $2 WHERE id = $1", upload_id, file_id)
        assert row is not None
        return File.of(row)


async def get(connection: Connection | Pool, account_id: str, file_id: str) -> File:
    """A file of the account.

    Raises:
        NotFound: it does not exist, is deleted, or is another account's.
    """
    row = await connection.fetchrow(_GET, file_id, account_id)
    if row is None:
        raise NotFound(f"File {file_id} does not exist.")
    return File.of(row)


async def list_outputs(
    pool: Pool, account_id: str, task_id: str, *, after_id: str | None, limit: int, is_descending: bool
) -> list[File]:
    """A task's output files by id, from `after_id` on."""
    query = f"{_OUTPUTS} ORDER BY id {'DESC' if is_descending else 'ASC'} LIMIT $5"
    return [
        File.of(row) for row in await pool.fetch(query, task_id, account_id, after_id, is_descending, limit)
    ]


async def list_inputs(pool: Pool, task_id: str) -> list[File]:
    """A task's input files, in the order they were named."""
    return [File.of(row) for row in await pool.fetch(_INPUTS, task_id)]


async def check_inputs(connection: Connection, account_id: str, file_ids: Sequence[str]) -> None:
    """Hold the named files for this transaction.

    Raises:
        ValidationError: one is named twice, does not exist, or is another account's.
    """
    known = {row["id"] for row in await connection.fetch(_KNOWN, account_id, list(file_ids))}
    for position, file_id in enumerate(file_ids):
        if file_id not in known:
            raise ValidationError.at(f"inputFileIds.{position}", f"file {file_id} does not exist")
        if file_id in file_ids[:position]:
            raise ValidationError.at(f"inputFileIds.{position}", f"file {file_id} is named twice")
