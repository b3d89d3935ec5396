"""Leftovers of dead runners and abandoned sandboxes are removed, and those of live runners are not."""

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcontainer.db import Pool
from agentcontainer.domain.tasks import runners
from agentcontainer.errors import SandboxError
from agentcontainer.runner.cleanup import (
    clean_up_forever,
    dead_runners,
    living_sandboxes,
    remove_dead_runners,
    runner_folder,
)
from agentcontainer.sandbox import procfs
from agentcontainer.sandbox.abandoned import abandoned
from agentcontainer.sandbox.cleanup import clean_up
from agentcontainer.sandbox.contract import Limits
from agentcontainer.sandbox.detect import detect

# Creates and removes a runner's folder all the time, as a runner does.
CHURN = """
import sys
from pathlib import Path
from agentcontainer.runner.cleanup import runner_folder
for number in range(300):
    with runner_folder(Path(sys.argv[1]), f"rnr_{sys.argv[2]}_{number}") as folder:
        (folder / "tsk").mkdir()
        assert (folder / "tsk").is_dir()
        (folder / "tsk").rmdir()
"""


async def test_a_runner_removes_what_a_dead_runner_left(pool: Pool, short_dir: Path) -> None:
    await runners.register(pool, "rnr_dead", "any", "here", 1)
    dead = short_dir / "runners" / "rnr_dead"
    (dead / "tsk_1-1" / "workspace").mkdir(parents=True)
    (dead / "volume.img").touch()
    with runner_folder(short_dir, "rnr_living") as living:
        (living / "tsk_2-1").mkdir()
        assert (dead_runners(short_dir), living_sandboxes(short_dir)) == ([dead], {"tsk_2-1"})
        cleaning = asyncio.create_task(clean_up_forever(pool, short_dir, every_seconds=0.1))
        async with asyncio.timeout(60):
            while not await pool.fetchval("SELECT stopped_at FROM runners"):
                await asyncio.sleep(0.05)
        cleaning.cancel()
        assert not dead.exists()
        assert (living / "tsk_2-1").is_dir()
        (living / "tsk_2-1").rmdir()
    assert dead_runners(short_dir) == []


async def test_what_cannot_be_removed_keeps_nothing_else_from_being_removed(short_dir: Path) -> None:
    stuck, dead = short_dir / "runners" / "rnr_1", short_dir / "runners" / "rnr_2"
    (stuck / "tsk_1-1" / "mounted").mkdir(parents=True)
    dead.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", stuck / "tsk_1-1" / "mounted"], check=True)
    try:
        assert await remove_dead_runners(short_dir) == ["rnr_2"]
    finally:
        subprocess.run(["umount", stuck / "tsk_1-1" / "mounted"], check=True)
    assert await remove_dead_runners(short_dir) == ["rnr_1"]


async def test_clean_up_does_not_disturb_other_runners(short_dir: Path) -> None:
    argv = [sys.executable, "-c", CHURN, str(short_dir)]
    churning = [await asyncio.create_subprocess_exec(*argv, str(number)) for number in range(2)]
    exits = asyncio.gather(*(process.wait() for process in churning))
    removed: list[str] = []
    while not exits.done():
        removed += await remove_dead_runners(short_dir)
        assert dead_runners(short_dir) == []
        await asyncio.sleep(0)
    assert await exits == [0, 0]
    assert removed == []


@pytest.fixture
def sandbox_id() -> Iterator[str]:
    """The id of a sandbox for this test; everything of it is removed afterwards."""
    new_id = f"tsk_{secrets.token_hex(6)}-1"
    yield new_id
    procfs.kill_all(lambda: procfs.with_marker(new_id), 5)
    with_group = detect().group(new_id)
    asyncio.run(with_group.remove())


def start(sandbox_id: str, *, is_orphan: bool) -> "subprocess.Popen[bytes]":
    """Start a process with the marker; an orphan's parent has ended when this returns."""
    marked = ["sh", "-c", "sleep 100; :", procfs.marker(sandbox_id)]
    if not is_orphan:
        return subprocess.Popen(marked)
    parent = subprocess.Popen(["sh", "-c", '"$@" & ', "sh", *marked])
    parent.wait()
    return parent


async def test_an_orphan_is_abandoned_once_it_is_old_and_a_child_never(sandbox_id: str) -> None:
    start(sandbox_id, is_orphan=True)
    child_id = sandbox_id.replace("-1", "-2")
    child = start(child_id, is_orphan=False)
    try:
        hierarchy = detect()
        assert sandbox_id not in abandoned(hierarchy)
        async with asyncio.timeout(30):
            while sandbox_id not in (now := abandoned(hierarchy, min_age_seconds=0)):
                await asyncio.sleep(0.05)
        assert child_id not in now
        assert await clean_up([sandbox_id]) == [sandbox_id]
        assert not procfs.with_marker(sandbox_id)
        assert procfs.with_marker(child_id)
    finally:
        procfs.kill_all(lambda: procfs.with_marker(child_id), 5)
        child.wait()


async def test_a_group_of_which_nothing_else_is_left_is_abandoned_after_a_minute(sandbox_id: str) -> None:
    hierarchy = detect()
    group = hierarchy.group(sandbox_id)
    for _ in range(5):  # another runner on this host may clean it up first
        try:
            group.create(Limits(memory_bytes=2**28, pids=64, cpus=1))
        except SandboxError:
            pytest.fail("this host gives us no control groups")
        assert sandbox_id not in abandoned(hierarchy)
        for file in group.join_files:
            os.utime(file.parent, (1, 1))
        if sandbox_id in abandoned(hierarchy) and await clean_up([sandbox_id]) == [sandbox_id]:
            break
    else:
        pytest.fail("the sandbox was not found or not removed")
    assert sandbox_id not in abandoned(hierarchy)
