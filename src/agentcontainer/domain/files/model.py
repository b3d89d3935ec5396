"""The dataclasses of files."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class File:
    """A stored file: an upload, or an output of the task `task_id`."""

    id: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    blob_key: str
    task_id: str | None
    output_name: str | None
    path: str | None
    """Where the agent had an output: relative to its home, or `workspace/…`. None: unknown, or an upload."""
    is_partial: bool
    created_at: datetime
    api_key_id: str | None
    """The key that uploaded it. None: an output, or an older upload."""


@dataclass(frozen=True)
class PreviewedFile:
    """A file to which a link claims to lead. `file` None: it is deleted. `read_at`: the database's time of the read."""

    account_id: str
    is_account_suspended: bool
    file: File | None
    read_at: datetime


@dataclass(frozen=True)
class FileUse:
    """Why a file may not be deleted. `user`: a live task or an agent version, as a phrase."""

    file_id: str
    user: str


@dataclass(frozen=True)
class NewFile:
    """A file about to be inserted that a client has uploaded."""

    id: str
    account_id: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    blob_key: str
    api_key_id: str | None
