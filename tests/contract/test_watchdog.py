"""The watchdog kills the sandboxes of a runner that does not renew its lease, whatever state the runner is in."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from agentcontainer.sandbox.cleanup import clean_up
from agentcontainer.sandbox.watchdog import Watchdog
from tests.contract.sandbox_bed import Bed
from tests.uids import UID_BASE

SLEEP = ("sleep", "1000")
SECRET = "sk-of-the-runner"
RUNNER = """
import asyncio, sys, time
from pathlib import Path
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import Limits, Spec
from agentcontainer.sandbox.watchdog import Watchdog

async def main(folder, name, uid_base):
    for part in ("workspace", "sockets", "../runtime"): (folder / name / part).mkdir(parents=True, exist_ok=True)
    spec = Spec(name, folder / name, folder / "runtime", Limits(2**28, 64, 1), {"PATH": "/usr/bin:/bin"})
    async with Watchdog.started(folder, None) as watchdog:
        await Bubblewrap(uid_base, folder / "locks").start(spec, ["sleep", "1000"])
        print("up", flush=True)
        while True:
            watchdog.renew(time.clock_gettime(time.CLOCK_BOOTTIME) + 1)
            await asyncio.sleep(0.1)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
"""


def in_seconds(seconds: float) -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) + seconds


@pytest.mark.parametrize("is_weak", [False, True], ids=["control groups", "none"])
async def test_sandboxes_end_with_the_lease(bed: Bed, is_weak: bool) -> None:
    async with Watchdog.started(bed.folder, None) as watchdog:
        sandbox = await bed.start(SLEEP, sandboxes=bed.weak() if is_weak else None)
        for _ in range(10):
            watchdog.renew(in_seconds(1))
            await asyncio.sleep(0.15)
        ended = asyncio.ensure_future(sandbox.wait())
        assert not ended.done()
        watchdog.renew(in_seconds(0.3))
        await asyncio.wait_for(ended, 5)


async def test_a_frozen_sandbox_ends_with_the_lease(bed: Bed) -> None:
    async with Watchdog.started(bed.folder, None) as watchdog:
        sandbox = await bed.start(SLEEP)
        async with sandbox.frozen() as is_frozen:
            assert is_frozen
            watchdog.renew(in_seconds(0.1))
            await asyncio.wait_for(sandbox.wait(), 5)


async def test_a_killed_watchdog_is_replaced(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    async with Watchdog.started(bed.folder, None) as watchdog:
        running = asyncio.create_task(watchdog.keep_running())
        sandbox = await bed.start(SLEEP)
        [killed] = _watchdogs(bed.folder)
        watchdog.renew(in_seconds(1))
        killed.kill()
        await asyncio.wait_for(sandbox.wait(), 10)
        assert "the watchdog ended with code 137" in caplog.text
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert _watchdogs(bed.folder) == []


def _watchdogs(folder: Path) -> list[psutil.Process]:
    return [
        process for process in psutil.process_iter(["cmdline"])
        if {"agentcontainer.sandbox.watchdog_process", str(folder)} <= set(process.info["cmdline"] or ())
    ]  # fmt: skip


async def test_the_sandboxes_of_a_stopped_runner_end_and_nothing_is_left_of_a_killed_one(bed: Bed) -> None:
    name = f"test-watched-{os.getpid()}"
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(bed.folder), name, str(UID_BASE)], stdout=subprocess.PIPE,
        env=os.environ | {"AGENTCONTAINER_SECRET_KEY": SECRET},
    )  # fmt: skip
    try:
        assert runner.stdout is not None
        assert await asyncio.to_thread(runner.stdout.readline) == b"up\n"
        [watchdog] = _watchdogs(bed.folder)
        assert SECRET not in Path(f"/proc/{watchdog.pid}/environ").read_text()
        runner.send_signal(signal.SIGSTOP)
        await asyncio.to_thread(_until, lambda: not _has_processes(name))
        assert watchdog.is_running()
    finally:
        runner.kill()
        runner.communicate()
    await asyncio.to_thread(_until, lambda: _watchdogs(bed.folder) == [])
    await clean_up([name])  # as the next runner does


def _has_processes(name: str) -> bool:
    return any(f"agentcontainer:{name}" in (process.info["cmdline"] or ()) and process.status() != "zombie"
               for process in psutil.process_iter(["cmdline"]))  # fmt: skip


def _until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
