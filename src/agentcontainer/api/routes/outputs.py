"""The files a task's agent declared when it called `finish`: the list, and their bytes."""

from typing import Annotated

from fastapi import Depends, Request
from starlette.responses import Response

from agentcontainer.api.http import file_bytes, paging
from agentcontainer.api.http.auth import AccountId
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.query import Query
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.routes.files import FileId
from agentcontainer.api.routes.tasks import TaskId
from agentcontainer.api.wire import Outgoing, Timestamp
from agentcontainer.domain.files import service as files
from agentcontainer.domain.tasks import service as tasks
from agentcontainer.errors import NotFound

router = authenticated()


class OutputFile(Outgoing):
    """An output file. `partial`: what there was when the task failed, was cancelled or expired."""

    id: str
    filename: str
    content_type: str
    size_bytes: int
    created_at: Timestamp
    output_name: str | None
    partial: bool


class OutputFilePage(Outgoing):
    """A page of output files."""

    data: list[OutputFile]
    page_info: PageInfo


@router.get("/tasks/{taskId}/files")
async def list_output_files(
    task_id: TaskId,
    account_id: AccountId,
    services: Provided,
    query: Annotated[PageQuery, Depends(Query(PageQuery))],
) -> OutputFilePage:
    """The task's output files."""
    await tasks.get(services.pool, account_id, task_id)
    page = await files.list_page(
        services.pool,
        account_id,
        task_id=task_id,
        after_id=paging.position("files", query),
        limit=query.limit,
        is_descending=query.order == "desc",
    )
    info = paging.page_info("files", page, lambda file: file.id)
    return OutputFilePage(data=[_wire(file) for file in page.rows], page_info=info)


@router.get(
    "/tasks/{taskId}/files/{fileId}",
    responses=file_bytes.RESPONSES,
    openapi_extra={"parameters": file_bytes.PARAMETERS},
)
async def download_output_file(
    request: Request, task_id: TaskId, file_id: FileId, account_id: AccountId, services: Provided
) -> Response:
    """The bytes of an output file."""
    file = await files.get(services.pool, account_id, file_id)
    if file.task_id != task_id:
        raise NotFound(f"File {file_id} does not exist.")
    return await file_bytes.respond(request, services.blobs, file)


def _wire(file: files.File) -> OutputFile:
    return OutputFile(
        id=file.id,
        filename=file.filename,
        content_type=file.content_type,
        size_bytes=file.size_bytes,
        created_at=file.created_at,
        output_name=file.output_name,
        partial=file.is_partial,
    )
