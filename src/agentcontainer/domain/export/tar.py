"""The parts of a tar archive that is written as a stream: headers, padding, and the end."""

import tarfile
from datetime import datetime

END = bytes(2 * tarfile.BLOCKSIZE)


def header(name: str, size_bytes: int, modified_at: datetime) -> bytes:
    """What comes before the bytes of a member. PAX headers take names of any length, in UTF-8."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size_bytes, int(modified_at.timestamp()), 0o600
    return info.tobuf(tarfile.PAX_FORMAT)


def padding(size_bytes: int) -> bytes:
    """What comes after the bytes of a member."""
    return bytes(-size_bytes % tarfile.BLOCKSIZE)


def member(name: str, content: bytes, modified_at: datetime) -> bytes:
    """A member whose bytes are in memory."""
    return header(name, len(content), modified_at) + content + padding(len(content))
