"""Helper sandboxes, which access a workspace beside its agent, and freezing the agent meanwhile."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agentcontainer.sandbox import procfs
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.cleanup import clean_up, leftovers
from agentcontainer.sandbox.contract import Spec
from agentcontainer.sandbox.detect import PARENT, detect, read_mounts
from agentcontainer.sandbox.limits import Controller, Hierarchy
from tests import control_groups
from tests.contract.sandbox_bed import Bed
from tests.uids import UID_BASE

COUNT = "n=0; while :; do n=$((n+1)); echo $n > new; mv new count; done"
PROBE = """
import json, os, sys
seen = {"in /": sorted(os.listdir("/")), "closed": open("/workspace/d/f").read()}
for line in open("/proc/self/status"):
    if line.startswith("Cap"): seen[line.split(":")[0]] = int(line.split()[1], 16)
did = seen["did"] = []
for path in ("/workspace/x", "/workspace/d/f", "/usr/x", "/etc/passwd", "/proc/sys/kernel/core_pattern", "/x"):
    try: open(path, "a").write("1"); did.append("write " + path)
    except OSError: pass
for path in ("/etc/shadow", "/root", "/run", sys.argv[1]):
    try: os.stat(path); did.append("see " + path)
    except OSError: pass
calls = dict(setuid=lambda: os.setuid(1), chown=lambda: os.chown("/workspace/x", 1, 1),
             kill=lambda: os.kill(int(sys.argv[2]), 9), chroot=lambda: os.chroot("/workspace"))
for name, call in calls.items():
    try: call(); did.append(name)
    except OSError: pass
print(json.dumps(seen))
"""
CAPABILITIES = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}
FILE_ACCESS = 1 << 1 | 1 << 3 | 1 << 4  # DAC_OVERRIDE, FOWNER, FSETID


def helper_of(bed: Bed, agent: Spec, *, is_read_only: bool = False) -> Spec:
    name = f"{agent.id}-helper"
    bed.ids.append(name)
    return replace(agent, id=name, is_helper=True, is_read_only=is_read_only, cwd="/")


@pytest.mark.parametrize("is_read_only", [True, False])
async def test_a_helper_passes_over_modes_in_its_workspace_and_has_no_other_power(
    bed: Bed, is_read_only: bool
) -> None:
    spec = bed.spec()
    command = "mkdir d; echo inside > d/f; chmod 0 d/f d; echo up; sleep 1000"
    agent = await bed.start(["sh", "-c", command], spec)
    assert await agent.stdout.readline() == b"up\n"
    argv = ["/usr/bin/python3", "-c", PROBE, str(bed.folder), str(os.getpid())]
    helper = await bed.sandboxes.start(helper_of(bed, spec, is_read_only=is_read_only), argv, agent.lease)
    bed.started.append(helper)
    assert helper.host_uid == agent.host_uid != 0
    report = json.loads(await helper.stdout.read())
    assert report["closed"] == "inside\n"
    assert report["in /"] == [
        *("bin", "dev", "etc", "lib", "lib64", "proc", "sbin", "tmp", "usr", "var", "workspace"),
    ]
    assert {name: report[name] for name in CAPABILITIES} == dict.fromkeys(CAPABILITIES, FILE_ACCESS)
    assert report["did"] == ([] if is_read_only else ["write /workspace/x", "write /workspace/d/f"])
    await agent.destroy()


@pytest.mark.parametrize("is_weak", [False, True])
async def test_a_helper_beside_an_agent_ends_alone(bed: Bed, is_weak: bool) -> None:
    driver, spec = bed.weak() if is_weak else bed.sandboxes, bed.spec()
    agent = await bed.start(["cat"], spec, driver)
    helper = await driver.start(helper_of(bed, spec), ["sleep", "1000"], agent.lease)
    await helper.destroy()
    agent.stdin.write(b"still there\n")
    assert await agent.stdout.readline() == b"still there\n"
    other = await driver.start(helper_of(bed, spec), ["sleep", "1000"], agent.lease)
    await agent.destroy()
    assert is_weak or procfs.with_marker(other.id)
    await other.destroy()
    assert not procfs.with_marker(other.id)


async def test_a_workspace_with_the_right_owner_is_not_changed_again(bed: Bed) -> None:
    lease = await bed.sandboxes.lease()
    spec, again = bed.spec(), bed.spec()
    first = await bed.sandboxes.start(spec, ["sh", "-c", "echo x > f; chmod 4755 f"], lease)
    assert (await first.wait()).code == 0
    await first.destroy()
    spec.workspace.rename(again.root / "other")
    again.workspace.rmdir()
    (again.root / "other").rename(again.workspace)
    second = await bed.sandboxes.start(again, ["stat", "-c", "%a %U", "f"], lease)
    assert await second.stdout.read() == b"4755 agent\n"
    await second.destroy()
    if lease is not None:
        assert second.host_uid == lease.uid
        lease.release()


def _freezers(bed: Bed) -> dict[str, Bubblewrap]:
    """A driver for each way to freeze processes that this host offers."""
    drivers: dict[str, Bubblewrap] = {}
    if detect().has("freezer"):
        drivers["v1"] = bed.sandboxes
    mounts = [mount for mount in read_mounts(Path("/proc/self/mountinfo").read_text()) if mount.version == 2]
    if mounts and os.geteuid() == 0:
        parent = mounts[0].point / PARENT
        parent.mkdir(exist_ok=True)
        hierarchy = Hierarchy((Controller("none", 2, parent),))
        drivers["v2"] = Bubblewrap(UID_BASE, bed.folder / "locks", hierarchy)
    return drivers


@pytest.fixture(params=["v1", "v2"])
def freezing(bed: Bed, request: pytest.FixtureRequest) -> Bubblewrap:
    drivers = _freezers(bed)
    if request.param not in drivers:
        pytest.skip("this host has no such freezer, or not for us")
    return drivers[request.param]


async def _count(spec: Spec) -> int:
    async with asyncio.timeout(30):
        while not (spec.workspace / "count").exists():
            await asyncio.sleep(0.02)
    return int((spec.workspace / "count").read_text())


async def _counts_on(spec: Spec, count: int) -> None:
    async with asyncio.timeout(30):
        while await _count(spec) <= count:
            await asyncio.sleep(0.02)


async def test_a_frozen_sandbox_stops_and_then_continues(bed: Bed, freezing: Bubblewrap) -> None:
    spec = bed.spec()
    sandbox = await bed.start(["sh", "-c", f"({COUNT}) & cat"], spec, freezing)
    await _count(spec)
    for _ in range(3):
        async with sandbox.frozen() as is_frozen:
            assert is_frozen
            count = await _count(spec)
            sandbox.stdin.write(b"hello\n")
            await asyncio.sleep(0.1)
            assert await _count(spec) == count
        assert await asyncio.wait_for(sandbox.stdout.readline(), 30) == b"hello\n"
        await _counts_on(spec, count)


async def test_a_block_that_fails_or_is_cancelled_thaws(bed: Bed, freezing: Bubblewrap) -> None:
    sandbox = await bed.start(["cat"], sandboxes=freezing)
    with pytest.raises(ValueError, match="fault"):
        async with sandbox.frozen():
            raise ValueError("fault")

    async def run_helper() -> None:
        async with sandbox.frozen():
            await asyncio.sleep(1000)

    for milliseconds in (0, 1, 50):
        holding = asyncio.ensure_future(run_helper())
        await asyncio.sleep(milliseconds / 1000)
        holding.cancel()
        await asyncio.wait([holding])
        sandbox.stdin.write(b"hello\n")
        assert await asyncio.wait_for(sandbox.stdout.readline(), 30) == b"hello\n"


async def test_a_frozen_sandbox_can_be_destroyed_and_is_not_frozen_after(
    bed: Bed, freezing: Bubblewrap
) -> None:
    spec = bed.spec()
    sandbox = await bed.start(["sh", "-c", "for i in $(seq 20); do sleep 1000 & done; wait"], spec, freezing)
    async with sandbox.frozen():
        await asyncio.wait_for(sandbox.destroy(), 10)
        async with sandbox.frozen() as is_frozen:
            assert not is_frozen
    assert procfs.with_marker(spec.id) == set()
    assert not control_groups.named(spec.id)


async def test_without_a_freezer_the_sandbox_keeps_running(bed: Bed) -> None:
    spec = bed.spec()
    sandbox = await bed.start(["sh", "-c", COUNT], spec, bed.weak())
    async with sandbox.frozen() as is_frozen:
        assert not is_frozen
        count = await _count(spec)
        await _counts_on(spec, count)


RUNNER = """
import asyncio, sys
from pathlib import Path
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import Limits, Spec

async def main(sandbox_id, root, runtime, locks, uid_base):
    driver = Bubblewrap(int(uid_base), Path(locks))
    spec = Spec(sandbox_id, Path(root), Path(runtime), Limits(2**28, 64, 1), {"PATH": "/usr/bin:/bin"})
    sandbox = await driver.start(spec, ["sh", "-c", "for i in $(seq 20); do sleep 4243 & done; wait"])
    async with sandbox.frozen() as is_frozen:
        print(is_frozen, flush=True)
        await asyncio.sleep(1000)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_sandbox_frozen_by_a_killed_runner_is_removed(bed: Bed) -> None:
    spec = bed.spec()
    places = [spec.id, str(spec.root), str(spec.runtime), str(bed.folder / "locks"), str(UID_BASE)]
    with subprocess.Popen(
        [sys.executable, "-c", RUNNER, *places], stdout=subprocess.PIPE, text=True
    ) as runner:
        try:
            assert runner.stdout is not None
            is_frozen = runner.stdout.readline()
            assert is_frozen == f"{bool(_freezers(bed))}\n"
        finally:
            runner.kill()
    await asyncio.sleep(0.1)
    assert await asyncio.wait_for(clean_up([spec.id]), 30) == [spec.id] or not _freezers(bed)
    assert procfs.with_marker(spec.id) == set()
    assert spec.id not in leftovers()
