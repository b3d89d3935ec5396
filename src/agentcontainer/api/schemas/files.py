"""The JSON of stored files, in the responses of uploads and lists."""

from typing import Annotated

from pydantic import Field

from agentcontainer.api.wire import Outgoing, Timestamp


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
