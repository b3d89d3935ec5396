"""Volumes: workspaces with a size limit.

Each is an ext4 file system in an image file beside it. They are mounted in a mount namespace of our own
(namespace.py) only. When this process dies, its mounts and their loop devices end with it, and the next
runner removes the image files. Without such a namespace a workspace is a plain folder, `is_capped` is false,
and its size has to be watched (runner/workspace/disk_usage.py).
"""

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from agentcontainer.cancellation import to_its_end
from agentcontainer.errors import SandboxError

IMAGE_SUFFIX = ".image"
BLOCK_BYTES = 4096
INODE_BYTES = 256
OWN_INODES = 11  # that ext4 uses itself
OWN_BYTES = 4 * 1024**2  # bitmaps, the superblock, rounding
MAX_RESERVED_BYTES = 16 * 1024**2  # ext4 reserves 1/50 of its blocks, at most this much
RESTORED_BYTES = 32 * 1024**2  # extra room in a restored workspace: one that was full must be usable
RESTORED_INODES = 256
NEARLY_FULL_BYTES = 2 * 1024**2  # ext4 counts free blocks roughly and refuses before the last one
MAX_LOGGED = 300
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
# No journal and no write barriers: the file system does not outlive the process.
MAKE = ("mke2fs", "-q", "-F", "-t", "ext4", "-b", str(BLOCK_BYTES), "-I", str(INODE_BYTES), "-m", "0")
FEATURES = ("-O", "^has_journal,^resize_inode", "-E", "lazy_itable_init=1,nodiscard")
OPTIONS = "loop,nosuid,nodev,noatime,noinit_itable,nobarrier"

logger = logging.getLogger(__name__)


class DiskFull(Exception):
    """A task's inputs or checkpoint need more room than its workspace has. `str(error)` is a sentence for its
    owner."""


@dataclass(frozen=True)
class Room:
    """The size limit of a workspace. Each file, folder and link is an inode; there is at most one for each 4
    KiB."""

    bytes: int
    inodes: int

    def restored(self) -> "Room":
        """The limit of a workspace that is restored from a checkpoint."""
        return Room(self.bytes + RESTORED_BYTES, self.inodes + RESTORED_INODES)

    @property
    def fault(self) -> str:
        """The limit, as the end of a sentence."""
        return f"its workspace may hold {self.bytes} bytes and {self.inodes} files"


class Volumes:
    """Makes workspaces with the size limit `room`. `weak_reason`: why they are plain folders instead of volumes;
    None: they are volumes."""

    def __init__(self, room: Room, weak_reason: str | None = "No mount namespace was entered.") -> None:
        self.room = room
        self.weak_reason = weak_reason

    @classmethod
    async def try_out(cls, room: Room, folder: Path, *, has_namespace: bool) -> "Volumes":
        """Find out whether volumes work, by making one in `folder`. `has_namespace`: `namespace.enter`
        succeeded."""
        if not has_namespace:
            return cls(room, "mounting needs root with CAP_SYS_ADMIN")
        trial = folder / f"volume-{secrets.token_hex(4)}"  # holds the image, too, so that a cleanup finds all
        try:
            await _mount(trial / "workspace", room)
            await remove(trial / "workspace")
        except SandboxError as error:
            return cls(room, str(error))
        finally:
            shutil.rmtree(trial, ignore_errors=True)
        return cls(room, None)

    async def make(self, folder: Path, *, is_restored: bool = False) -> None:
        """Make the empty workspace and its parent folders. If no volume can be made now, it is a plain
        folder.

        Raises:
            SandboxError: the folder cannot be made.
        """
        if self.weak_reason is None:
            try:
                await _mount(folder, self.room.restored() if is_restored else self.room)
            except SandboxError as error:
                logger.warning("a workspace is a plain folder, whose size is only watched: %s", error)
            else:
                return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SandboxError(f"The workspace cannot be made: {error.strerror}.") from error


def is_capped(folder: Path) -> bool:
    """Whether the workspace is a volume."""
    return os.path.ismount(folder)


def is_full(folder: Path) -> bool:
    """Whether a volume has no room for another block, or for another file. False for a plain folder."""
    if not is_capped(folder):
        return False
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize < NEARLY_FULL_BYTES or status.f_favail == 0


async def unmount(folder: Path) -> None:
    """Unmount a volume and remove its image file; the empty folder stays. Does nothing to a plain folder.

    Raises:
        SandboxError: it cannot be unmounted.
    """
    if not is_capped(folder):
        return
    # The file first: otherwise the kernel would still write all dirty pages to the disk.
    _image(folder).unlink(missing_ok=True)
    await _run("umount", "--no-mtab", "--no-canonicalize", "--lazy", "--", str(folder))


async def remove(folder: Path) -> None:
    """Unmount a volume, and remove its empty folder."""
    await unmount(folder)
    folder.rmdir()


def _image(folder: Path) -> Path:
    return folder.with_name(folder.name + IMAGE_SUFFIX)


async def _mount(folder: Path, room: Room) -> None:
    image = _image(folder)
    # A file that is not empty takes a block: more inodes than blocks would be useless.
    inodes = min(room.inodes, room.bytes // BLOCK_BYTES) + OWN_INODES
    reserved = min(room.bytes // 50, MAX_RESERVED_BYTES)
    size = room.bytes + reserved + inodes * INODE_BYTES + OWN_BYTES
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
    """Run a command. If cancelled, it still waits for the command: a mount must not appear after the cancel."""
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
    _, stderr = await to_its_end(process.communicate())
    if process.returncode != 0:
        logger.warning("%s: %s", command[0], stderr.decode(errors="replace").strip()[:MAX_LOGGED])
        raise SandboxError(f"A volume was refused by {command[0]} (exit code {process.returncode}).")
