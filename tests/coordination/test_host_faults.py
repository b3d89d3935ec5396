"""What the host or the database lacks costs a task nothing: it waits, and no try is counted."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agentcontainer.domain.tasks.state import Status
from agentcontainer.runner import claiming
from tests.coordination.bed import Bed, finish, waiting
from tests.coordination.proxy import TransactionPattern
from tests.coordination.soundness import sound_outcome

CLAIM = TransactionPattern("attempt = attempt + 1, runner_id")
WORK = {"bash": "echo a >> out.txt"}
# As PostgreSQL reports it when it cannot extend a file.
FULL_DATABASE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER full_disk BEFORE UPDATE ON tasks FOR EACH ROW WHEN (NEW.status = 'finished') EXECUTE FUNCTION refuse();
"""


@pytest.fixture
def small_disk(bed: Bed) -> Iterator[Path]:
    """The disk of the runners' folders, which a test can fill."""
    folder = bed.settings.data_dir / "runners"
    folder.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m,mode=700", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(folder).free)
        while file.write(bytes(4096)):
            pass
    return filler


def broken_store(bed: Bed) -> Path:
    """Let the object store accept no checkpoint until the returned file is removed."""
    obstacle = bed.settings.data_dir / "blobs/checkpoints"
    obstacle.parent.mkdir(exist_ok=True)
    obstacle.touch()  # where the store would have a folder
    return obstacle


@contextlib.asynccontextmanager
async def full_database(bed: Bed) -> AsyncIterator[None]:
    """No task can be finished during the block."""
    await bed.pool.execute(FULL_DATABASE)
    try:
        yield
    finally:
        await bed.pool.execute("DROP TRIGGER full_disk ON tasks; DROP FUNCTION refuse()")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
async def test_an_attempt_that_finds_the_disk_full_is_no_try(
    bed: Bed, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "CALL_SECONDS", 60.0)  # the claim waits while the disk is filled
    async with bed.runner() as runner:
        trap = runner.proxy.trap(CLAIM, "held")
        task_id = await bed.dispatch(WORK, finish("out.txt"))
        for _ in range(5):
            await trap.until_sprung()
            filler = fill(small_disk)
            trap.released.set()
            with contextlib.suppress(AssertionError):
                await bed.until_event(task_id, "task.requeued", seconds=10)
                break
            # The runner noticed the full disk before its claim was answered, and gave the claim up.
            trap = runner.proxy.trap(CLAIM, "held")
            filler.unlink()
        assert (await bed.task(task_id)).status is Status.PENDING
        filler.unlink()
        await bed.until(task_id)
        outcome = await sound_outcome(bed, task_id)
    assert (outcome.task.status, outcome.task.tries, outcome.outputs) == (
        Status.FINISHED,
        0,
        {"out.txt": b"a\n"},
    )
    [requeued] = outcome.of("task.requeued")
    assert "Its disk is full" in requeued["reason"]
    assert outcome.attempts == [2], "the first found no room to start in"


async def test_a_turn_waits_for_the_object_store_and_is_not_billed_for_it(bed: Bed) -> None:
    obstacle = broken_store(bed)
    async with bed.runner():
        began_at = time.monotonic()
        task_id = await bed.converse({"bash": "echo a >> notes.txt"}, {"say": "One."})
        await bed.until_event(task_id, "tool.completed")
        worked_seconds = time.monotonic() - began_at
        await asyncio.sleep(worked_seconds + 5)
        assert (await bed.task(task_id)).status is Status.RUNNING
        obstacle.unlink()
        after = await bed.until(task_id, Status.AWAITING_INPUT)
        await bed.end_conversation(task_id)
        outcome = await sound_outcome(bed, task_id)
    assert (after.error_code, outcome.attempts, outcome.count("turn.completed")) == (None, [1], 1)
    billed = await bed.pool.fetchval("SELECT container_micro_seconds FROM tasks WHERE id = $1", task_id)
    assert 0 < billed < (worked_seconds + 3) * 1e6


async def test_a_turn_that_the_host_cannot_save_for_long_runs_again_and_is_no_try(bed: Bed) -> None:
    bed.configure(checkpoint_patience_seconds=0.5)
    obstacle = broken_store(bed)
    async with bed.runner():
        task_id = await bed.converse({"bash": "echo a >> notes.txt"}, {"say": "One."})
        await bed.until_event(task_id, "task.requeued")
        before = await bed.task(task_id)
        obstacle.unlink()
        await bed.until(task_id, Status.AWAITING_INPUT)
        await bed.end_conversation(task_id)
        outcome = await sound_outcome(bed, task_id)
    assert (before.tries, before.container_micro_seconds, outcome.count("turn.failed")) == (0, 0, 0)
    assert outcome.count("turn.completed") == 1
    assert "The object store could not be used." in outcome.of("task.requeued")[0]["reason"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
async def test_a_turn_that_cannot_be_saved_is_not_blamed_on_the_task_while_the_disk_is_full(
    bed: Bed, small_disk: Path
) -> None:
    bed.configure(checkpoint_patience_seconds=0.5, max_checkpoint_bytes=1)
    async with bed.runner():
        task_id = await bed.converse(waiting(), {"say": "One."})
        await bed.until_event(task_id, "tool.started")
        filler = small_disk / "filler"
        filler.write_bytes(bytes(60 * 1024**2))  # the agent still has room, the host has too little
        await bed.unblock(task_id)
        await bed.until_event(task_id, "task.requeued")
        before = await bed.task(task_id)
        filler.unlink()
        await bed.until_event(task_id, "tool.started", 2)
        await bed.unblock(task_id)
        after = await bed.until(task_id, Status.AWAITING_INPUT)
    assert (before.error_code, before.tries, before.container_micro_seconds) == (None, 0, 0)
    assert after.error_code == "checkpoint_failed"


async def test_a_database_that_is_full_for_a_moment_is_waited_for(bed: Bed) -> None:
    async with bed.runner():
        async with full_database(bed):
            task_id = await bed.dispatch(WORK, finish("out.txt"))
            await bed.until_event(task_id, "tool.started", 2)
            await asyncio.sleep(1.5)  # in which the finish is refused more than once
        await bed.until(task_id)
        outcome = await sound_outcome(bed, task_id)
    assert (outcome.task.status, outcome.attempts, outcome.task.tries) == (Status.FINISHED, [1], 0)


async def test_a_claim_whose_attempt_was_not_started_is_given_back_and_is_no_try(bed: Bed) -> None:
    task_id = await bed.dispatch(WORK, finish("out.txt"))
    await bed.pool.execute("UPDATE tasks SET not_before = now() + interval '1 hour'")
    async with bed.runner():
        while (runner_id := await bed.pool.fetchval("SELECT id FROM runners")) is None:
            pass
        claim = "UPDATE tasks SET status = 'running', attempt = 1, runner_id = $2 WHERE id = $1"
        await bed.pool.execute(claim, task_id, runner_id)
        await bed.until(task_id)
        outcome = await sound_outcome(bed, task_id)
    assert (outcome.task.status, outcome.attempts, outcome.task.tries) == (Status.FINISHED, [2], 0)
    assert [data["reason"] for data in outcome.of("task.requeued")] == ["The attempt was not started."]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives sandboxes uids")
async def test_an_attempt_on_a_host_that_starts_no_sandbox_is_no_try(bed: Bed) -> None:
    locks = bed.settings.data_dir / "locks"
    locks.touch()  # a file where the folder of the uids' locks should be
    async with bed.runner():
        task_id = await bed.dispatch(WORK, finish("out.txt"))
        await bed.until_event(task_id, "task.requeued")
        locks.unlink()
        await bed.until(task_id)
        outcome = await sound_outcome(bed, task_id)
    assert (outcome.task.status, outcome.task.tries) == (Status.FINISHED, 0)
    assert "It cannot start any sandbox." in outcome.of("task.requeued")[0]["reason"]
