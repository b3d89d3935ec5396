"""The dataclasses of checkpoints."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Checkpoint:
    """A saved workspace: a tar of `unpacked_bytes`, stored compressed with `size_bytes` and the digest `sha256`."""

    id: str
    blob_key: str
    size_bytes: int
    sha256: str
    unpacked_bytes: int


@dataclass(frozen=True)
class CheckpointBlob:
    """A row of `checkpoints` and the key of its blob, which may be missing or incomplete."""

    id: str
    key: str
