"""Says which kernel's uids this runner's sandboxes use, so that two runners with the same uids can be told apart.

A runner kills the processes of a uid before it uses it. Runners of one host share lock files. One in a container and
one on its host share the kernel, but not the files, and would kill each other's sandboxes.
"""

import os
from dataclasses import dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # the same in all containers of a kernel
_UID_MAP = Path("/proc/self/uid_map")


@dataclass(frozen=True)
class UidScope:
    """The first uid as the kernel counts it, and the folder of the locks by which runners share the uids."""

    boot_id: str
    first_uid: int
    lock_folder: str


def uid_scope(base: int, lock_folder: Path) -> UidScope | None:
    """The scope of this process. None: its sandboxes have no uids of their own, because it does not run as root."""
    if os.geteuid() != 0:
        return None
    lock_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = lock_folder.stat()
    return UidScope(
        _BOOT_ID.read_text().strip(), _outside(base, _UID_MAP.read_text()), f"{status.st_dev}:{status.st_ino}"
    )


def _outside(uid: int, uid_map: str) -> int:
    """The uid outside of this process's user namespace."""
    for line in uid_map.splitlines():
        inside, outside, count = map(int, line.split())
        if inside <= uid < inside + count:
            return outside + uid - inside
    return uid
