"""Says what this host lacks to run a task: room on its disk, or file descriptors."""

import errno
import os
import resource
from pathlib import Path

MIN_FREE_BYTES = 64 * 1024**2
MIN_FREE_FILES = 1000
MIN_FREE_DESCRIPTORS = 64  # a start needs about 20
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def shortage(folder: Path) -> str | None:
    """What is used up on this host, as a sentence without paths. `folder`: on the disk to check."""
    return disk_shortage(folder) or _descriptor_shortage()


def disk_shortage(folder: Path) -> str | None:
    """What the file system of `folder` lacks, as a sentence without paths; None: nothing, or it cannot be examined."""
    try:
        status = os.statvfs(folder)
    except OSError:
        return None
    free_bytes = status.f_bavail * status.f_frsize
    if free_bytes < MIN_FREE_BYTES:
        return f"Its disk is full: {free_bytes // 1024**2} MiB are free."
    if status.f_files and status.f_favail < MIN_FREE_FILES:  # some file systems do not count files
        return f"Its disk has room for only {status.f_favail} more files."
    return "Its disk has become read-only." if status.f_flag & os.ST_RDONLY else None


def is_exhausted(error: BaseException) -> bool:
    """Whether the error, or what caused it, is a lack of memory or file descriptors of this host."""
    examined: set[BaseException] = set()
    cause: BaseException | None = error
    while cause is not None and cause not in examined:
        if isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno in EXHAUSTED):
            return True
        examined.add(cause)
        cause = cause.__cause__ or cause.__context__
    return False


def _descriptor_shortage() -> str | None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        used = sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError as error:
        return "Its process cannot open another file." if error.errno in EXHAUSTED else None
    if limit == resource.RLIM_INFINITY or used <= limit - MIN_FREE_DESCRIPTORS:
        return None
    return f"Its process has {used} of {limit} files open."
