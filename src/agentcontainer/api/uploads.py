"""The three-step upload: prepare, send the bytes to a signed URL, complete."""

from typing import Annotated

from fastapi import Depends, Path, Request
from pydantic import Field
from starlette.responses import Response

from agentcontainer.api.auth import AccountId
from agentcontainer.api.body import JsonBody
from agentcontainer.api.query import Query
from agentcontainer.api.routing import authenticated, unauthenticated
from agentcontainer.api.services import Provided
from agentcontainer.api.wire import Id, Incoming, MediaType, Outgoing, Timestamp
from agentcontainer.domain.files import service
from agentcontainer.errors import ValidationError

MAX_SIZE_BYTES = 2**62

router = authenticated()
signed_router = unauthenticated()


class UploadRequest(Incoming):
    """What will be uploaded."""

    filename: Annotated[
        str, Field(min_length=1, max_length=service.MAX_FILENAME_BYTES, description="A name, never a path.")
    ]
    content_type: MediaType
    size_bytes: Annotated[int, Field(ge=0, le=MAX_SIZE_BYTES)] | None = None


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


class File(Outgoing):
    """A stored file. `id` and `fileId` are the same."""

    id: str
    file_id: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    created_at: Timestamp


@router.post("/uploads/prepare", status_code=201, responses={413: {}})
async def prepare_upload(
    account_id: AccountId,
    services: Provided,
    body: Annotated[UploadRequest, Depends(JsonBody(UploadRequest))],
) -> PreparedUpload:
    """Step 1: a signed URL that takes these bytes, until it expires."""
    upload = await service.prepare(
        services.pool,
        services.settings,
        services.vault,
        account_id,
        body.filename,
        body.content_type,
        body.size_bytes,
    )
    return PreparedUpload(
        upload_id=upload.id,
        upload_url=upload.url,
        method="PUT",
        headers={"content-type": upload.content_type},
        expires_at=upload.expires_at,
    )


@signed_router.put(
    "/uploads/{uploadId}",
    responses={
        200: {"description": "The bytes are stored; complete the upload."},
        403: {}, 409: {}, 413: {},
    },
    openapi_extra={"requestBody": {"required": True, "content": {"*/*": {}}}},
)  # fmt: skip
async def receive_upload(
    request: Request,
    upload_id: Annotated[str, Path(alias="uploadId")],
    services: Provided,
    signed: Annotated[SignedQuery, Depends(Query(SignedQuery))],
) -> Response:
    """Step 2: the raw bytes, with the headers that `prepare` gave. A repeat before step 3 replaces them."""
    announced = request.headers.get("content-length", "")
    await service.receive(
        services.pool,
        services.settings,
        services.vault,
        services.blobs,
        upload_id,
        expires=signed.expires,
        signature=signed.signature,
        content_type=request.headers.get("content-type"),
        content_length=int(announced) if announced.isdecimal() else None,
        body=request.stream(),
    )
    return Response(status_code=200)


@router.post("/uploads/complete", status_code=201, responses={404: {}, 409: {}})
async def complete_upload(
    account_id: AccountId,
    services: Provided,
    body: Annotated[CompletionRequest, Depends(JsonBody(CompletionRequest))],
) -> File:
    """Step 3: the file. A repeat gives the same file."""
    if body.storage_id is not None:
        raise ValidationError.at("storageId", "belongs to POST uploads; this one used PUT, so leave it out")
    file = await service.complete(services.pool, account_id, body.upload_id)
    return File(
        id=file.id,
        file_id=file.id,
        filename=file.filename,
        content_type=file.content_type,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        created_at=file.created_at,
    )
