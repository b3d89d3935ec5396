"""Files: uploads, outputs of tasks, downloads."""

# Written by scripts/render_sync.py from _async. Do not edit.

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agentcontainer_client import models
from agentcontainer_client._calls import Call, operation, query_of, segment
from agentcontainer_client._sources import AnyFile, FileInput, OnProgress, source
from agentcontainer_client._sync import downloading, uploading
from agentcontainer_client._sync.paging import Pager
from agentcontainer_client._sync.transport import Transport


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class File(models.File):
    """A stored file."""

    transport: Transport = field(repr=False, compare=False)

    def download(self, target: str | os.PathLike[str] = ".", on_progress: OnProgress | None = None) -> Path:
        """Write it to `target`, a path or a folder. Returns where it is."""
        return Files(self.transport).download(self, target, on_progress=on_progress)

    def read(self) -> bytes:
        """Its bytes, in memory."""
        return Files(self.transport).read(self)

    def preview(self) -> models.Preview:
        """Links with which a browser shows it for 5 minutes, without a key."""
        return Files(self.transport).preview(self)

    def delete(self) -> None:
        """Delete it. Conflict while a live task or a version of an agent uses it."""
        Files(self.transport).delete(self)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class OutputFile(models.OutputFile):
    """A file that a task delivered, or had written when it ended without finishing (`partial`)."""

    transport: Transport = field(repr=False, compare=False)
    task_id: str = field(repr=False)

    @operation(
        "downloadOutputFile",
        taskId="self",
        fileId="self",
        **{"Range": "target", "If-Range": "target", "If-None-Match": "target"},
    )
    def download(self, target: str | os.PathLike[str] = ".", on_progress: OnProgress | None = None) -> Path:
        """Write it to `target`, a path or a folder. Returns where it is."""
        return downloading.download(self.transport, self._path, self.filename, target, on_progress)

    def read(self) -> bytes:
        """Its bytes, in memory."""
        return (self.transport.request(Call(method="GET", path=self._path))).content

    @property
    def _path(self) -> str:
        return f"/tasks/{segment(self.task_id)}/files/{segment(self.id)}"


AnyStored = str | models.File | models.OutputFile | models.MessageFile


@dataclass(frozen=True)
class Files:
    """`client.files`: uploads and stored files."""

    transport: Transport = field(repr=False)

    def upload(
        self,
        file: FileInput,
        *,
        content_type: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> File:
        """Upload a file: a path, `(name, content)`, or an open binary file. Its checksum is compared.

        Raises:
            ChecksumMismatch: the server stored other bytes.
        """
        stored = uploading.upload(self.transport, source(file, content_type), on_progress)
        return self._bound(stored.to_wire())

    def upload_all(self, files: Sequence[AnyFile], *, on_progress: OnProgress | None = None) -> list[str]:
        """Upload those files that are not stored yet, several at once. Returns the ids of all."""
        return uploading.ids_of(self.transport, files, on_progress)

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
    ) -> Pager[File]:
        """The stored files, the newest first. `task`: only its outputs. `content_type`: a type, or `image/`."""
        query = query_of(task_id=task, kind=kind, content_type=content_type, min_size_bytes=min_size_bytes)
        return Pager(
            self.transport, "/files", self._bound, query=query, limit=limit, cursor=cursor, order=order
        )

    @operation("getFile", fileId="file")
    def get(self, file: AnyStored) -> File:
        """A stored file by its id."""
        return self.transport.send(Call(method="GET", path=f"/files/{_id(file)}"), self._bound)

    @operation("listFileUses", fileId="file")
    def uses(self, file: AnyStored) -> models.FileUses:
        """What uses a file, and what keeps it from being deleted."""
        call = Call(method="GET", path=f"/files/{_id(file)}/uses")
        return self.transport.send(call, models.FileUses.from_wire)

    @operation("getFilePreview", fileId="file")
    def preview(self, file: AnyStored) -> models.Preview:
        """Links with which a browser shows the file for 5 minutes, without a key."""
        call = Call(method="GET", path=f"/files/{_id(file)}/preview")
        return self.transport.send(call, models.Preview.from_wire)

    @operation("deleteFile", fileId="file")
    def delete(self, file: AnyStored) -> None:
        """Delete a file. Conflict while a live task or a version of an agent uses it."""
        self.transport.request(Call(method="DELETE", path=f"/files/{_id(file)}"))

    @operation(
        "downloadFile", fileId="file", **{"Range": "target", "If-Range": "target", "If-None-Match": "target"}
    )
    def download(
        self,
        file: AnyStored,
        target: str | os.PathLike[str] = ".",
        *,
        on_progress: OnProgress | None = None,
    ) -> Path:
        """Write a file to `target`, a path or a folder. Returns where it is.

        A cut resumes the download, its checksum is compared, and the file appears only when it is whole.
        """
        stored = self.get(file) if isinstance(file, str) else file
        path = f"/files/{_id(stored)}/content"
        return downloading.download(self.transport, path, stored.filename, target, on_progress)

    def read(self, file: AnyStored) -> bytes:
        """The bytes of a file, in memory."""
        path = f"/files/{_id(file)}/content"
        return (self.transport.request(Call(method="GET", path=path))).content

    def _bound(self, content: object) -> File:
        return File.from_wire(content, transport=self.transport)


def _id(file: AnyStored) -> str:
    return segment(file if isinstance(file, str) else file.id)
