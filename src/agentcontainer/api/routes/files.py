"""The routes of the account's files: uploads, and the output files of its tasks."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal

from fastapi import Query, Request
from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypeAliasType

from agentcontainer.api.http import file_bytes, filtering
from agentcontainer.api.http.access import Agents, Level, access, acts, reads
from agentcontainer.api.http.auth import AccountId, Acting, Caller
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.query import from_digits
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.schemas.files import File, FileUses
from agentcontainer.api.schemas.ids import FileId
from agentcontainer.api.wire import Id, Outgoing
from agentcontainer.domain.accounts.visible import visible_files
from agentcontainer.domain.files import model, service, store
from agentcontainer.domain.files.uses import list_uses

FileKind = TypeAliasType("FileKind", Literal["upload", "output"])

router = authenticated("Files")


class FilePage(Outgoing):
    """A page of files."""

    data: list[File]
    page_info: PageInfo


class FileQuery(PageQuery):
    """Which files to list."""

    task_id: Annotated[Id | None, Field(description="Only the output files of this task.")] = None
    kind: Annotated[
        FileKind | None, Field(description="`upload`: only uploads. `output`: only outputs of tasks.")
    ] = None
    content_type: Annotated[
        Annotated[str, Field(min_length=1, max_length=255)] | None,
        Field(description="Only files of this type, or of all types that begin so: `image/`."),
    ] = None
    min_size_bytes: Annotated[
        Annotated[int, Field(ge=0, lt=10**18), from_digits] | None,
        Field(description="Only files of at least this size."),
    ] = None

    @property
    def has_filter(self) -> bool:
        """Whether rows of the list may be left out."""
        return (self.kind, self.content_type, self.min_size_bytes) != (None, None, None)

    def takes(self, file: model.File) -> bool:
        """Whether the filters leave this file."""
        return (
            (self.kind is None or (self.kind == "upload") == (file.task_id is None))
            and (self.content_type is None or _has_type(file.content_type, self.content_type))
            and (self.min_size_bytes is None or file.size_bytes >= self.min_size_bytes)
        )


def _has_type(content_type: str, wanted: str) -> bool:
    """Whether it is this type, with or without parameters, or one of the types that begin with `wanted/`."""
    name = content_type.lower()
    return (
        name.startswith(wanted.lower())
        if wanted.endswith("/")
        else name.partition(";")[0].strip() == wanted.lower()
    )


@router.get("/files")
@access(Level.READS, Agents.FILTERED)
async def list_files(caller: Caller, services: Provided, query: Annotated[FileQuery, Query()]) -> FilePage:
    """List the account's files: uploads, and the output files of its tasks.

    A key that is bound to agents sees what it uploaded itself, and what their tasks were given or made. With a filter a
    page may be short, or empty, although there are more.
    """
    read = partial(
        store.list_page,
        services.pool,
        caller.account_id,
        task_id=query.task_id,
        is_descending=query.order == "desc",
    )

    async def choose(files: Sequence[model.File]) -> Sequence[model.File]:
        wanted = [file for file in files if query.takes(file)]
        if caller.agent_ids is None:
            return wanted
        seen = await visible_files(services.pool, caller, [file.id for file in wanted])
        return [file for file in wanted if file.id in seen]

    rows, info = await filtering.page(
        caller, query, "files", read, lambda file: file.id, choose, is_filtered=query.has_filter
    )
    return FilePage(data=[File.of(file) for file in rows], page_info=info)


@router.get("/files/{fileId}")
@reads
async def get_file(file_id: FileId, account_id: AccountId, services: Provided) -> File:
    """Get a file without its bytes."""
    return File.of(await service.get(services.pool, account_id, file_id))


@router.get("/files/{fileId}/uses")
@reads
async def list_file_uses(file_id: FileId, caller: Caller, services: Provided) -> FileUses:
    """List what uses a file, and say what keeps it from being deleted."""
    await service.get(services.pool, caller.account_id, file_id)
    return FileUses.of(await list_uses(services.pool, caller.account_id, file_id, caller.visible_agents()))


@file_bytes.download_route(router, "/files/{fileId}/content")
@reads
async def download_file(
    request: Request, file_id: FileId, account_id: AccountId, services: Provided
) -> Response:
    """Download the bytes of a file."""
    file = await service.get(services.pool, account_id, file_id)
    return await file_bytes.respond(request, services.blobs, file)


@router.delete("/files/{fileId}", status_code=204, response_class=Response, responses={409: {}})
@acts
async def delete_file(file_id: FileId, caller: Caller, actor: Acting, services: Provided) -> None:
    """Delete a file and its bytes.

    409 while an agent version or a task that has not ended uses it.
    """
    await service.delete(services.pool, services.blobs, caller.account_id, file_id, caller=caller, by=actor)
