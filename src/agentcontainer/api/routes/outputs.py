"""The routes of a task's output files."""

from typing import Annotated

from fastapi import Query, Request
from pydantic import Field
from starlette.responses import Response

from agentcontainer.api.http import file_bytes, paging
from agentcontainer.api.http.access import reads
from agentcontainer.api.http.auth import AccountId
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.schemas.ids import FileId, TaskId
from agentcontainer.api.wire import Outgoing, Timestamp
from agentcontainer.domain.files import service as files
from agentcontainer.domain.files import store as file_store
from agentcontainer.domain.tasks import service as tasks
from agentcontainer.errors import NotFound

router = authenticated("Files")


class OutputFile(Outgoing):
    """An output file."""

    id: str
    filename: str
    content_type: str
    size_bytes: int
    created_at: Timestamp
    output_name: Annotated[str | None, Field(description="Its name in the task's output policy.")]
    path: Annotated[
        str | None,
        Field(
            description="Where the agent had it: relative to its home folder, or `workspace/…`. Never absolute."
        ),
    ]
    partial: Annotated[
        bool,
        Field(
            validation_alias="is_partial",
            description="True: what the task had written when it failed, was cancelled or expired.",
        ),
    ]


class OutputFilePage(Outgoing):
    """A page of output files."""

    data: list[OutputFile]
    page_info: PageInfo


@router.get("/tasks/{taskId}/files")
@reads
async def list_output_files(
    task_id: TaskId, account_id: AccountId, services: Provided, query: Annotated[PageQuery, Query()]
) -> OutputFilePage:
    """List the output files of a task."""
    await tasks.get(services.pool, account_id, task_id)
    page = await file_store.list_page(
        services.pool,
        account_id,
        task_id=task_id,
        after_id=paging.position("files", query),
        limit=query.limit,
        is_descending=query.order == "desc",
    )
    info = paging.page_info("files", page, lambda file: file.id)
    return OutputFilePage(data=[OutputFile.of(file) for file in page.rows], page_info=info)


@file_bytes.download_route(router, "/tasks/{taskId}/files/{fileId}")
@reads
async def download_output_file(
    request: Request, task_id: TaskId, file_id: FileId, account_id: AccountId, services: Provided
) -> Response:
    """Download the bytes of an output file."""
    file = await files.get(services.pool, account_id, file_id)
    if file.task_id != task_id:
        raise NotFound(f"File {file_id} does not exist.")
    return await file_bytes.respond(request, services.blobs, file)
