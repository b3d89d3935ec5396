"""When a runner is killed, its sandboxes die, the cleanup removes the rest, and its uids become free."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentcontainer.errors import SandboxError
from agentcontainer.sandbox import procfs
from agentcontainer.sandbox.cleanup import clean_up, leftovers
from agentcontainer.sandbox.host_uids import UidPool
from tests.contract.sandbox_bed import Bed
from tests.uids import UID_BASE

RUNNER = """
import asyncio, sys
from pathlib import Path
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import Limits, Spec

async def main(sandbox_id, root, runtime, locks, uid_base):
    limits = Limits(memory_bytes=2**28, pids=64, cpus=1)
    driver = Bubblewrap(int(uid_base), Path(locks))
    print("starting", flush=True)
    sandbox = await driver.start(
        Spec(sandbox_id, Path(root), Path(runtime), limits, {"PATH": "/usr/bin:/bin"}),
        ["sh", "-c", "for i in $(seq 20); do setsid sleep 4242 & done; echo up; wait"],
    )
    print((await sandbox.stdout.readline()).decode().strip(), sandbox.host_uid, flush=True)
    await sandbox.wait()

asyncio.run(main(*sys.argv[1:]))
"""


@contextlib.contextmanager
def _runner(bed: Bed) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """A process that starts one sandbox; the block begins just before it does, and it never outlives the block."""
    spec = bed.spec()
    places = [spec.id, str(spec.root), str(spec.runtime), str(bed.folder / "locks"), str(UID_BASE)]
    with subprocess.Popen(
        [sys.executable, "-c", RUNNER, *places], stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "starting\n"
            yield spec.id, child
        finally:
            child.kill()


async def test_everything_dies_with_a_killed_runner_and_the_clean_up_removes_the_rest(bed: Bed) -> None:
    with _runner(bed) as (sandbox_id, child):
        assert child.stdout is not None
        word, uid = child.stdout.readline().split()
        assert word == "up"
        _until(lambda: len(_sleepers(int(uid))) == 20, seconds=30)
    _until(lambda: not _sleepers(int(uid)) and not procfs.with_marker(sandbox_id), seconds=30)
    if bed.sandboxes.weak_limits_reason is None:
        assert sandbox_id in leftovers()
        assert await clean_up([sandbox_id, "never-was"]) == [sandbox_id]
    assert await clean_up([sandbox_id]) == []
    assert sandbox_id not in leftovers()


@pytest.mark.parametrize("milliseconds", [5, 15, 25, 35, 45, 55])
async def test_a_runner_killed_while_it_starts_a_sandbox_leaves_nothing_after_the_clean_up(
    bed: Bed, milliseconds: int
) -> None:
    """In these milliseconds bwrap does not yet die with the runner."""
    with _runner(bed) as (sandbox_id, _):
        time.sleep(milliseconds / 1000)
    _until(lambda: not _launching(sandbox_id), seconds=30)  # whatever was starting has started
    await clean_up([sandbox_id])
    assert procfs.with_marker(sandbox_id) == set()
    assert sandbox_id not in leftovers()
    assert not [pid for pid in _pids() if UID_BASE <= _uid(pid) < UID_BASE + 1000 and _command(pid)]


async def test_clean_up_removes_only_the_given_sandboxes(bed: Bed) -> None:
    spared, removed = bed.spec(), bed.spec()
    first, second = await bed.start(["sleep", "1000"], spared), await bed.start(["sleep", "1000"], removed)
    assert {spared.id, removed.id} <= set(leftovers())
    assert await clean_up([removed.id]) == [removed.id]
    assert (await second.wait()).code == 137
    assert procfs.with_marker(spared.id)
    assert removed.id not in leftovers()
    await first.destroy()
    assert await clean_up([spared.id]) == []


async def test_clean_up_refuses_ids_that_are_no_sandbox(bed: Bed) -> None:
    with pytest.raises(SandboxError, match="sandbox id"):
        await clean_up(["../agentcontainer"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives uids")
class TestUids:
    def test_a_uid_serves_one_at_a_time_across_processes(self, tmp_path: Path) -> None:
        pool = UidPool(_free_uid(), tmp_path, count=1)
        lease = pool.lease()
        script = (
            "import sys, pathlib; from agentcontainer.sandbox.host_uids import UidPool\n"
            "print(UidPool(int(sys.argv[1]), pathlib.Path(sys.argv[2]), count=1).lease().uid, flush=True); input()"
        )
        command = [sys.executable, "-c", script, str(lease.uid), str(tmp_path)]
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "are in use" in refused.stderr
        lease.release()
        lease.release()
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == f"{lease.uid}\n"
            with pytest.raises(SandboxError, match="are in use"):
                pool.lease()
            holder.send_signal(signal.SIGKILL)
        assert pool.lease().uid == lease.uid

    def test_a_shared_uid_is_free_when_the_last_has_released_it(self, tmp_path: Path) -> None:
        pool = UidPool(_free_uid(), tmp_path, count=1)
        first = pool.lease()
        second = first.share()
        for lease in (first, first, second):
            lease.release()
            if lease is first:
                with pytest.raises(SandboxError, match="are in use"):
                    pool.lease()
        assert pool.lease().uid == second.uid

    def test_a_process_left_under_a_uid_is_killed_before_the_uid_is_leased(self, tmp_path: Path) -> None:
        uid = _free_uid()
        drop = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups"]
        with (
            subprocess.Popen([*drop, "sleep", "1000"]) as leftover,
            subprocess.Popen(["sleep", "1000"]) as unrelated,
        ):
            try:
                _until(lambda: leftover.pid in procfs.with_uid(uid), seconds=30)
                UidPool(uid, tmp_path, count=1).lease().release()
                assert leftover.wait(30) == -signal.SIGKILL
                assert unrelated.poll() is None
            finally:
                leftover.kill()
                unrelated.kill()

    def test_root_and_accounts_of_the_host_are_never_given_out(self, tmp_path: Path) -> None:
        with pytest.raises(SandboxError, match="never runs as uid 0"):
            UidPool(0, tmp_path).lease()
        with pytest.raises(SandboxError, match="are in use"):
            UidPool(65_534, tmp_path, count=1).lease()  # nobody


def _free_uid() -> int:
    """A uid that no sandbox of these tests gets, because leasing it kills what runs under it."""
    return 1_200_000 + secrets.randbelow(100_000)


def _launching(sandbox_id: str) -> list[int]:
    """Processes that still have the runner's command line: a launch continues after the runner's death."""
    marked = procfs.with_marker(sandbox_id)
    return [pid for pid in _pids() if sandbox_id in _command(pid) and pid not in marked]


def _sleepers(uid: int) -> list[int]:
    return [pid for pid in _pids() if _uid(pid) == uid and _command(pid).startswith("sleep 4242")]


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _uid(pid: int) -> int:
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return -1


def _command(pid: int) -> str:
    """Its command line; empty for a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _until(is_done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)
