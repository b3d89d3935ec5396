"""The routes of uploads in three steps: prepare, send the bytes to a signed URL, complete."""

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import Query, Request
from pydantic import Field
from starlette.responses import Response

from agentcontainer.api.http.access import Agents, Level, access, public
from agentcontainer.api.http.auth import Caller, authenticate_connection
from agentcontainer.api.http.idempotency import repeatable
from agentcontainer.api.http.routing import authenticated, unauthenticated
from agentcontainer.api.http.services import Provided, Services
from agentcontainer.api.schemas.files import File
from agentcontainer.api.schemas.ids import UploadId
from agentcontainer.api.wire import Id, Incoming, MediaType, Outgoing, Timestamp, from_whole_number
from agentcontainer.api_url import url_of_request
from agentcontainer.domain.uploads import service as uploads
from agentcontainer.filenames import MAX_FILENAME_BYTES

MAX_SIZE_BYTES = 2**62
# Every media type is accepted. Code generators know this one for bytes, and do not know `*/*`.
_RAW_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}

router = authenticated("Files")
signed_router = unauthenticated("Files")


class UploadRequest(Incoming):
    """The file that will be uploaded."""

    filename: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_FILENAME_BYTES,
            description="A name, never a path.",
            json_schema_extra={  # `filename_fault` as a schema
                "pattern": r"^[^/\\\u0000-\u001f\u007f-\u009f\u2028\u2029]+$",
                "not": {"enum": [".", ".."]},
            },
        ),
    ]
    content_type: MediaType
    size_bytes: Annotated[int, Field(ge=0, le=MAX_SIZE_BYTES), from_whole_number] | None = None


class PreparedUpload(Outgoing):
    """Send the bytes to `uploadUrl` with this method and these headers, then complete the upload."""

    upload_id: Annotated[str, Field(validation_alias="id")]
    upload_url: Annotated[str, Field(validation_alias="url")]
    method: str
    headers: dict[str, str]
    expires_at: Timestamp


class SignedQuery(Incoming):
    """The signature of an upload URL."""

    expires: str = ""
    signature: str = ""


class CompletionRequest(Incoming):
    """The upload to complete."""

    upload_id: Id
    storage_id: (
        Annotated[
            str, Field(max_length=256, description="From the response, if the bytes were sent by POST.")
        ]
        | None
    ) = None


class StorageReceipt(Outgoing):
    """The response to bytes that were sent by POST."""

    storage_id: Annotated[str, Field(description="Send it when you complete the upload.")]


@router.post("/uploads/prepare", status_code=201, responses={413: {}})
@access(Level.ACTS, Agents.INDEPENDENT)
async def prepare_upload(
    request: Request, caller: Caller, services: Provided, body: UploadRequest
) -> PreparedUpload:
    """Upload, step 1: get a signed URL for the bytes of a file."""
    upload = await uploads.prepare(
        services.pool,
        services.settings,
        services.vault,
        services.blobs,
        caller.account_id,
        body.filename,
        body.content_type,
        body.size_bytes,
        url_of_request(request.headers.get("host", "")),
        caller.key_id,
    )
    return PreparedUpload.of(upload, headers={"content-type": upload.content_type})


@signed_router.put(
    "/uploads/{uploadId}",
    response_class=Response,
    responses={200: {"description": "The bytes are stored."}, 403: {}, 409: {}, 413: {}},
    openapi_extra=_RAW_BODY,
)
@public
async def receive_upload(
    request: Request, upload_id: UploadId, services: Provided, signed: Annotated[SignedQuery, Query()]
) -> Response:
    """Upload, step 2: send the bytes, with the headers from step 1.

    Repeated before step 3, it replaces the bytes.
    """
    await _receive(request, upload_id, services, signed)
    return Response(status_code=200)


@signed_router.post(
    "/uploads/{uploadId}",
    status_code=201,
    responses={403: {}, 409: {}, 413: {}},
    openapi_extra=_RAW_BODY,
)
@public
async def receive_posted_upload(
    request: Request, upload_id: UploadId, services: Provided, signed: Annotated[SignedQuery, Query()]
) -> StorageReceipt:
    """Upload, step 2, where step 1 returned the method POST: the response holds the `storageId` for step 3."""
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
        uploads.SignedRequest(
            method=request.method,
            expires=signed.expires,
            signature=signed.signature,
            content_type=request.headers.get("content-type"),
            content_length=int(announced) if announced.isdecimal() else None,
        ),
        _chunks(request),
    )


async def _chunks(request: Request) -> AsyncGenerator[bytes]:
    """The body. It is read after the signature was checked, so from then on the connection counts as authenticated."""
    authenticate_connection(request, None)
    async for chunk in request.stream():
        yield chunk


@router.post("/uploads/complete", status_code=201, responses={404: {}, 409: {}})
@repeatable
@access(Level.ACTS, Agents.FILTERED)
async def complete_upload(caller: Caller, services: Provided, body: CompletionRequest) -> File:
    """Upload, step 3: get the file. A repeat returns the same file."""
    file = await uploads.complete(
        services.pool,
        services.settings,
        services.blobs,
        caller.account_id,
        body.upload_id,
        body.storage_id,
        caller,
    )
    return File.of(file)
