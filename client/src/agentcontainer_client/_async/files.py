"""Files: uploads, outputs of tasks, downloads."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agentcontainer_client import models
from agentcontainer_client._async import downloading, uploading
from agentcontainer_client._async.paging import AsyncPager
from agentcontainer_client._async.transport import AsyncTransport
from agentcontainer_client._calls import Call, operation, query_of, segment
from agentcontainer_client._sources import AnyFile, FileInput, OnProgress, source


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class AsyncFile(models.File):
    """A stored file."""

    transport: AsyncTransport = field(repr=False, compare=False)

    async def download(
        self, target: str | os.PathLike[str] = ".", on_progress: OnProgress | None = None
    ) -> Path:
        """Write it to `target`, a path or a folder. Returns where it is."""
        return await AsyncFiles(self.transport).download(self, target, on_progress=on_progress)

    async def read(self) -> bytes:
        """Its bytes, in memory."""
        return await AsyncFiles(self.transport).read(self)

    async def preview(self) -> models.Preview:
        """Links with which a browser shows it for 5 minutes, without a key."""
        return await AsyncFiles(self.transport).preview(self)

    async def delete(self) -> None:
        """Delete it. Conflict while a live task or a version of an agent uses it."""
        await AsyncFiles(self.transport).delete(self)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class AsyncOutputFile(models.OutputFile):
    """A file that a task delivered, or had written when it ended without finishing (`partial`)."""

    transport: AsyncTransport = field(repr=False, compare=False)
    task_id: str = field(repr=False)

    @operation(
        "downloadOutputFile",
        taskId="self",
        fileId="self",
        **{"Range": "target", "If-Range": "target", "If-None-Match": "target"},
    )
    async def download(
        self, target: str | os.PathLike[str] = ".", on_progress: OnProgress | None = None
    ) -> Path:
        """Write it to `target`, a path or a folder. Returns where it is."""
        return await downloading.download(self.transport, self._path, self.filename, target, on_progress)

    async def read(self) -> bytes:
        """Its bytes, in memory."""
        return (await self.transport.request(Call(method="GET", path=self._path))).content

    @property
    def _path(self) -> str:
        return f"/tasks/{segment(self.task_id)}/files/{segment(self.id)}"


AnyStored = str | models.File | models.OutputFile | models.MessageFile


@dataclass(frozen=True)
class AsyncFiles:
    """`client.files`: uploads and stored files."""

    transport: AsyncTransport = field(repr=False)

    async def upload(
        self,
        file: FileInput,
        *,
        content_type: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> AsyncFile:
        """Upload a file: a path, `(name, content)`, or an open binary file. Its checksum is compared.

        Raises:
            ChecksumMismatch: the server stored other bytes.
        """
        stored = await uploading.upload(self.transport, source(file, content_type), on_progress)
        return self._bound(stored.to_wire())

    async def upload_all(
        self, files: Sequence[AnyFile], *, on_progress: OnProgress | None = None
    ) -> list[str]:
        """Upload those files that are not stored yet, several at once. Returns the ids of all."""
        return await uploading.ids_of(self.transport, files, on_progress)

    @operation("listFiles", taskId="task")
    def list(
        self,
        *,
        task: str | None = None,
        kind: models.FileKind | None = None,
        content_type: str | None = None,
        min_size_bytes: int | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        order: models.Order | None = None,
    ) -> AsyncPager[AsyncFile]:
        """The stored files, the newest first. `task`: only its outputs. `content_type`: a type, or `image/`."""
        query = query_of(task_id=task, kind=kind, content_type=content_type, min_size_bytes=min_size_bytes)
        return AsyncPager(
            self.transport, "/files", self._bound, query=query, limit=limit, cursor=cursor, order=order
        )

    @operation("getFile", fileId="file")
    async def get(self, file: AnyStored) -> AsyncFile:
        """A stored file by its id."""
        return await self.transport.send(Call(method="GET", path=f"/files/{_id(file)}"), self._bound)

    @operation("listFileUses", fileId="file")
    async def uses(self, file: AnyStored) -> models.FileUses:
        """What uses a file, and what keeps it from being deleted."""
        call = Call(method="GET", path=f"/files/{_id(file)}/uses")
        return await self.transport.send(call, models.FileUses.from_wire)

    @operation("getFilePreview", fileId="file")
    async def preview(self, file: AnyStored) -> models.Preview:
        """Links with which a browser shows the file for 5 minutes, without a key."""
        call = Call(method="GET", path=f"/files/{_id(file)}/preview")
        return await self.transport.send(call, models.Preview.from_wire)

    @operation("deleteFile", fileId="file")
    async def delete(self, file: AnyStored) -> None:
        """Delete a file. Conflict while a live task or a version of an agent uses it."""
        await self.transport.request(Call(method="DELETE", path=f"/files/{_id(file)}"))

    @operation(
        "downloadFile", fileId="file", **{"Range": "target", "If-Range": "target", "If-None-Match": "target"}
    )
    async def download(
        self,
        file: AnyStored,
        target: str | os.PathLike[str] = ".",
        *,
        on_progress: OnProgress | None = None,
    ) -> Path:
        """Write a file to `target`, a path or a folder. Returns where it is.

        A cut resumes the download, its checksum is compared, and the file appears only when it is whole.
        """
        stored = await self.get(file) if isinstance(file, str) else file
        path = f"/files/{_id(stored)}/content"
        return await downloading.download(self.transport, path, stored.filename, target, on_progress)

    async def read(self, file: AnyStored) -> bytes:
        """The bytes of a file, in memory."""
        path = f"/files/{_id(file)}/content"
        return (await self.transport.request(Call(method="GET", path=path))).content

    def _bound(self, content: object) -> AsyncFile:
        return AsyncFile.from_wire(content, transport=self.transport)


def _id(file: AnyStored) -> str:
    return segment(file if isinstance(file, str) else file.id)
