"""Workspaces that hold no more than they may: each a file system of its own, in a file beside it.

Only in a mount namespace of our own (namespace.py): however this process dies, its mounts go with it, with a mount
its loop device, and the file lies in the attempt's folder, which the next runner sweeps. Where that cannot be had, a
workspace is a plain folder, and `is_capped` says so: somebody must watch it.
"""

import asyncio
import contextlib
import logging
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from agentcontainer.errors import SandboxError

IMAGE_SUFFIX = ".image"
BLOCK_BYTES = 4096
INODE_BYTES = 256
OWN_INODES = 11  # of ext4
OWN_BYTES = 4 * 1024**2  # bitmaps, the superblock, rounding
MAX_WITHHELD_BYTES = 16 * 1024**2  # ext4 keeps a fiftieth back from everybody, and no more than this
RESTORED_BYTES = 32 * 1024**2  # a workspace that was full comes back, and its agent can go on
RESTORED_INODES = 256
NEARLY_FULL_BYTES = 2 * 1024**2  # ext4 refuses before the last block is taken: it counts roughly
MAX_LOGGED = 300
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
# Nothing of it outlives the process, so nothing is journalled or forced to the disk.
MAKE = ("mke2fs", "-q", "-F", "-t", "ext4", "-b", str(BLOCK_BYTES), "-I", str(INODE_BYTES), "-m", "0")
FEATURES = ("-O", "^has_journal,^resize_inode", "-E", "lazy_itable_init=1,nodiscard")
OPTIONS = "loop,nosuid,nodev,noatime,noinit_itable,nobarrier"

logger = logging.getLogger(__name__)


class DiskFull(Exception):
    """What a task brings along is more than its workspace may hold. `str(error)` is a sentence for its owner."""


@dataclass(frozen=True)
class Room:
    """What a workspace may hold. An inode is a file, a folder or a link, and there is at most one for each 4 KiB."""

    bytes: int
    inodes: int

    def restored(self) -> "Room":
        """The room of a workspace that comes from a checkpoint."""
        return Room(self.bytes + RESTORED_BYTES, self.inodes + RESTORED_INODES)

    @property
    def fault(self) -> str:
        """What to tell whoever wanted more."""
        return f"its workspace may hold {self.bytes} bytes and {self.inodes} files"


class Volumes:
    """Makes workspaces of so much room. `weak_reason` says why they are plain folders, or is None."""

    def __init__(self, room: Room, weak_reason: str | None = "No mount namespace was entered.") -> None:
        self.room = room
        self.weak_reason = weak_reason

    @classmethod
    async def try_out(cls, room: Room, folder: Path, *, has_namespace: bool) -> "Volumes":
        """Finds out by making one in `folder`. `has_namespace`: `namespace.enter` has said yes."""
        if not has_namespace:
            return cls(room, "mounting needs root with CAP_SYS_ADMIN")
        trial = folder / f"volume-{secrets.token_hex(4)}"
        try:
            await _mount(trial, room)
            await remove(trial)
        except SandboxError as error:
            return cls(room, str(error))
        return cls(room, None)

    async def make(self, folder: Path, *, is_restored: bool = False) -> None:
        """Make the empty folder; its parents too. One that cannot be capped now is a plain one.

        Raises:
            SandboxError: the folder cannot be made.
        """
        if self.weak_reason is None:
            try:
                await _mount(folder, self.room.restored() if is_restored else self.room)
            except SandboxError as error:
                logger.warning("a workspace is watched instead of capped: %s", error)
            else:
                return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SandboxError(f"The workspace cannot be made: {error.strerror}.") from error


def is_capped(folder: Path) -> bool:
    """Whether the workspace is a file system of its own."""
    return os.path.ismount(folder)


def is_full(folder: Path) -> bool:
    """Whether a capped workspace has no room left: for another block, or for another file."""
    if not is_capped(folder):
        return False
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize < NEARLY_FULL_BYTES or found.f_favail == 0


async def unmount(folder: Path) -> None:
    """Give up a capped workspace with all that is in it; the empty folder stays. Fine if it is a plain one.

    Raises:
        SandboxError: it cannot be given up.
    """
    if not is_capped(folder):
        return
    # The file first: or all that was written would still be brought to the disk.
    _image(folder).unlink(missing_ok=True)
    await _run("umount", "--no-mtab", "--no-canonicalize", "--lazy", "--", str(folder))


async def remove(folder: Path) -> None:
    """`unmount`, and remove the empty folder."""
    await unmount(folder)
    folder.rmdir()


def _image(folder: Path) -> Path:
    return folder.with_name(folder.name + IMAGE_SUFFIX)


async def _mount(folder: Path, room: Room) -> None:
    image = _image(folder)
    # A file takes a block, if it holds anything: more inodes than blocks would only be larger tables.
    inodes = min(room.inodes, room.bytes // BLOCK_BYTES) + OWN_INODES
    withheld = min(room.bytes // 50, MAX_WITHHELD_BYTES)
    size = room.bytes + withheld + inodes * INODE_BYTES + OWN_BYTES
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with image.open("xb") as file:
            file.truncate(size)
    except OSError as error:
        raise SandboxError(f"A volume's file cannot be made: {error.strerror}.") from error
    try:
        await _run(*MAKE, "-N", str(inodes), *FEATURES, str(image))
        await _run("mount", "--no-mtab", "-t", "ext4", "-o", OPTIONS, "--", str(image), str(folder))
        (folder / "lost+found").rmdir()
    except BaseException:
        with contextlib.suppress(SandboxError):
            await unmount(folder)
        image.unlink(missing_ok=True)
        raise


async def _run(*command: str) -> None:
    """Cancelled, it ends the command first: nothing is mounted behind our back."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=ENVIRONMENT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError:
        raise SandboxError(f"{command[0]} is missing. Install it: apt install e2fsprogs mount") from None
    ending = asyncio.ensure_future(process.communicate())
    try:
        _, stderr = await asyncio.shield(ending)
    except asyncio.CancelledError:
        await ending
        raise
    if process.returncode != 0:
        logger.warning("%s: %s", command[0], stderr.decode(errors="replace").strip()[:MAX_LOGGED])
        raise SandboxError(f"A volume was refused by {command[0]} (exit code {process.returncode}).")
