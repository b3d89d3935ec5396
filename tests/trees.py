"""Creates and describes trees of files of every kind. Standard library only: other users run it too."""

import hashlib
import os
import stat
from dataclasses import dataclass, field
from typing import Any

BLOCK = 64 * 1024


@dataclass(frozen=True)
class Node:
    """One entry to make. `kind`: file, folder, link, fifo, hard (another name of the file at `target`), sparse (a
    hole of `hole` bytes before the content)."""

    kind: str
    content: bytes = b""
    mode: int = 0o644
    mtime_ns: int = 1_700_000_000_123_456_789
    target: bytes = b""
    hole: int = 0
    children: dict[bytes, "Node"] = field(default_factory=dict)


def lay(folder: bytes, children: dict[bytes, Node], uid: int) -> None:
    """Make the entries in `folder`, each owned by `uid`."""
    for name, node in children.items():
        path = folder + b"/" + name
        match node.kind:
            case "folder":
                os.mkdir(path)
                lay(path, node.children, uid)
            case "link":
                os.symlink(node.target, path)
            case "fifo":
                os.mkfifo(path)
            case "hard":
                os.link(folder + b"/" + node.target, path, follow_symlinks=False)
                continue
            case _:
                with open(path, "wb") as file:
                    file.seek(node.hole)
                    file.write(node.content)
                    file.truncate(node.hole + len(node.content))
        if os.geteuid() == 0:
            os.lchown(path, uid, uid)
        if node.kind != "link":
            os.chmod(path, node.mode)
        os.utime(path, ns=(node.mtime_ns, node.mtime_ns), follow_symlinks=False)


def snapshot(folder: bytes) -> dict[bytes, Any]:
    """Everything a checkpoint must restore: path → kind and mode, time, size, content, link target, hard links."""
    entries: dict[bytes, Any] = {}
    first_names: dict[int, bytes] = {}

    def look(path: bytes, inside: bytes) -> None:
        status = os.lstat(path)
        facts: list[Any] = [oct(status.st_mode), status.st_mtime_ns]
        if stat.S_ISDIR(status.st_mode):
            for name in sorted(os.listdir(path)):
                look(path + b"/" + name, inside + b"/" + name)
        else:
            facts += [status.st_size, status.st_nlink, first_names.setdefault(status.st_ino, inside)]
        if stat.S_ISLNK(status.st_mode):
            facts.append(os.readlink(path))
        if stat.S_ISREG(status.st_mode):
            facts.append(_digest(path))
            facts.append(status.st_blocks * 512 < status.st_size - 4096)  # has holes
        entries[inside] = facts

    look(folder, b".")
    return entries


def _digest(path: bytes) -> str:
    """Digest of the nonzero blocks, so that a hole of terabytes takes no time."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        end = 0
        while (start := _data_from(file.fileno(), end)) is not None:
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            for offset in range(start // BLOCK * BLOCK, end, BLOCK):
                block = os.pread(file.fileno(), BLOCK, offset)
                if block.strip(b"\0"):
                    digest.update(b"%d:" % offset + block)
    return digest.hexdigest()


def _data_from(descriptor: int, offset: int) -> int | None:
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError:  # no data after the offset
        return None


def odd() -> dict[bytes, Node]:
    """Unusual files of every kind, which an archive could lose."""
    long = b"n" * 200
    return {
        b"plain.txt": Node("file", b"hello\n"),
        b"empty": Node("file"),
        b"big": Node("file", bytes(range(256)) * 12_345),
        b"closed": Node("file", b"closed", mode=0),
        b"setuid": Node("file", b"#!/bin/sh\n", mode=0o4755),
        b"setgid": Node("file", b"x", mode=0o2711),
        b"future": Node("file", b"x", mtime_ns=4_000_000_000_000_000_001),
        b"past": Node("file", b"x", mtime_ns=-86_400_000_000_001),
        b"sparse": Node("sparse", b"the end", hole=20 * 1024**3),
        b"all-hole": Node("sparse", b"", hole=10 * 1024**2),
        b"line\nbreak": Node("file", b"1"),
        b"tar: Exiting \\n\t\"quote' *?[": Node("file", b"2"),
        b"\xff\xfe not utf-8": Node("file", b"3"),
        "grüße 🌍".encode(): Node("file", b"4"),
        b"--checkpoint-action=exec=sh": Node("file", b"5"),
        b" space ": Node("file", b"6"),
        b"dangling": Node("link", target=b"nowhere"),
        b"absolute": Node("link", target=b"/etc/passwd"),
        b"upwards": Node("link", target=b"../../../../etc/passwd"),
        b"long-target": Node("link", target=b"/" + b"t" * 4000),
        b"odd-target": Node("link", target=b"\xff\n"),
        b"to-link": Node("hard", target=b"absolute"),
        b"to-plain": Node("hard", target=b"plain.txt"),
        b"zz-also-plain": Node("hard", target=b"plain.txt"),
        b"pipe": Node("fifo", mode=0o600),
        b"no-files": Node("folder", mode=0o755, mtime_ns=1_000_000_000_000_000_001),
        b"sticky": Node("folder", mode=0o1777),
        b"setgid-folder": Node("folder", mode=0o2755, children={b"in": Node("file", b"x")}),
        b"read-only": Node("folder", mode=0o555, children={b"in": Node("file", b"x", mode=0o444)}),
        b"closed-folder": Node(
            "folder", mode=0, children={b"in": Node("folder", mode=0, children={b"f": Node("file", b"deep")})}
        ),
        long: Node("folder", mode=0o755, children={long: Node("folder", mode=0o755, children={
            long: Node("file", b"long"), b"again": Node("hard", target=long),
            long[:-3] + b"\xff\n": Node("sparse", b"x", hole=5 * 1024**2),
        })}),
    }  # fmt: skip
