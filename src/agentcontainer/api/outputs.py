"""The files a task's agent declared when it called `finish`: the list, and their bytes."""

import re
from collections.abc import AsyncIterator
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Path
from starlette.responses import Response, StreamingResponse

from agentcontainer.api import paging
from agentcontainer.api.auth import AccountId
from agentcontainer.api.paging import PageInfo, PageQuery
from agentcontainer.api.query import Query
from agentcontainer.api.routing import authenticated
from agentcontainer.api.services import Provided
from agentcontainer.api.tasks import TaskId
from agentcontainer.api.wire import MEDIA_TYPE_PATTERN, Outgoing, Timestamp
from agentcontainer.domain.files import service as files
from agentcontainer.domain.tasks import service as tasks
from agentcontainer.errors import NotFound

router = authenticated()
_UNSAFE_IN_QUOTES = re.compile(
    r"[^ !#-$&-\[\]-~]"
)  # beyond ASCII, controls, and " % \ which readers treat differently


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
    rows = await files.list_outputs(
        services.pool,
        account_id,
        task_id,
        after_id=paging.position("files", query),
        limit=query.limit + 1,
        is_descending=query.order == "desc",
    )
    page, info = paging.cut("files", rows, query.limit, lambda file: file.id)
    return OutputFilePage(data=[_wire(file) for file in page], page_info=info)


@router.get(
    "/tasks/{taskId}/files/{fileId}",
    responses={
        200: {
            "description": "The raw bytes, with the file's own `Content-Type`.",
            "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
        },
    },
)
async def download_output_file(
    task_id: TaskId, file_id: Annotated[str, Path(alias="fileId")], account_id: AccountId, services: Provided
) -> Response:
    """The bytes of an output file."""
    file = await files.get(services.pool, account_id, file_id)
    if file.task_id != task_id:
        raise NotFound(f"File {file_id} does not exist.")
    chunks = services.blobs.stream(file.blob_key)
    first = await anext(chunks, b"")  # what is missing is found before the status is sent
    return StreamingResponse(_joined(first, chunks), headers=_download_headers(file))


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


def _download_headers(file: files.File) -> dict[str, str]:
    is_safe = re.fullmatch(MEDIA_TYPE_PATTERN, file.content_type)
    return {
        "Content-Type": file.content_type if is_safe else "application/octet-stream",
        "Content-Length": str(file.size_bytes),
        "Content-Disposition": attachment(file.filename),
        "ETag": f'"{file.sha256}"',
        "Content-Security-Policy": "sandbox",  # hostile HTML opened in place still gets no origin
    }


def attachment(filename: str) -> str:
    """`Content-Disposition` for any name: a plain form for old readers, the exact one beside it (RFC 6266)."""
    plain = _UNSAFE_IN_QUOTES.sub("_", filename)
    exact = quote(filename, safe="!#$&+-.^_`|~", errors="replace")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}"


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
