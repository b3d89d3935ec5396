"""Two causes end an attempt at almost the same time, or a runner stops while its tasks run."""

import asyncio

import pytest

from agentcontainer.domain.tasks.state import Status
from agentcontainer.errors import Conflict
from tests.coordination.bed import Bed, finish, waiting
from tests.coordination.proxy import TransactionPattern
from tests.coordination.soundness import sound_outcome

FINISH = TransactionPattern("UPDATE tasks SET status = $2", ("finished",))
WORK = {"bash": "echo a >> out.txt"}


async def test_a_drain_while_finish_is_committed_comes_too_late(bed: Bed) -> None:
    async with bed.runner() as runner:
        trap = runner.proxy.trap(FINISH, "held")
        task_id = await bed.dispatch(WORK, finish("out.txt"))
        await trap.until_sprung()
        draining = asyncio.create_task(runner.drain())
        await asyncio.sleep(0.1)
        trap.released.set()
        await draining
        outcome = await sound_outcome(bed, task_id)
    assert (outcome.task.status, outcome.count("task.requeued")) == (Status.FINISHED, 0)
    assert outcome.outputs == {"out.txt": b"a\n"}


async def test_a_cancel_while_finish_is_committed_comes_too_late(bed: Bed) -> None:
    async with bed.runner() as runner:
        trap = runner.proxy.trap(FINISH, "held")
        task_id = await bed.dispatch(WORK, finish("out.txt"))
        await trap.until_sprung()
        cancelling = asyncio.create_task(bed.cancel(task_id))
        await asyncio.sleep(0.1)
        trap.released.set()
        with pytest.raises(Conflict, match="is finished and cannot be cancelled"):
            await cancelling
        outcome = await sound_outcome(bed, task_id)
    assert (outcome.task.status, outcome.outputs) == (Status.FINISHED, {"out.txt": b"a\n"})


async def test_a_finish_that_is_repeated_after_a_cancel_changes_nothing(bed: Bed) -> None:
    async with bed.runner() as runner:
        trap = runner.proxy.trap(FINISH, "cut before")
        task_id = await bed.dispatch(WORK, finish("out.txt"))
        await trap.until_sprung()
        await bed.cancel(task_id)
        outcome = await sound_outcome(bed, task_id)
    assert (outcome.task.status, outcome.task.result) == (Status.CANCELLED, None)
    assert outcome.outputs == {"out.txt": b"a\n"}, "it is a partial output"


async def test_a_drain_whose_checkpoint_fails_requeues_the_task_from_its_start(bed: Bed) -> None:
    bed.configure(checkpoint_quota_bytes=1)
    async with bed.runner() as first:
        task_id = await bed.dispatch(WORK, waiting(), finish("out.txt"))
        await bed.until_event(task_id, "tool.started", 2)
        await first.drain()
        await bed.until_no_sandbox(task_id)
    async with bed.runner():
        await bed.until_event(task_id, "tool.started", 4)
        await bed.unblock(task_id)
        await bed.until(task_id)
        outcome = await sound_outcome(bed, task_id)
    assert (outcome.task.status, outcome.attempts, outcome.task.tries) == (Status.FINISHED, [1, 2], 0)
    assert (outcome.count("task.checkpointed"), outcome.count("task.requeued")) == (0, 1)
    assert outcome.outputs == {"out.txt": b"a\n"}


async def test_a_runner_whose_packets_are_dropped_stops_its_agents_before_others_take_over(bed: Bed) -> None:
    """The packets are dropped while the runner waits for the reply to an INSERT of events."""
    bed.configure(runner_lost_after_seconds=5)
    async with bed.runner() as first:
        task_id = await bed.dispatch(waiting(), waiting("again", then="echo a >> out.txt"), finish("out.txt"))
        await bed.until_event(task_id, "tool.started")
        trap = first.proxy.trap(TransactionPattern("INSERT INTO events"), "hung")
        await bed.unblock(task_id)
        await trap.until_sprung()
        first.proxy.drop_packets()
        async with bed.runner():
            await bed.until_event(task_id, "task.requeued")
            assert bed.attempts_with_sandbox(task_id) == set()
            await bed.until_event(task_id, "task.started", 2)
            bed.runners.remove(first)
            for sign in ("go", "again"):
                await bed.unblock(task_id, sign)
            await bed.until(task_id)
        log = await bed.event_types(task_id)
        first.proxy.forward_again()
        outcome = await sound_outcome(bed, task_id)
    assert (outcome.task.status, outcome.attempts) == (Status.FINISHED, [1, 2])
    assert (outcome.outputs, [type_ for type_, _ in outcome.log]) == ({"out.txt": b"a\n"}, log)
