"""The size limit of workspaces: volumes for root, polled folders for other users.

A process of its own does it, as a runner would: its mounts must be its own, and it can be killed.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ordinary_user import as_ordinary_user, home_in
from tests.uids import UID_BASE

LOOPS = Path("/sys/block")
COMMON = """
import asyncio, json, os, sys
from pathlib import Path
from agentcontainer.sandbox import namespace, volume
has_namespace = namespace.enter()
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.checkpoints.model import Checkpoint
from agentcontainer.runner.workspace import safe_open, folders
from agentcontainer.runner.workspace.checkpoint import CheckpointStore
from agentcontainer.runner.workspace.disk_usage import DiskWatch
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import Limits, Spec
from agentcontainer.sandbox.volume import DiskFull, Room, Volumes

home, uid_base = Path(sys.argv[1]), int(sys.argv[2])
limits = Limits(2**28, 64, 2)
driver = Bubblewrap(uid_base, home / "locks")
for folder in ("runner", "runtime"): (home / folder).mkdir()

async def start(volumes, name, *argv, lease=None):
    root = home / "runner" / f"{name}-{os.getpid()}"
    (root / "sockets").mkdir(parents=True)
    await volumes.make(root / "workspace")
    spec = Spec(root.name, root, home / "runtime", limits, {"PATH": "/usr/bin:/bin"})
    return root, await driver.start(spec, argv, lease)

async def run(volumes, name, script):
    root, sandbox = await start(volumes, name, "sh", "-c", script)
    out, err = await asyncio.gather(sandbox.stdout.read(), sandbox.stderr.read())
    await sandbox.destroy()
    await folders.remove(root)
    return out.decode(), err.decode()

def loops():
    found = 0
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        try: found += str(home) in file.read_text()
        except OSError: pass  # another's is given up at this moment
    return found
"""
AS_ROOT = """
async def main():
    room, seen = Room(64 * 2**20, 1000), {}
    volumes = await Volumes.try_out(room, home / "runner", has_namespace=has_namespace)
    seen["weak"] = volumes.weak_reason
    seen["empty"] = await run(volumes, "a", "ls -A; grep ' /workspace ' /proc/self/mountinfo")
    again = "rm x; dd if=/dev/zero of=y bs=1M count=32; stat -c %s y"
    seen["bytes"] = await run(volumes, "b", f"cd workspace; dd if=/dev/zero of=x bs=1M; {again}")
    seen["files"] = await run(volumes, "c", "cd workspace; i=0; while touch $i; do i=$((i+1)); done; echo $i")
    root, first = await start(volumes, "d", "cat")
    _, second = await start(volumes, "e", "cat")
    seen["two"] = loops()
    await first.destroy()
    await folders.remove(root)
    seen["one"] = loops()

    lease = await driver.lease()
    fill = "cd workspace; dd if=/dev/zero bs=64k count=640 of=a; cat /dev/urandom > b; seq 9 > c; echo up; exec cat"
    root, full = await start(volumes, "f", "sh", "-c", fill, lease=lease)
    await full.stdout.readline()
    seen["full"] = volume.is_full(root / "workspace")
    sizes = lambda: {path.name: path.stat().st_size for path in (root / "workspace").iterdir()}
    before = sizes()
    blobs = Blobs(f"file://{home}/blobs")
    def store(volumes): return CheckpointStore(driver, blobs, home / "runner", limits, 10**9, 10**10, volumes)
    saved = await store(volumes).save(full, root, root.name, "key")
    await full.destroy()
    await folders.remove(root / "workspace")
    checkpoint = Checkpoint("x", "key", saved.size_bytes, saved.sha256, saved.unpacked_bytes)
    await store(volumes).restore(root, root.name, checkpoint, lease)
    await safe_open.write_file(root / "workspace", ".pi/settings", b"x" * 10**6, lease.uid)
    seen["restored"] = [before, sizes()]
    await folders.remove(root / "workspace")
    try:
        await store(Volumes(Room(8 * 2**20, 1000), None)).restore(root, root.name, checkpoint, lease)
    except DiskFull as error:
        seen["too small"] = [str(error), (root / "workspace").exists()]
    print(json.dumps(seen), flush=True)
    await second.wait()

asyncio.run(main())
"""
WATCHED = """
TRICKS = {
    "bytes": "dd if=/dev/zero of=x bs=1M count=80; exec cat",
    "files": "mkdir d; cd d; touch $(seq 1500); exec cat",
    "hidden": "mkdir -p d/d; dd if=/dev/zero of=d/d/x bs=1M count=80; chmod 0 d/d d; exec cat",
    "deleted": "exec 7> x; rm x; dd if=/dev/zero bs=1M count=80 >&7; setsid -f sleep 1000; exec 7>&-; exec cat",
    "elsewhere": "ln -s /usr usr; truncate -s 1G sparse; dd if=/dev/zero of=x bs=1M count=20; exec cat",
}

async def watch(volumes, name, script):
    root, sandbox = await start(volumes, name, "sh", "-c", f"exec 2> /dev/null; cd workspace; {script}")
    watching = DiskWatch(driver, limits, volumes.room, home / "runner", root, sandbox.lease).run()
    try:
        return await asyncio.wait_for(watching, 60 if name != "elsewhere" else 5)
    except TimeoutError:
        return None
    finally:
        await sandbox.destroy()
        await folders.remove(root)

async def main():
    volumes = await Volumes.try_out(Room(64 * 2**20, 1000), home / "runner", has_namespace=has_namespace)
    told = await asyncio.gather(*(watch(volumes, name, script) for name, script in TRICKS.items()))
    left = [path.name for path in (home / "runner").iterdir()]
    print(json.dumps({"weak": volumes.weak_reason, "told": dict(zip(TRICKS, told)), "left": left}))

asyncio.run(main())
"""


@contextlib.contextmanager
def _process(script: str, home: Path, *, is_ordinary: bool) -> Iterator["subprocess.Popen[str]"]:
    argv = [
        sys.executable,
        "-W",
        "error",
        "-c",
        COMMON + script,
        str(home),
        str(0 if is_ordinary else UID_BASE),
    ]
    if is_ordinary and os.geteuid() == 0:
        argv = as_ordinary_user(argv)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd="/") as child:
        try:
            yield child
        finally:
            child.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_volume_is_limited_private_to_its_process_and_removed_with_it(short_dir: Path) -> None:
    with _process(AS_ROOT, short_dir, is_ordinary=False) as child:
        assert child.stdout is not None
        report: dict[str, Any] = json.loads(child.stdout.readline())
        assert str(short_dir) not in Path("/proc/self/mountinfo").read_text(), (
            "the mount is not visible on the host"
        )
        assert _loops(short_dir) == 1
    assert report["weak"] is None
    assert len(report["empty"][0].splitlines()) == 1, "the volume is empty, without lost+found"
    assert " rw,nosuid,nodev" in report["empty"][0]
    out, err = report["bytes"]
    assert out == "33554432\n", "freed space can be used again"
    assert "No space left on device" in err
    assert 60 * 2**20 < int(err.split(" bytes")[0].split()[-1]) < 72 * 2**20
    out, err = report["files"]
    assert 990 < int(out) < 1050
    assert "No space left on device" in err
    assert (report["two"], report["one"]) == (2, 1), "one sandbox does not keep another's volume busy"
    assert report["full"] is True
    before, after = report["restored"]
    assert after == before | {".pi": 4096}
    assert before["a"] == 640 * 2**16
    assert report["too small"] == [
        "The saved workspace cannot be restored: its workspace may hold 8388608 bytes and 1000 files.", False
    ]  # fmt: skip
    _until(lambda: _loops(short_dir) == 0)


@pytest.mark.parametrize("is_ordinary", [True, False], ids=["ordinary user", "root"])
def test_without_volumes_disk_usage_is_polled_and_cannot_be_hidden(
    short_dir: Path, is_ordinary: bool
) -> None:
    script = WATCHED if is_ordinary else f"has_namespace = False\n{WATCHED}"
    home = home_in(short_dir) if is_ordinary and os.geteuid() == 0 else short_dir
    with _process(script, home, is_ordinary=is_ordinary) as child:
        out, _ = child.communicate(timeout=120)
    report = json.loads(out)
    assert report["weak"] == "mounting needs root with CAP_SYS_ADMIN"
    full = "The agent's disk is full: its workspace may hold 67108864 bytes and 1000 files."
    assert report["told"] == dict.fromkeys(("bytes", "files", "hidden", "deleted"), full) | {
        "elsewhere": None
    }
    assert report["left"] == []


def _loops(folder: Path) -> int:
    count = 0
    for file in LOOPS.glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # its container is evicted at this moment
            count += str(folder) in file.read_text()
    return count


def _until(is_true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
