"""A workspace saved and restored by real tar in real sandboxes: the same tree, or an error."""

import asyncio
import contextlib
import inspect
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from agentcontainer.runner.workspace import folders
from agentcontainer.runner.workspace.checkpoint import CheckpointFailed
from agentcontainer.sandbox.bubblewrap import Sandbox
from tests import control_groups, trees
from tests.integration.checkpoint_bed import Bed, checkpoint_of_noise, opened_bed
from tests.ordinary_user import as_ordinary_user, home_in
from tests.trees import Node, lay, odd, snapshot


@pytest.fixture
async def bed() -> AsyncIterator[Bed]:
    async with opened_bed() as bed:
        yield bed


async def test_a_restored_workspace_equals_the_saved_one(bed: Bed) -> None:
    first = await bed.start()
    lay(bed.workspace, odd(), first.host_uid)
    os.chmod(bed.workspace, 0o500)
    os.utime(bed.workspace, ns=(1, 1_600_000_000_000_000_007))
    before = snapshot(bed.workspace)
    saved = await bed.save(first)
    assert snapshot(bed.workspace) == before
    assert saved.entries == len(before)
    assert saved.size_bytes == bed.stored()[0].stat().st_size < 10**6 < saved.unpacked_bytes < 10**7
    await first.destroy()
    lease = await bed.sandboxes.lease()
    if lease is not None:
        bed.stack.callback(lease.release)
    await bed.restore(bed.checkpoint(saved), lease)
    assert snapshot(bed.workspace) == before
    second = await bed.start(
        "sh", "-c", "cd workspace && cat closed plain.txt; chmod 700 closed-folder", lease=lease
    )
    assert await second.stderr.readline() == b"cat: closed: Permission denied\n"
    assert (await second.stdout.read(), (await second.wait()).code) == (b"hello\n", 0)
    before[b"./closed-folder"][0] = oct(0o40700)
    assert snapshot(bed.workspace) == before
    bed.is_clean()


async def test_without_the_same_uid_only_setuid_bits_are_lost(bed: Bed) -> None:
    first = await bed.start()
    lay(bed.workspace, odd(), first.host_uid)
    before = snapshot(bed.workspace)
    saved = await bed.save(first)
    await first.destroy()
    await bed.restore(bed.checkpoint(saved))
    assert snapshot(bed.workspace) == before
    second = await bed.start("sh", "-c", "echo more >> workspace/plain.txt && cat workspace/plain.txt")
    assert await second.stdout.read() == b"hello\nmore\n"
    assert {path.lstat().st_uid for path in bed.root.rglob("*")} == {second.host_uid}


AS_ORDINARY_USER = """
import asyncio, sys
from pathlib import Path
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.checkpoints.model import Checkpoint
from agentcontainer.runner.workspace.checkpoint import CheckpointStore
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import Limits, Spec
from agentcontainer.sandbox.volume import Room, Volumes

async def main(home):
    sandboxes, limits = Bubblewrap(0, home / "locks"), Limits(2**28, 64, 2)
    for path in ("first/workspace", "first/sockets", "second/sockets", "runtime"): (home / path).mkdir(parents=True)
    volumes = Volumes(Room(10**9, 10**5))
    store = CheckpointStore(sandboxes, Blobs(f"file://{home}/blobs"), home, limits, 10**9, 10**10, volumes)
    spec = Spec(f"ordinary-{os.getpid()}", home / "first", home / "runtime", limits, {"PATH": "/usr/bin:/bin"}, "/")
    sandbox = await sandboxes.start(spec, ["cat"])
    lay(os.fsencode(home / "first/workspace"), odd(), os.getuid())
    (home / "first/workspace").chmod(0)
    saved = await store.save(sandbox, home / "first", spec.id, "key")
    sandbox.stdin.write(b"alive\\n")
    print(os.getuid(), (await sandbox.stdout.readline()).decode().strip())
    await sandbox.destroy()
    checkpoint = Checkpoint("x", "key", saved.size_bytes, saved.sha256, saved.unpacked_bytes)
    await store.restore(home / "second", spec.id, checkpoint, await sandboxes.lease())

asyncio.run(main(Path(sys.argv[1])))
"""


async def test_an_ordinary_user_can_save_and_restore() -> None:
    folder = Path(tempfile.mkdtemp(prefix="ac-ckp-", dir="/tmp"))
    try:
        script = f"{inspect.getsource(trees)}\n{AS_ORDINARY_USER}"
        home, argv = folder, [sys.executable, "-W", "error", "-c", script]
        if os.geteuid() == 0:
            home = home_in(folder)
            argv = as_ordinary_user(argv)
        done = await asyncio.to_thread(
            subprocess.run, [*argv, str(home)], capture_output=True, text=True, check=False, cwd="/"
        )
        assert (done.stdout.split()[1:], done.stderr) == (["alive"], "")
        assert done.stdout.split()[0] != "0"
        if os.geteuid() == 0:  # otherwise files without permissions cannot be examined
            before, after = (snapshot(os.fsencode(home / name / "workspace")) for name in ("first", "second"))
            assert after == before
            assert len(after) > 35
        assert sorted(os.listdir(home)) == ["blobs", "first", "runtime", "second"]
    finally:
        await folders.remove(folder)


@pytest.mark.parametrize("is_weak", [False, True])
async def test_a_workspace_is_saved_while_a_process_writes_to_it(is_weak: bool) -> None:
    script = (
        "cd workspace; echo up; n=0; while :; do n=$((n+1)); echo $n > new; mv new now; echo $n >> log; "
        'mkdir d$((n%50)) 2> /dev/null && echo x > d$((n%50))/f || rm -rf d$((n%50)); [ -e "../tmp/no" ] && exit; done'
    )
    async with opened_bed(is_weak=is_weak) as bed:
        sandbox = await bed.start("sh", "-c", script)
        assert await sandbox.stdout.readline() == b"up\n"
        for _ in range(5):
            saved = await bed.save(sandbox)
            assert (saved.paused_seconds > 0) == _can_freeze(sandbox)
        now = Path(os.fsdecode(bed.workspace)) / "now"
        count = int(now.read_text())
        async with asyncio.timeout(30):
            while int(now.read_text()) <= count:
                await asyncio.sleep(0.02)
        await sandbox.destroy()
        await bed.restore(bed.checkpoint(saved))
        assert 0 < int(now.read_text()) <= count
        if not is_weak and saved.paused_seconds:
            lines = (now.parent / "log").read_text().splitlines()
            assert int(lines[-1]) in (
                int(now.read_text()),
                int(now.read_text()) - 1,
            )  # all from the same moment
        bed.is_clean()


def _can_freeze(sandbox: Sandbox) -> bool:
    names = ("freezer.state", "cgroup.freeze")
    return any(Path(group, name).exists() for group in control_groups.named(sandbox.id) for name in names)


async def test_a_workspace_above_a_limit_is_not_saved_and_its_sandbox_keeps_running() -> None:
    for limit, sentence in (
        ("max_bytes", "compressed, it has more"),
        ("max_unpacked_bytes", "it has more than"),
    ):
        async with opened_bed(**{limit: 1_000_000}) as bed:
            sandbox = await bed.start()
            lay(bed.workspace, {b"noise": Node("file", os.urandom(20_000_000))}, sandbox.host_uid)
            with pytest.raises(CheckpointFailed, match=f"could not be saved: {sentence}.* 1000000 bytes"):
                await bed.save(sandbox)
            assert not bed.stored()
            await _lives(sandbox)
            bed.is_clean()


async def test_a_path_that_could_not_be_restored_is_refused_when_saving(bed: Bed) -> None:
    sandbox = await bed.start()
    deep = "import os\nfor _ in range(3000): os.mkdir('d'); os.chdir('d')\n"
    await asyncio.to_thread(subprocess.run, ["/usr/bin/python3", "-c", deep], cwd=bed.workspace, check=True)
    with pytest.raises(CheckpointFailed, match="path has more than 4095 bytes"):
        await bed.save(sandbox)
    assert not bed.stored()
    await _lives(sandbox)


async def test_the_deepest_path_that_can_be_saved_can_be_restored(bed: Bed) -> None:
    sandbox = await bed.start()
    deep = "import os\nfor _ in range(44): os.mkdir('é' * 46); os.chdir('é' * 46)\nopen('f', 'w').write('deep')\n"
    await asyncio.to_thread(subprocess.run, ["/usr/bin/python3", "-c", deep], cwd=bed.workspace, check=True)
    saved = await bed.save(sandbox)
    await sandbox.destroy()
    await bed.restore(bed.checkpoint(saved))
    find_depth = ["find", ".", "-name", "f", "-size", "4c", "-printf", "%d"]
    assert subprocess.run(find_depth, cwd=bed.workspace, capture_output=True, check=True).stdout == b"45"


async def test_an_unavailable_store_is_reported_in_a_sentence(bed: Bed) -> None:
    sandbox = await bed.start()
    lay(bed.workspace, {b"noise": Node("file", os.urandom(30_000_000))}, sandbox.host_uid)
    (bed.folder / "blobs/checkpoints").write_text("in the way")
    with pytest.raises(CheckpointFailed, match="The object store did not accept"):
        await bed.save(sandbox)
    await _lives(sandbox)
    bed.is_clean()


async def test_an_unreadable_file_fails_with_the_reason_of_tar(bed: Bed) -> None:
    if os.geteuid() != 0:
        pytest.skip("an ordinary user has no files but its own")
    sandbox = await bed.start()
    (bed.root / "workspace/roots").write_text("x")
    (bed.root / "workspace/roots").chmod(0o600)
    with pytest.raises(CheckpointFailed, match=r"saved: \./roots: Cannot open: Permission denied\.$"):
        await bed.save(sandbox)
    assert not bed.stored()
    await _lives(sandbox)


@pytest.mark.parametrize("milliseconds", [0, 5, 15, 25, 40, 60, 90, 130])
async def test_a_cancelled_save_leaves_nothing_and_the_sandbox_works(bed: Bed, milliseconds: int) -> None:
    sandbox = await bed.start()
    lay(bed.workspace, {b"noise": Node("file", os.urandom(60_000_000))}, sandbox.host_uid)
    saving = asyncio.ensure_future(bed.save(sandbox))
    await asyncio.sleep(milliseconds / 1000)
    saving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await saving
    await _lives(sandbox)
    bed.is_clean()
    if saving.cancelled():  # otherwise this machine was too fast
        await asyncio.sleep(0.05)
        assert not [
            path for path in bed.stored() if "#" not in path.name
        ]  # the store removes staged parts itself
    await bed.save(sandbox)


@pytest.mark.parametrize("milliseconds", [0, 20, 50, 80, 120])
async def test_a_cancelled_restore_leaves_nothing(bed: Bed, milliseconds: int) -> None:
    checkpoint = await checkpoint_of_noise(bed)
    await folders.remove(bed.root / "workspace")
    for count in range(3):
        restoring = asyncio.ensure_future(bed.restore(checkpoint))
        await asyncio.sleep((milliseconds + count) / 1000)
        restoring.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await restoring
            await folders.remove(bed.root / "workspace")
        assert not (bed.root / "workspace").exists()
        bed.is_clean()
    await bed.restore(checkpoint)


async def test_destroying_a_sandbox_ends_its_save(bed: Bed) -> None:
    sandbox = await bed.start()
    lay(bed.workspace, {b"noise": Node("file", os.urandom(60_000_000))}, sandbox.host_uid)
    saving = asyncio.ensure_future(bed.save(sandbox))
    await asyncio.sleep(0.06)
    await sandbox.destroy()
    await asyncio.wait([saving])
    assert saving.exception() is None or isinstance(saving.exception(), CheckpointFailed)
    bed.is_clean()


async def test_a_large_workspace_stays_out_of_memory(bed: Bed) -> None:
    megabytes, bound = 256, 80
    sandbox = await bed.start()
    with open(bed.workspace + b"/noise", "wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(1024**2))
    process = psutil.Process()
    peaks = [process.memory_info().rss]

    async def watch() -> None:
        while True:
            await asyncio.sleep(0.01)
            peaks.append(process.memory_info().rss)

    watching = asyncio.create_task(watch())
    saved = await bed.save(sandbox)
    await sandbox.destroy()
    await bed.restore(bed.checkpoint(saved))
    watching.cancel()
    assert saved.size_bytes > megabytes * 1024**2, "it was not compressible"
    assert max(peaks) - peaks[0] < bound * 1024**2, f"{(max(peaks) - peaks[0]) // 1024**2} MiB more"


async def test_several_checkpoints_can_be_saved_at_once(bed: Bed) -> None:
    async with opened_bed() as other:
        beds = (bed, other)
        sandboxes = [await each_bed.start() for each_bed in beds]
        for each_bed, sandbox in zip(beds, sandboxes, strict=True):
            lay(each_bed.workspace, {b"own": Node("file", each_bed.name.encode())}, sandbox.host_uid)
        saved = await asyncio.gather(
            *(each_bed.save(item) for each_bed, item in zip(beds, sandboxes, strict=True))
        )
        for sandbox in sandboxes:
            await sandbox.destroy()
        await asyncio.gather(
            *(each_bed.restore(each_bed.checkpoint(item)) for each_bed, item in zip(beds, saved, strict=True))
        )
        for each_bed in beds:
            assert (each_bed.root / "workspace/own").read_text() == each_bed.name


async def _lives(sandbox: Sandbox) -> None:
    sandbox.stdin.write(b"still there\n")
    assert await asyncio.wait_for(sandbox.stdout.readline(), 30) == b"still there\n"
