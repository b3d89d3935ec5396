"""Uploads in three steps: prepare, send the bytes to a signed URL, complete.

The client sends the bytes to the API, or directly to an object store that signs URLs. In the second case they are
copied to a key that the client cannot write to, before they are measured.
"""

import hmac
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agentcontainer import db
from agentcontainer.db import Connection, Pool, Record
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files import quota
from agentcontainer.domain.files.blobs import Blob, Blobs
from agentcontainer.domain.files.service import File, filename_fault, get
from agentcontainer.errors import (
    AgentContainerError,
    Conflict,
    Forbidden,
    NotFound,
    PayloadTooLarge,
    ValidationError,
)
from agentcontainer.ids import new_id
from agentcontainer.settings import Settings

_INSERT_UPLOAD = """
INSERT INTO uploads (id, account_id, filename, content_type, size_bytes, blob_key, expires_at, method)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
_RECEIVED = """
UPDATE uploads SET received_bytes = $2, sha256 = $3, blob_key = $4, storage_id = $5 WHERE id = $1
"""
_INSERT_FILE = """
INSERT INTO files (id, account_id, filename, content_type, size_bytes, sha256, blob_key)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *
"""
_OF_ACCOUNT = "SELECT * FROM uploads WHERE id = $1 AND account_id = $2"
_NOT_VALID = "The upload URL is not valid. Prepare the upload again."
_EXPIRED = "The upload URL has expired. Prepare the upload again."
_NOT_ARRIVED = (
    "The bytes have not arrived: send them to uploadUrl before expiresAt, or prepare the upload again."
)
DIRECT_PREFIX = "incoming/"  # of the keys that clients write directly in the store


@dataclass(frozen=True)
class Upload:
    """A prepared upload: where to send the bytes, how, and until when."""

    id: str
    url: str
    method: str
    content_type: str
    expires_at: datetime


async def prepare(
    pool: Pool,
    settings: Settings,
    vault: Vault,
    blobs: Blobs,
    account_id: str,
    filename: str,
    content_type: str,
    size: int | None,
) -> Upload:
    """Step 1: create a signed URL that accepts the bytes until it expires.

    Raises:
        ValidationError: the filename is not a plain name. PayloadTooLarge: the size is over the limit or the quota.
    """
    if fault := filename_fault(filename):
        raise ValidationError.at("filename", fault)
    if size is not None and size > (limit := _max_bytes(settings, blobs)):
        raise PayloadTooLarge(f"sizeBytes: at most {limit} bytes can be uploaded")
    quota.check(settings, await quota.room(pool, settings, account_id), 1 if size is None else size)
    upload_id = new_id("upl")
    expires_at = (datetime.now(UTC) + timedelta(seconds=settings.upload_ttl_seconds)).replace(microsecond=0)
    direct_key = f"{DIRECT_PREFIX}{upload_id}"
    direct_url = await blobs.signed_put(direct_key, timedelta(seconds=settings.upload_ttl_seconds))
    method = "PUT" if direct_url else settings.upload_method.upper()
    await pool.execute(
        _INSERT_UPLOAD, upload_id, account_id, filename, content_type, size,
        direct_key if direct_url else "", expires_at, method,
    )  # fmt: skip
    url = direct_url or _own_url(settings, vault, upload_id, expires_at)
    return Upload(upload_id, url, method, content_type, expires_at)


async def receive(
    pool: Pool, settings: Settings, vault: Vault, blobs: Blobs, upload_id: str, *, method: str, expires: str,
    signature: str, content_type: str | None, content_length: int | None, body: AsyncIterator[bytes],
) -> str | None:  # fmt: skip
    """Step 2: stream the bytes into the store. Until step 3, a repeat replaces the bytes that were sent before.

    Returns the storage id of a POST upload, which step 3 needs.

    Raises:
        Forbidden: the URL is not ours, has expired, or is for another method or content type.
        Conflict: the upload is already completed. PayloadTooLarge: more bytes than declared, allowed, or left of
        the quota. ValidationError: fewer bytes than declared.
    """
    upload = await _admit(pool, vault, upload_id, method, expires, signature, content_type)
    declared: int | None = upload["size_bytes"]
    limit = _max_bytes(settings, blobs) if declared is None else declared
    left = await quota.room(pool, settings, upload["account_id"], upload_id)
    if content_length is not None:
        _check_size(content_length, declared, limit)
        quota.check(settings, left, content_length)
    # Each request writes to a new key, so that two that send at the same time do not mix their bytes.
    key = _new_key(upload_id)
    try:
        blob = await blobs.put(key, body, limit if left is None else min(limit, left))
    except PayloadTooLarge:
        raise _too_large(limit) if left is None or left >= limit else quota.exceeded(settings, left) from None
    storage_id = secrets.token_urlsafe(24) if method == "POST" else None
    try:
        _check_size(blob.size_bytes, declared, limit)
        replaced_key = await _record_bytes(pool, settings, upload, blob, storage_id)
    except AgentContainerError:
        await blobs.delete(key)
        raise
    if replaced_key:
        await blobs.delete(replaced_key)
    return storage_id


async def complete(
    pool: Pool, settings: Settings, blobs: Blobs, account_id: str, upload_id: str, storage_id: str | None
) -> File:
    """Step 3: make a file of the uploaded bytes. A repeat returns the same file.

    Raises:
        NotFound: no such upload. Conflict: its bytes have not arrived. ValidationError: `storage_id` is not what step 2
        returned last, or the bytes sent directly to the store are not as declared. PayloadTooLarge: they are over the
        limit or the quota. Bytes that are not as declared, or too many, are removed.
    """
    upload = await pool.fetchrow(_OF_ACCOUNT, upload_id, account_id)
    if upload is None:
        raise NotFound(f"Upload {upload_id} does not exist.")
    _check_storage_id(upload, storage_id)
    source: str = upload["blob_key"]
    if upload["file_id"] is not None or not source.startswith(DIRECT_PREFIX):
        return await _complete(pool, settings, account_id, upload_id, storage_id, None)
    taken = await _take_over(blobs, settings, upload)
    try:
        file = await _complete(pool, settings, account_id, upload_id, storage_id, taken)
    except AgentContainerError:
        await blobs.delete(taken.key)
        raise
    await blobs.delete(source if file.blob_key == taken.key else taken.key)
    return file


def _max_bytes(settings: Settings, blobs: Blobs) -> int:
    of_store = blobs.max_put_bytes
    return settings.max_upload_bytes if of_store is None else min(settings.max_upload_bytes, of_store)


def _own_url(settings: Settings, vault: Vault, upload_id: str, expires_at: datetime) -> str:
    expires = str(int(expires_at.timestamp()))
    signature = vault.sign("upload", upload_id, expires)
    return f"{settings.public_url}/uploads/{upload_id}?expires={expires}&signature={signature}"


def _new_key(upload_id: str) -> str:
    return f"uploads/{upload_id}/{secrets.token_hex(8)}"


async def _admit(
    pool: Pool,
    vault: Vault,
    upload_id: str,
    method: str,
    expires: str,
    signature: str,
    content_type: str | None,
) -> Record:
    if not vault.is_signed(signature, "upload", upload_id, expires):
        raise Forbidden(_NOT_VALID)
    if int(expires) < datetime.now(UTC).timestamp():
        raise Forbidden(_EXPIRED)
    upload = await pool.fetchrow("SELECT * FROM uploads WHERE id = $1", upload_id)
    if upload is None:
        raise Forbidden(_NOT_VALID)
    if method != upload["method"]:
        raise Forbidden(f"The upload was prepared for {upload['method']}; use exactly that.")
    if content_type != upload["content_type"]:
        raise Forbidden(
            f"The upload was prepared for Content-Type {upload['content_type']}; send exactly that."
        )
    if upload["file_id"] is not None:
        raise Conflict("The upload is already completed.")
    return upload


def _check_size(size: int, declared: int | None, limit: int) -> None:
    if size > limit:
        raise _too_large(limit)
    if declared is not None and size != declared:
        raise ValidationError.at("body", f"has {size} bytes, {declared} were declared in sizeBytes")


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The upload may have at most {limit} bytes.")


async def _record_bytes(
    pool: Pool, settings: Settings, upload: Record, blob: Blob, storage_id: str | None
) -> str:
    """Record the upload's bytes; returns the key of the bytes that they replace, or an empty string."""
    async with db.transaction(pool) as connection:
        query = "SELECT file_id, blob_key FROM uploads WHERE id = $1 FOR UPDATE"
        current = await connection.fetchrow(query, upload["id"])
        if current is None:  # removed by the clean-up after it expired
            raise Forbidden(_EXPIRED)
        if current["file_id"] is not None:
            raise Conflict("The upload is already completed.")
        await quota.take(connection, settings, upload["account_id"], blob.size_bytes, upload["id"])
        await connection.execute(_RECEIVED, upload["id"], blob.size_bytes, blob.sha256, blob.key, storage_id)
        return current["blob_key"]


async def _take_over(blobs: Blobs, settings: Settings, upload: Record) -> Blob:
    """Copy the bytes that a client sent directly to the store, to a blob that the client cannot change."""
    declared: int | None = upload["size_bytes"]
    limit = _max_bytes(settings, blobs) if declared is None else declared
    source, key = upload["blob_key"], _new_key(upload["id"])
    try:
        await blobs.copy(source, key)
    except NotFound:
        raise Conflict(_NOT_ARRIVED) from None
    try:
        found = await blobs.head(key)
        if found.content_type != upload["content_type"]:
            fault = f"was {found.content_type}, the upload was prepared for {upload['content_type']}"
            raise ValidationError.at("Content-Type", fault)
        _check_size(found.size_bytes, declared, limit)
        return await blobs.digest(key)
    except (ValidationError, PayloadTooLarge):
        await blobs.delete(source)
        await blobs.delete(key)
        raise


def _check_storage_id(upload: Record, given: str | None) -> None:
    expected: str | None = upload["storage_id"]
    if upload["method"] == "PUT":
        if given is not None:
            raise ValidationError.at(
                "storageId", "is only for uploads by POST; this upload used PUT, so leave it out"
            )
    elif expected is None:
        raise Conflict(_NOT_ARRIVED)
    elif given is None:
        raise ValidationError.at("storageId", "is required: the answer to the POST to uploadUrl contains it")
    elif not hmac.compare_digest(given.encode(), expected.encode()):
        raise ValidationError.at("storageId", "is not the one in the last answer to the POST to uploadUrl")


async def _complete(
    pool: Pool,
    settings: Settings,
    account_id: str,
    upload_id: str,
    storage_id: str | None,
    taken: Blob | None,
) -> File:
    """Insert the file of an upload; `taken`: the copy of its bytes, if the client sent them directly to the store."""
    async with db.transaction(pool) as connection:
        upload = await connection.fetchrow(f"{_OF_ACCOUNT} FOR UPDATE", upload_id, account_id)
        if upload is None:
            raise NotFound(f"Upload {upload_id} does not exist.")
        _check_storage_id(upload, storage_id)
        if upload["file_id"] is not None:
            return await get(connection, account_id, upload["file_id"])
        if taken is not None:
            await quota.take(connection, settings, account_id, taken.size_bytes, upload_id)
            return await _insert(connection, upload, taken)
        if upload["received_bytes"] is None:
            raise Conflict(_NOT_ARRIVED)
        return await _insert(
            connection, upload, Blob(upload["blob_key"], upload["received_bytes"], upload["sha256"])
        )


async def _insert(connection: Connection, upload: Record, blob: Blob) -> File:
    row = await connection.fetchrow(
        _INSERT_FILE, new_id("file"), upload["account_id"], upload["filename"], upload["content_type"],
        blob.size_bytes, blob.sha256, blob.key,
    )  # fmt: skip
    assert row is not None
    query = "UPDATE uploads SET file_id = $2, blob_key = $3 WHERE id = $1"
    await connection.execute(query, upload["id"], row["id"], blob.key)
    return File.of(row)
