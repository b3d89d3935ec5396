"""File locks exclude each other within a process and across processes, and end with their holder."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentcontainer.file_lock import lock, locked, open_lock_file, try_lock, try_locked, unlock

HOLD = """
import sys
from pathlib import Path
from agentcontainer.file_lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_is_held_for_the_block_only(tmp_path: Path) -> None:
    with locked(tmp_path / "lock"), try_locked(tmp_path / "lock") as is_held:
        assert not is_held
    with try_locked(tmp_path / "lock") as is_held:
        assert is_held


def test_a_lock_ends_with_the_process_that_holds_it(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with try_locked(tmp_path / "lock") as is_held:
            assert not is_held
        holder.kill()
        holder.wait()
    with try_locked(tmp_path / "lock") as is_held:
        assert is_held


async def test_a_wait_for_a_lock_ends_with_it_or_can_be_cancelled(tmp_path: Path) -> None:
    first, second = open_lock_file(tmp_path / "lock"), open_lock_file(tmp_path / "lock")
    assert try_lock(first, is_shared=True)
    assert try_lock(second, is_shared=True)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(lock(second), 0.05)
    unlock(first)
    await asyncio.wait_for(lock(second), 5)
    assert not try_lock(first, is_shared=True)
    os.close(second)
    assert try_lock(first)
    os.close(first)


def test_no_link_and_no_missing_file_is_opened(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic"):
        open_lock_file(tmp_path / "link")
    with pytest.raises(FileNotFoundError):
        open_lock_file(tmp_path / "lock", create=False)
