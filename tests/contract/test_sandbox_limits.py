"""Memory, processes and CPU are limited by control groups; and the limits without control groups."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from agentcontainer.sandbox import procfs
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.detect import PARENT, read_mounts, weak_limits_reason
from agentcontainer.sandbox.limits import Controller, Hierarchy
from tests.contract.sandbox_bed import LIMITS, Bed, Outcome
from tests.uids import UID_BASE

FORK_BOMB = """
import os, time
children = 0
try:
    while children < 1000:
        if os.fork() == 0: time.sleep(1000)
        children += 1
except OSError as e: print(children, e.strerror)
"""
HOG = "data = []\nwhile True: data.append(bytearray(16 * 2**20))"

capped = pytest.mark.skipif(weak_limits_reason() is not None, reason="this host gives us no control groups")


@pytest.mark.parametrize("is_weak", [False, True])
async def test_a_fork_bomb_is_contained(bed: Bed, is_weak: bool) -> None:
    outcome = await bed.python(FORK_BOMB, sandboxes=bed.weak() if is_weak else None)
    children, _, reason = outcome.out.strip().partition(" ")
    assert reason == "Resource temporarily unavailable"
    assert LIMITS.pids - 8 < int(children) < LIMITS.pids


@capped
async def test_memory_above_the_limit_kills_and_is_reported(bed: Bed) -> None:
    outcome = await bed.python(HOG)
    assert (outcome.code, outcome.is_out_of_memory) == (137, True)


@capped
async def test_a_child_killed_for_memory_leaves_the_payload_alive(bed: Bed) -> None:
    script = f"import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', '''{HOG}''']).returncode)"
    outcome = await bed.python(script)
    assert (outcome.code, outcome.out, outcome.is_out_of_memory) == (0, "-9\n", True)


@capped
async def test_files_in_tmp_count_as_memory(bed: Bed) -> None:
    limits = replace(LIMITS, memory_bytes=48 * 1024**2, tmp_bytes=256 * 1024**2)
    outcome = await bed.run("dd", "if=/dev/zero", "of=/tmp/x", "bs=1M", spec=bed.spec(limits=limits))
    assert outcome.is_out_of_memory


@capped
async def test_cpu_time_is_limited_to_the_quota(bed: Bed) -> None:
    script = """
import os, resource, time
end = time.monotonic() + 1.2
children = [os.fork() for _ in range(1)]
while time.monotonic() < end: pass
if children[0]:
    os.wait()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(sum(one.ru_utime + one.ru_stime for one in used))
"""
    outcome = await bed.python(script, spec=bed.spec(limits=replace(LIMITS, cpus=0.4)))
    assert 0.1 < float(outcome.out) < 0.75  # of the 2.4 that two busy loops would take


async def test_without_control_groups_the_operator_is_told_and_nothing_is_left(bed: Bed) -> None:
    weak = bed.weak()
    assert weak.weak_limits_reason is not None
    assert "memory, pids, cpu" in weak.weak_limits_reason
    sandbox = await bed.start(
        ["sh", "-c", "for i in $(seq 20); do setsid sleep 1000 & done; echo up; wait"], sandboxes=weak
    )
    assert await sandbox.stdout.readline() == b"up\n"
    await sandbox.destroy()
    assert not [pid for pid in _running_as(sandbox.host_uid) if "sleep 1000" in _command(pid)]


async def test_a_group_of_cgroups_v2_holds_the_sandbox(bed: Bed) -> None:
    """With the controllers that this host has in v2, perhaps none; joining, killing and removing are real."""
    mounts = [mount for mount in read_mounts(Path("/proc/self/mountinfo").read_text()) if mount.version == 2]
    if not mounts or os.geteuid() != 0:
        pytest.skip("no cgroup2 mount we may write: a host of v1 alone, or not root")
    parent = mounts[0].point / PARENT
    parent.mkdir(exist_ok=True)
    driver = Bubblewrap(UID_BASE, bed.folder / "locks", Hierarchy((Controller("none", 2, parent),)))
    spec = bed.spec()
    sandbox = await bed.start(
        ["sh", "-c", "setsid sleep 1000 & setsid sleep 1000 & echo up; wait"], spec, driver
    )
    assert await sandbox.stdout.readline() == b"up\n"
    pids = {int(pid) for pid in (parent / spec.id / "cgroup.procs").read_text().split()}
    assert len(pids) == 5  # bwrap twice, sh, two sleeps
    await sandbox.destroy()
    assert not (parent / spec.id).exists()
    assert not [pid for pid in pids if _command(pid)]


@capped
async def test_limits_hold_for_each_sandbox_alone(bed: Bed) -> None:
    outcomes: list[Outcome] = await asyncio.gather(bed.python(HOG), bed.run("sh", "-c", "sleep 1; echo fine"))
    assert [outcome.is_out_of_memory for outcome in outcomes] == [True, False]
    assert outcomes[1].out == "fine\n"


def _running_as(uid: int) -> list[int]:
    return list(procfs.with_uid(uid))


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
