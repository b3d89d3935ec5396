"""Writing into a hostile workspace: the platform's files are placed, and nothing outside of it is touched."""

import asyncio
import os
import secrets
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agentcontainer.runner.workspace.safe_open import Blocked, open_safely, place_new, write_file
from tests.ordinary_user import as_ordinary_user, home_in

OWNER = 930_001  # an unused uid; only root can create files for it


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("the host's")
    return tmp_path / "workspace"


def is_unharmed(workspace: Path) -> bool:
    outside = workspace.parent / "outside"
    return os.listdir(outside) == ["secret"] and (outside / "secret").read_text() == "the host's"


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_file_is_written_with_its_folders_owner_and_mode(workspace: Path) -> None:
    uid = OWNER if os.geteuid() == 0 else None
    await write_file(workspace, "task/new/TASK.md", chunks(b"one ", b"two"), uid, mode=0o640)
    file = workspace / "task/new/TASK.md"
    assert file.read_text() == "one two"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    owners = {path.stat().st_uid for path in (file, file.parent, file.parent.parent)}
    assert owners == {os.geteuid() if uid is None else uid}
    assert workspace.stat().st_uid == os.geteuid()
    await write_file(workspace, "task/new/TASK.md", b"three", uid)
    assert file.read_text() == "three"
    assert os.listdir(file.parent) == ["TASK.md"]


async def test_a_reader_never_sees_half_a_file(workspace: Path) -> None:
    (workspace / "f").write_text("old")

    async def content() -> AsyncIterator[bytes]:
        yield b"ne"
        assert (workspace / "f").read_text() == "old"
        yield b"w"

    await write_file(workspace, "f", content())
    assert (workspace / "f").read_text() == "new"


async def test_an_interrupted_write_keeps_the_old_content(workspace: Path) -> None:
    (workspace / "f").write_text("old")

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError):
        await write_file(workspace, "f", broken())
    with pytest.raises(RuntimeError):
        await place_new(workspace, "", "g", broken())
    assert os.listdir(workspace) == ["f"]
    assert (workspace / "f").read_text() == "old"


TRICKS: dict[str, Callable[[Path, Path], object]] = {
    "a link to a file": lambda path, outside: path.symlink_to(outside / "secret"),
    "a link to a folder": lambda path, outside: path.symlink_to(outside),
    "a relative link": lambda path, outside: path.symlink_to("../outside/secret"),
    "a dangling link": lambda path, outside: path.symlink_to(outside / "new"),
    "a link to itself": lambda path, outside: path.symlink_to(path),
    "a magic link": lambda path, outside: path.symlink_to("/proc/self/cwd"),
    "a FIFO": lambda path, outside: os.mkfifo(path),
    "a foreign hard link": lambda path, outside: os.link(outside / "secret", path),
    "a file": lambda path, outside: path.write_text("the agent's"),
    "nothing": lambda path, outside: None,
}


@pytest.mark.parametrize("trick", TRICKS)
async def test_an_existing_entry_is_replaced_and_not_followed(workspace: Path, trick: str) -> None:
    for place in ("in-place-of-the-file", "task", "task2"):
        TRICKS[trick](workspace / place, workspace.parent / "outside")
    await write_file(workspace, "in-place-of-the-file", b"ours")
    await write_file(workspace, "task/below/TASK.md", b"ours")
    assert await place_new(workspace, "task2", "TASK.md", b"ours") == "TASK.md"
    for path in ("in-place-of-the-file", "task/below/TASK.md", "task2/TASK.md"):
        status = (workspace / path).lstat()
        assert stat.S_ISREG(status.st_mode) and status.st_nlink == 1
        assert (workspace / path).read_text() == "ours"
    assert is_unharmed(workspace)


@pytest.mark.parametrize("trick", [trick for trick in TRICKS if trick != "nothing"])
async def test_a_new_file_never_replaces_another(workspace: Path, trick: str) -> None:
    existing = workspace / "data.csv"
    TRICKS[trick](existing, workspace.parent / "outside")
    before = existing.lstat()
    names = [await place_new(workspace, ".", "data.csv", chunks(b"a", b"b")) for _ in range(2)]
    assert names == ["data (2).csv", "data (3).csv"]
    assert (existing.lstat().st_ino, existing.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert (workspace / "data (3).csv").read_text() == "ab"
    assert sorted(os.listdir(workspace)) == ["data (2).csv", "data (3).csv", "data.csv"]
    assert is_unharmed(workspace)


async def test_a_folder_where_a_file_must_be_is_moved_aside_whole(workspace: Path) -> None:
    (workspace / "TASK.md").mkdir()
    (workspace / "TASK.md/work").write_text("the agent's")
    (workspace / "TASK (2).md").mkdir()
    await write_file(workspace, "TASK.md", b"ours")
    assert (workspace / "TASK.md").read_text() == "ours"
    assert (workspace / "TASK (3).md/work").read_text() == "the agent's"
    assert sorted(os.listdir(workspace)) == ["TASK (2).md", "TASK (3).md", "TASK.md"]


@pytest.mark.parametrize(
    ("name", "ending"), [("ü" * 125 + ".txt", " (2).txt"), ("a." + "b" * 253, " (2)")], ids=["name", "suffix"]
)
async def test_the_longest_names_can_be_made_distinct(workspace: Path, name: str, ending: str) -> None:
    assert await place_new(workspace, "", name, b"1") == name
    second = await place_new(workspace, "", name, b"2")
    assert second.endswith(ending) and len(second.encode()) <= 255
    assert (workspace / second).read_bytes() == b"2"


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/x", "a\0b", "", ".", "/"])
async def test_a_path_outside_the_workspace_is_refused(workspace: Path, path: str) -> None:
    with pytest.raises(ValueError):
        await write_file(workspace, path, b"x")
    with pytest.raises(ValueError):
        await place_new(workspace, "", path, b"x")
    assert os.listdir(workspace) == []


async def test_swapping_folders_and_links_never_leads_outside(workspace: Path) -> None:
    """A race with a thread that makes `task` a folder, a link out, a file, a link out, and so on."""
    outside, task, spare = workspace.parent / "outside", workspace / "task", workspace / "spare"
    swaps = 0
    is_over = threading.Event()

    def agent() -> None:
        nonlocal swaps
        while not is_over.is_set():
            for step in (
                lambda: os.rename(task, spare / secrets.token_hex(8)),
                lambda: task.symlink_to(outside),
                lambda: os.unlink(task),
                lambda: task.write_text("a file"),
                lambda: os.unlink(task),
                lambda: task.mkdir(),
                lambda: (task / "deep").symlink_to(outside),
            ):
                try:
                    step()
                except OSError:
                    continue
            swaps += 1

    spare.mkdir()
    thread = threading.Thread(target=agent)
    thread.start()
    placed = blocked = 0
    try:
        while placed + blocked < 150 or swaps < 150:
            try:
                await write_file(workspace, "task/deep/TASK.md", b"ours")
                await place_new(workspace, "task/deep", "data.csv", chunks(b"ours"))
                placed += 1
            except Blocked:
                blocked += 1
            await asyncio.sleep(0)
    finally:
        is_over.set()
        thread.join()
    assert placed > 0
    assert is_unharmed(workspace)
    await write_file(workspace, "task/deep/TASK.md", b"ours")
    assert (task / "deep/TASK.md").read_text() == "ours"


def test_a_mount_in_the_workspace_is_not_entered() -> None:
    """`/` serves as the workspace, because /proc is a mount in it."""
    top = os.open("/", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with pytest.raises(OSError, match="cross-device"):
            open_safely(top, "proc/version")
    finally:
        os.close(top)


AS_ORDINARY_USER = """
import asyncio, os, sys
from pathlib import Path
from agentcontainer.runner.workspace.safe_open import place_new, write_file
workspace = Path(sys.argv[1]) / "workspace"
(workspace / "task/deep").mkdir(parents=True)
for path, mode in (("task/deep", 0o500), ("task", 0), ("", 0)): (workspace / path).chmod(mode)
asyncio.run(write_file(workspace, "task/deep/TASK.md", b"ours"))
print(os.geteuid(), (workspace / "task/deep/TASK.md").read_text(), asyncio.run(place_new(workspace, "task", "a", b"")))
"""


def test_an_ordinary_user_opens_folders_that_its_agent_closed(short_dir: Path) -> None:
    """The agent has the runner's uid; root does not need this."""
    argv = [sys.executable, "-c", AS_ORDINARY_USER]
    argv = (
        as_ordinary_user([*argv, str(home_in(short_dir))]) if os.geteuid() == 0 else [*argv, str(short_dir)]
    )
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/")
    assert done.stdout.split()[1:] == ["ours", "a"], done.stderr
    assert done.stdout.split()[0] != "0"
