"""Gives each sandbox a host uid of its own, so that file permissions separate them if the isolation fails.

A leased uid is a locked file. The kernel frees the lock when the runner dies, and no two runners of a host
that use the same lock folder lease the same uid.
"""

import fcntl
import os
import pwd
import secrets
from pathlib import Path

from agentcontainer import file_lock
from agentcontainer.errors import SandboxError
from agentcontainer.sandbox import procfs

UID_COUNT = 1000
LOCKS = Path("/run/lock/agentcontainer")  # one for all runners of this host
KILL_SECONDS = 2.0


class UidLease:
    """A uid that nobody else leases until it is released."""

    def __init__(self, uid: int, descriptor: int) -> None:
        self.uid = uid
        self._descriptor: int | None = descriptor

    def share(self) -> "UidLease":
        """The same uid for one more holder. It is free when all of them have released it."""
        assert self._descriptor is not None, "a lease that was released cannot be shared"
        return UidLease(self.uid, fcntl.fcntl(self._descriptor, fcntl.F_DUPFD_CLOEXEC, 0))

    def release(self) -> None:
        """Give the uid back. Idempotent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class UidPool:
    """`count` uids from `base` on. All runners of the host that use these uids must use the same `lock_dir`."""

    def __init__(self, base: int, lock_dir: Path, count: int = UID_COUNT) -> None:
        self._base = base
        self._lock_dir = lock_dir
        self._count = count

    def lease(self) -> UidLease:
        """A uid that nobody else leases and no process has: processes that a dead runner left are killed.

        Raises:
            SandboxError: `base` is 0 or less, all uids are in use, or the lock folder cannot be written.
        """
        if self._base <= 0:
            raise SandboxError(
                "A sandbox never runs as uid 0: set AGENTCONTAINER_SANDBOX_UID_BASE above 10000."
            )
        start = secrets.randbelow(self._count)  # so that a uid is not used again at once
        for step in range(self._count):
            uid = self._base + (start + step) % self._count
            if not _has_account(uid) and (descriptor := self._try_lock(uid)) is not None:
                if procfs.kill_all(lambda uid=uid: procfs.with_uid(uid), KILL_SECONDS):
                    return UidLease(uid, descriptor)
                os.close(descriptor)
        raise SandboxError(f"All {self._count} uids for sandboxes from {self._base} on are in use.")

    def _try_lock(self, uid: int) -> int | None:
        """The descriptor of the uid's locked file; None if another holds the lock. Lock files are never
        removed: a new file of the same name would be a second lock."""
        try:
            self._lock_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = file_lock.open_lock_file(self._lock_dir / f"uid-{uid}")
        except OSError as error:
            raise SandboxError("The folder of uid locks cannot be written.") from error
        if file_lock.try_lock(descriptor):
            return descriptor
        os.close(descriptor)
        return None


def _has_account(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
