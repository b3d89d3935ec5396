"""The account's files: what it uploaded, and what its tasks put out."""

from typing import Annotated

from fastapi import Depends, Path, Request
from pydantic import Field
from starlette.responses import Response

from agentcontainer.api.http import file_bytes, paging
from agentcontainer.api.http.auth import AccountId
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.query import Query
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.wire import Id, Outgoing, Timestamp
from agentcontainer.domain.files import service

router = authenticated()
FileId = Annotated[str, Path(alias="fileId")]


class File(Outgoing):
    """A stored file. `id` and `fileId` are the same."""

    id: str
    file_id: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    task_id: Annotated[str | None, Field(description="The task that put it out; null: it was uploaded.")]
    created_at: Timestamp


class FilePage(Outgoing):
    """A page of files."""

    data: list[File]
    page_info: PageInfo


class FileQuery(PageQuery):
    """Which files."""

    task_id: Annotated[Id | None, Field(description="Only the output files of this task.")] = None


@router.get("/files")
async def list_files(
    account_id: AccountId, services: Provided, query: Annotated[FileQuery, Depends(Query(FileQuery))]
) -> FilePage:
    """The account's files: uploaded ones, and the output files of its tasks."""
    page = await service.list_page(
        services.pool,
        account_id,
        task_id=query.task_id,
        after_id=paging.position("files", query),
        limit=query.limit,
        is_descending=query.order == "desc",
    )
    info = paging.page_info("files", page, lambda file: file.id)
    return FilePage(data=[wire(file) for file in page.rows], page_info=info)


@router.get("/files/{fileId}")
async def get_file(file_id: FileId, account_id: AccountId, services: Provided) -> File:
    """One file, without its bytes."""
    return wire(await service.get(services.pool, account_id, file_id))


@router.get(
    "/files/{fileId}/content",
    responses=file_bytes.RESPONSES,
    openapi_extra={"parameters": file_bytes.PARAMETERS},
)
async def download_file(
    request: Request, file_id: FileId, account_id: AccountId, services: Provided
) -> Response:
    """The bytes of a file."""
    file = await service.get(services.pool, account_id, file_id)
    return await file_bytes.respond(request, services.blobs, file)


@router.delete("/files/{fileId}", status_code=204, response_class=Response, responses={409: {}})
async def delete_file(file_id: FileId, account_id: AccountId, services: Provided) -> None:
    """Delete a file and its bytes. Refused while a task that has not ended or an agent version uses it."""
    await service.delete(services.pool, services.blobs, account_id, file_id)


def wire(file: service.File) -> File:
    """A file as clients see it."""
    return File(
        id=file.id,
        file_id=file.id,
        filename=file.filename,
        content_type=file.content_type,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        task_id=file.task_id,
        created_at=file.created_at,
    )
