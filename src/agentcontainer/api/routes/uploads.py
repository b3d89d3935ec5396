"""The three-step upload: prepare, send the bytes to a signed URL, complete."""

from typing import Annotated, Any

from fastapi import Depends, Path, Request
from pydantic import Field
from starlette.responses import Response

from agentcontainer.api.http.auth import AccountId
from agentcontainer.api.http.body import JsonBody
from agentcontainer.api.http.idempotency import repeatable
from agentcontainer.api.http.query import Query
from agentcontainer.api.http.routing import authenticated, unauthenticated
from agentcontainer.api.http.services import Provided, Services
from agentcontainer.api.routes.files import File, wire
from agentcontainer.api.wire import Id, Incoming, MediaType, Outgoing, Timestamp, from_whole_number
from agentcontainer.domain.files.service import MAX_FILENAME_BYTES
from agentcontainer.domain.uploads import service as uploads

MAX_SIZE_BYTES = 2**62
UploadId = Annotated[str, Path(alias="uploadId")]
_RAW_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {"*/*": {}}}}
# For the document: `filename_fault` says it in words.
_FILENAME_SCHEMA: dict[str, Any] = {
    "pattern": r"^[^/\\\u0000-\u001f\u007f-\u009f\u2028\u2029]+$",
    "not": {"enum": [".", ".."]},
}

router = authenticated()
signed_router = unauthenticated()


class UploadRequest(Incoming):
    """What will be uploaded."""

    filename: Annotated[
        str,
        Field(
            min_length=1, max_length=MAX_FILENAME_BYTES, json_schema_extra=_FILENAME_SCHEMA,
            description="A name, never a path.",
        ),
    ]  # fmt: skip
    content_type: MediaType
    size_bytes: Annotated[int, Field(ge=0, le=MAX_SIZE_BYTES), from_whole_number] | None = None


class PreparedUpload(Outgoing):
    """Send the raw bytes to `uploadUrl` with this method and these headers, then complete."""

    upload_id: str
    upload_url: str
    method: str
    headers: dict[str, str]
    expires_at: Timestamp


class SignedQuery(Incoming):
    """What makes an upload URL ours."""

    expires: str = ""
    signature: str = ""


class CompletionRequest(Incoming):
    """Which upload is whole."""

    upload_id: Id
    storage_id: (
        Annotated[str, Field(max_length=256, description="From the response to a POST upload.")] | None
    ) = None


class StorageReceipt(Outgoing):
    """`complete` needs this id."""

    storage_id: str


@router.post("/uploads/prepare", status_code=201, responses={413: {}})
async def prepare_upload(
    account_id: AccountId,
    services: Provided,
    body: Annotated[UploadRequest, Depends(JsonBody(UploadRequest))],
) -> PreparedUpload:
    """Step 1: a signed URL that takes these bytes, until it expires."""
    upload = await uploads.prepare(
        services.pool,
        services.settings,
        services.vault,
        services.blobs,
        account_id,
        body.filename,
        body.content_type,
        body.size_bytes,
    )
    return PreparedUpload(
        upload_id=upload.id,
        upload_url=upload.url,
        method=upload.method,
        headers={"content-type": upload.content_type},
        expires_at=upload.expires_at,
    )


@signed_router.put(
    "/uploads/{uploadId}",
    responses={
        200: {"description": "The bytes are stored; complete the upload."},
        403: {}, 409: {}, 413: {},
    },
    openapi_extra=_RAW_BODY,
)  # fmt: skip
async def receive_upload(
    request: Request,
    upload_id: UploadId,
    services: Provided,
    signed: Annotated[SignedQuery, Depends(Query(SignedQuery))],
) -> Response:
    """Step 2: the raw bytes, with the headers that `prepare` gave. A repeat before step 3 replaces them."""
    await _receive(request, upload_id, services, signed)
    return Response(status_code=200)


@signed_router.post(
    "/uploads/{uploadId}",
    status_code=201,
    responses={403: {}, 409: {}, 413: {}},
    openapi_extra=_RAW_BODY,
)
async def receive_posted_upload(
    request: Request,
    upload_id: UploadId,
    services: Provided,
    signed: Annotated[SignedQuery, Depends(Query(SignedQuery))],
) -> StorageReceipt:
    """Step 2 where `prepare` gave the method POST: the answer holds the `storageId` that step 3 needs."""
    storage_id = await _receive(request, upload_id, services, signed)
    assert storage_id is not None
    return StorageReceipt(storage_id=storage_id)


async def _receive(request: Request, upload_id: str, services: Services, signed: SignedQuery) -> str | None:
    announced = request.headers.get("content-length", "")
    return await uploads.receive(
        services.pool,
        services.settings,
        services.vault,
        services.blobs,
        upload_id,
        method=request.method,
        expires=signed.expires,
        signature=signed.signature,
        content_type=request.headers.get("content-type"),
        content_length=int(announced) if announced.isdecimal() else None,
        body=request.stream(),
    )


@router.post("/uploads/complete", status_code=201, responses={404: {}, 409: {}})
@repeatable
async def complete_upload(
    account_id: AccountId,
    services: Provided,
    body: Annotated[CompletionRequest, Depends(JsonBody(CompletionRequest))],
) -> File:
    """Step 3: the file. A repeat gives the same file."""
    file = await uploads.complete(
        services.pool, services.settings, services.blobs, account_id, body.upload_id, body.storage_id
    )
    return wire(file)
