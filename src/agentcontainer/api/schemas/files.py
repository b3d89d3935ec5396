"""The JSON of stored files, in the responses of uploads and lists, and of what uses them."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from agentcontainer.api.event_data import TaskStatus
from agentcontainer.api.wire import Outgoing, Timestamp

UseKind = TypeAliasType("UseKind", Literal["reference_file", "skill", "input", "message"])


class File(Outgoing):
    """A stored file, without its bytes."""

    id: str
    file_id: Annotated[str, Field(validation_alias="id", description="The same as `id`.")]
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    task_id: Annotated[str | None, Field(description="The task that put it out; null for an upload.")]
    path: Annotated[
        str | None, Field(description="Of an output: where the agent had it, relative to its home folder.")
    ]
    created_at: Timestamp


class FileUse(Outgoing):
    """One use of a file: by a version of an agent, or by a task. The fields of the other are null."""

    kind: UseKind
    agent_id: str
    version_id: str | None
    version_number: int | None
    task_id: str | None
    title: str | None
    status: TaskStatus | None


class FileUses(Outgoing):
    """What uses a file: versions of agents, then tasks, those that have not ended first."""

    data: Annotated[list[FileUse], Field(description="At most 100 versions and 100 tasks.")]
    is_complete: Annotated[bool, Field(description="Whether nothing else uses the file.")]
    kept_by: Annotated[
        str | None,
        Field(description="What keeps the file from being deleted, as a phrase; null: nothing does."),
    ]
