"""Uploads in three steps: prepare, send the bytes to a signed URL, complete.

The bytes come through us or, if the object store signs URLs itself, go straight to it. In that case completing copies
them to a key that the client cannot write to, and only then measures them.
"""

import hmac
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from agentcontainer import db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.accounts.model import SUSPENDED
from agentcontainer.domain.accounts.principal import Principal
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files import quota, unowned
from agentcontainer.domain.files import service as files
from agentcontainer.domain.files import store as file_store
from agentcontainer.domain.files.blobs import Blob, Blobs
from agentcontainer.domain.files.cleanup import MIN_AGE
from agentcontainer.domain.files.model import File, NewFile
from agentcontainer.domain.files.recorded import RecordedBlobs
from agentcontainer.domain.uploads import store
from agentcontainer.domain.uploads.model import NewUpload, PreparedUpload, Upload, UploadMethod
from agentcontainer.errors import (
    AgentContainerError,
    Conflict,
    Forbidden,
    NotFound,
    PayloadTooLarge,
    ValidationError,
)
from agentcontainer.filenames import filename_fault
from agentcontainer.ids import new_id
from agentcontainer.settings import Settings
from agentcontainer.telemetry import metrics

_INVALID = "The upload URL is not valid. Prepare the upload again."
_EXPIRED = "The upload URL has expired. Prepare the upload again."
_NO_BYTES = (
    "The bytes have not arrived: send them to uploadUrl before expiresAt, or prepare the upload again."
)
DIRECT_PREFIX = "incoming/"  # of the keys to which clients write in the store itself


@dataclass(frozen=True)
class SignedRequest:
    """A request to an upload URL: its query, its method, and what its headers say of the body."""

    method: str
    expires: str
    signature: str
    content_type: str | None
    content_length: int | None


async def prepare(
    pool: Pool,
    settings: Settings,
    vault: Vault,
    blobs: Blobs,
    account_id: str,
    filename: str,
    content_type: str,
    size: int | None,
    request_url: str | None = None,
    api_key_id: str | None = None,
) -> PreparedUpload:
    """Step 1: a signed URL that takes these bytes until it expires. `size` None: not declared.

    `request_url`: where the client reached the API; the signed URL begins with it if `public_url` is not set.

    Raises:
        ValidationError: the file name is not valid.
        PayloadTooLarge: the size is over the limit or the quota.
    """
    if fault := filename_fault(filename):
        raise ValidationError.at("filename", fault)
    if size is not None and size > (limit := _max_bytes(settings, blobs)):
        raise PayloadTooLarge(f"sizeBytes: at most {limit} bytes can be uploaded")
    upload_id, life = new_id("upl"), timedelta(seconds=settings.upload_ttl_seconds)
    direct_key = f"{DIRECT_PREFIX}{upload_id}"
    direct_url = await blobs.signed_put(direct_key, life)
    method: UploadMethod = "POST" if direct_url is None and settings.upload_method == "post" else "PUT"
    blob_key = direct_key if direct_url else ""
    upload = NewUpload(
        upload_id, account_id, filename, content_type, size, blob_key, life, method, api_key_id
    )
    async with db.transaction(pool) as connection:
        await quota.take(connection, settings, account_id, 1 if size is None else size, "")
        expires_at = await store.insert(connection, upload)
    api_url = settings.public_url or request_url or settings.api_url
    url = direct_url or _own_url(api_url, vault, upload_id, expires_at)
    return PreparedUpload(upload_id, url, method, content_type, expires_at)


async def receive(
    pool: Pool,
    settings: Settings,
    vault: Vault,
    blobs: Blobs,
    upload_id: str,
    request: SignedRequest,
    body: AsyncIterator[bytes],
) -> str | None:
    """Step 2: stream the bytes into the store. Sending them again before step 3 replaces them.

    Returns the storage id of a POST upload, which step 3 needs.

    Raises:
        Forbidden: the URL is not ours, has expired, is for another method or content type, or the account is
            suspended.
        Conflict: the upload is completed.
        PayloadTooLarge: there are more bytes than declared, allowed, or left of the quota.
        ValidationError: there are fewer bytes than declared.
    """
    upload = await _admit(pool, vault, upload_id, request)
    limit = _limit(settings, blobs, upload)
    left = await quota.room(pool, settings, upload.account_id, upload_id)
    if request.content_length is not None:
        _check_size(request.content_length, upload.size_bytes, limit)
        quota.check(settings, left, request.content_length)
    key = _new_key(upload_id)  # a new one each time, so that two senders at once cannot mix their bytes
    try:
        blob = await RecordedBlobs(pool, blobs).put(key, body, limit if left is None else min(limit, left))
    except PayloadTooLarge:
        raise _too_large(limit) if left is None or left >= limit else quota.exceeded(settings, left) from None
    storage_id = secrets.token_urlsafe(24) if request.method == "POST" else None
    try:
        _check_size(blob.size_bytes, upload.size_bytes, limit)
        replaced_key = await _record_bytes(pool, settings, upload, blob, storage_id)
    except AgentContainerError:
        await blobs.delete(key)
        raise
    if replaced_key:
        await blobs.delete(replaced_key)
    return storage_id


async def complete(
    pool: Pool,
    settings: Settings,
    blobs: Blobs,
    account_id: str,
    upload_id: str,
    storage_id: str | None,
    caller: Principal | None = None,
) -> File:
    """Step 3: make the file. Idempotent. A caller who is bound to agents completes what it prepared itself.

    Bytes that were sent straight to the store are deleted if they are refused.

    Raises:
        NotFound: no such upload.
        Conflict: its bytes have not arrived.
        ValidationError: `storage_id` is not the one of the bytes, or the bytes are not as declared.
        PayloadTooLarge: the bytes are over the limit or the quota.
    """
    upload = await store.get(pool, upload_id, account_id)
    bound = caller if caller is not None and caller.agent_ids is not None else None
    if upload is None or (bound is not None and upload.api_key_id != bound.key_id):
        raise NotFound(f"Upload {upload_id} does not exist.")
    _check_storage_id(upload, storage_id)
    if upload.file_id is not None or not upload.blob_key.startswith(DIRECT_PREFIX):
        return await _complete(pool, settings, account_id, upload_id, storage_id, None)
    copied = await _copy_direct(RecordedBlobs(pool, blobs), settings, upload)
    try:
        file = await _complete(pool, settings, account_id, upload_id, storage_id, copied)
    except AgentContainerError:
        await blobs.delete(copied.key)
        raise
    await blobs.delete(upload.blob_key if file.blob_key == copied.key else copied.key)
    return file


def _max_bytes(settings: Settings, blobs: Blobs) -> int:
    of_store = blobs.max_put_bytes
    return settings.max_upload_bytes if of_store is None else min(settings.max_upload_bytes, of_store)


def _limit(settings: Settings, blobs: Blobs, upload: Upload) -> int:
    return _max_bytes(settings, blobs) if upload.size_bytes is None else upload.size_bytes


def _own_url(api_url: str, vault: Vault, upload_id: str, expires_at: datetime) -> str:
    expires = str(int(expires_at.timestamp()))
    signature = vault.sign("upload", upload_id, expires)
    return f"{api_url}/uploads/{upload_id}?expires={expires}&signature={signature}"


def _new_key(upload_id: str) -> str:
    return f"uploads/{upload_id}/{secrets.token_hex(8)}"


async def _admit(pool: Pool, vault: Vault, upload_id: str, request: SignedRequest) -> Upload:
    if not vault.is_signed(request.signature, "upload", upload_id, request.expires):
        raise Forbidden(_INVALID)
    upload = await store.get(pool, upload_id)
    if upload is None:
        raise Forbidden(_INVALID)
    if upload.is_suspended:
        raise Forbidden(SUSPENDED)
    if int(request.expires) < upload.read_at.timestamp():
        raise Forbidden(_EXPIRED)
    if request.method != upload.method:
        raise Forbidden(f"The upload was prepared for {upload.method}; use exactly that.")
    if request.content_type != upload.content_type:
        raise Forbidden(f"The upload was prepared for Content-Type {upload.content_type}; send exactly that.")
    if upload.file_id is not None:
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
    pool: Pool, settings: Settings, upload: Upload, blob: Blob, storage_id: str | None
) -> str:
    """Record the new bytes; returns the key of those that they replace, or an empty string."""
    async with db.transaction(pool) as connection:
        current = await store.lock(connection, upload.id)
        if current is None:  # it expired, and the clean-up deleted it
            raise Forbidden(_EXPIRED)
        if current.file_id is not None:
            raise Conflict("The upload is already completed.")
        await quota.take(connection, settings, upload.account_id, blob.size_bytes, upload.id)
        await store.set_received(connection, upload.id, blob, storage_id)
        await unowned.remove(connection, [blob.key])
        await unowned.insert(connection, [current.blob_key] if current.blob_key else [], timedelta(0))
        return current.blob_key


async def _copy_direct(recorded: RecordedBlobs, settings: Settings, upload: Upload) -> Blob:
    """The bytes that a client sent straight to the store, as a blob that the client cannot change."""
    blobs = recorded.blobs
    limit, key = _limit(settings, blobs, upload), _new_key(upload.id)
    try:
        await recorded.copy(upload.blob_key, key)
    except NotFound:
        raise Conflict(_NO_BYTES) from None
    try:
        stored = await blobs.head(key)
        if stored.content_type != upload.content_type:
            fault = f"was {stored.content_type}, the upload was prepared for {upload.content_type}"
            raise ValidationError.at("Content-Type", fault)
        _check_size(stored.size_bytes, upload.size_bytes, limit)
        return await blobs.digest(key)
    except (ValidationError, PayloadTooLarge):
        await blobs.delete(upload.blob_key)
        await blobs.delete(key)
        raise


def _check_storage_id(upload: Upload, storage_id: str | None) -> None:
    if upload.method == "PUT":
        if storage_id is not None:
            raise ValidationError.at(
                "storageId", "is only for uploads by POST; this upload used PUT, so leave it out"
            )
    elif upload.storage_id is None:
        raise Conflict(_NO_BYTES)
    elif storage_id is None:
        raise ValidationError.at("storageId", "is required: the answer to the POST to uploadUrl contains it")
    elif not hmac.compare_digest(storage_id.encode(), upload.storage_id.encode()):
        raise ValidationError.at("storageId", "is not the one in the last answer to the POST to uploadUrl")


async def _complete(
    pool: Pool,
    settings: Settings,
    account_id: str,
    upload_id: str,
    storage_id: str | None,
    copied: Blob | None,
) -> File:
    """Make the file of an upload. `copied`: its bytes, if they did not come through us."""
    async with db.transaction(pool) as connection:
        upload = await store.lock(connection, upload_id, account_id)
        if upload is None:
            raise NotFound(f"Upload {upload_id} does not exist.")
        _check_storage_id(upload, storage_id)
        if upload.file_id is not None:
            return await files.get(connection, account_id, upload.file_id)
        if copied is not None:
            await quota.take(connection, settings, account_id, copied.size_bytes, upload_id)
            await unowned.remove(connection, [copied.key])
            # Until its URL expires, the client can write the blob again.
            left = upload.expires_at - upload.read_at + MIN_AGE
            await unowned.insert(connection, [upload.blob_key], max(left, timedelta(0)))
            return await _insert_file(connection, upload, copied)
        if upload.received_bytes is None or upload.sha256 is None:
            raise Conflict(_NO_BYTES)
        return await _insert_file(
            connection, upload, Blob(upload.blob_key, upload.received_bytes, upload.sha256)
        )


async def _insert_file(connection: Connection, upload: Upload, blob: Blob) -> File:
    new = NewFile(
        new_id("file"), upload.account_id, upload.filename, upload.content_type, blob.size_bytes, blob.sha256,
        blob.key, upload.api_key_id,
    )  # fmt: skip
    file = await file_store.insert(connection, new)
    db.on_commit(lambda: metrics.FILE_BYTES.labels("upload").observe(new.size_bytes))
    await store.set_completed(connection, upload.id, file.id, blob.key)
    return file
