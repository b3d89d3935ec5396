"""The dataclasses of uploads."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

UploadMethod = Literal["PUT", "POST"]


@dataclass(frozen=True)
class PreparedUpload:
    """Where and how a client sends the bytes, and until when."""

    id: str
    url: str
    method: UploadMethod
    content_type: str
    expires_at: datetime


@dataclass(frozen=True)
class NewUpload:
    """An upload about to be inserted. `size_bytes` None: the client did not declare a size."""

    id: str
    account_id: str
    filename: str
    content_type: str
    size_bytes: int | None
    blob_key: str
    life: timedelta
    method: UploadMethod
    api_key_id: str | None


@dataclass(frozen=True)
class Upload:
    """A row of `uploads`. `received_bytes` None: no bytes have come through us. `read_at`: the database's time when the
    row was read. `is_suspended`: its account is."""

    id: str
    account_id: str
    filename: str
    content_type: str
    size_bytes: int | None
    blob_key: str
    expires_at: datetime
    read_at: datetime
    method: UploadMethod
    received_bytes: int | None
    sha256: str | None
    storage_id: str | None
    file_id: str | None
    api_key_id: str | None
    is_suspended: bool
