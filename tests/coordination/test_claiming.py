"""Which runner takes a task, and how soon: with full slots, a lost notification, and a database out of reach."""

import asyncio
import time
from datetime import timedelta

import pytest

from agentcontainer.domain.tasks import queue, runners, service
from agentcontainer.domain.tasks.state import Status
from agentcontainer.runner.supervisor import MESSAGE_SECONDS, RunnerGone
from tests.coordination.bed import Bed, finish, waiting
from tests.coordination.proxy import TransactionPattern
from tests.coordination.soundness import sound_outcome

CLAIM = TransactionPattern("attempt = attempt + 1, runner_id")
AT_ONCE_SECONDS = 1.0
AFTER_CUT_SECONDS = 3.0


async def seconds_until_claimed(bed: Bed, task_id: str, since: float) -> float:
    await bed.until(task_id, Status.RUNNING, Status.FINISHED)
    return time.monotonic() - since


async def test_a_free_runner_takes_the_task_that_a_full_one_has_no_slot_for(bed: Bed) -> None:
    async with bed.runner() as full:
        blocked = await bed.dispatch(waiting(), finish())
        await bed.until_event(blocked, "tool.started")
        async with bed.runner():
            for _ in range(3):
                dispatched_at = time.monotonic()
                task_id = await bed.dispatch(finish())
                assert await seconds_until_claimed(bed, task_id, dispatched_at) < AT_ONCE_SECONDS
                assert (await bed.until(task_id)).status is Status.FINISHED
        assert (await bed.task(blocked)).status is Status.RUNNING
        assert full.workspace(blocked, 1).is_dir()


async def test_the_turns_of_a_conversation_go_to_the_runner_of_its_last_container_while_it_can_take_them(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "PREFERENCE", timedelta(seconds=2))  # enough for a busy test machine
    bed.configure(warm_seconds=0.0, runner_lost_after_seconds=30)

    async def until_idle(task_id: str, turns: int) -> None:
        await bed.until_event(task_id, "turn.completed", turns)
        async with asyncio.timeout(30):
            while await bed.pool.fetchval("SELECT runner_id FROM tasks WHERE id = $1", task_id) is not None:
                await asyncio.sleep(0.02)

    async def turn(task_id: str, number: int) -> str:
        await bed.send(task_id, {"say": "Yes."})
        await until_idle(task_id, number)
        return await bed.pool.fetchval("SELECT last_runner_id FROM tasks WHERE id = $1", task_id)

    async with bed.runner(capacity=2) as first:  # the container before may still be stopping
        task_id = await bed.converse({"say": "Yes."})
        await until_idle(task_id, 1)
        async with bed.runner() as second:
            assert {await turn(task_id, number) for number in range(2, 7)} == {first.id}
            first.proxy.drop_packets()  # it lives by the lease, but claims nothing
            sent_at = time.monotonic()
            assert await turn(task_id, 7) == second.id
            assert time.monotonic() - sent_at < 25, "it waited for the end of the first one's lease"
            first.proxy.forward_again()


async def test_a_task_whose_notification_is_lost_is_claimed_at_the_next_poll(bed: Bed) -> None:
    async with bed.runner():
        first = await bed.dispatch(finish())
        await bed.until(first)
        await bed.pool.execute("ALTER TABLE tasks DISABLE TRIGGER count_inserted")
        task_id = await bed.dispatch(finish())
        dispatched_at = time.monotonic()
        await bed.pool.execute("UPDATE account_queues SET queued = queued + 1, ready_any = ready_any + 1")
        assert await seconds_until_claimed(bed, task_id, dispatched_at) < AFTER_CUT_SECONDS
        assert (await bed.until(task_id)).status is Status.FINISHED


async def test_a_steering_message_whose_notification_is_lost_is_found_within_seconds(bed: Bed) -> None:
    async with bed.runner():
        task_id = await bed.dispatch(waiting(), waiting("again"), finish())
        await bed.until_event(task_id, "tool.started")
        await bed.pool.execute(
            "INSERT INTO messages (id, task_id, sequence, turn_number, role, status, content, is_steering) "
            "VALUES ('msg_1', $1, 1000, 1, 'user', 'queued', 'Mind the gap.', true)",
            task_id,
        )
        await asyncio.sleep(MESSAGE_SECONDS + 1)
        await bed.unblock(task_id)
        await bed.until_event(task_id, "message.delivered")
        await bed.unblock(task_id, "again")
        assert (await bed.until(task_id)).status is Status.FINISHED


@pytest.mark.parametrize("cut_seconds", [0.5, 3.0, 6.0])
async def test_a_runner_claims_again_within_three_seconds_of_a_mended_cut(
    bed: Bed, cut_seconds: float
) -> None:
    async with bed.runner() as runner:
        await bed.until(await bed.dispatch(finish()))
        runner.proxy.drop_packets()
        task_id = await bed.dispatch(finish())
        await asyncio.sleep(cut_seconds)
        assert (await bed.task(task_id)).status is Status.PENDING
        runner.proxy.forward_again()
        assert await seconds_until_claimed(bed, task_id, time.monotonic()) < AFTER_CUT_SECONDS
        assert (await bed.until(task_id)).status is Status.FINISHED


async def test_a_claim_whose_connection_falls_silent_delays_its_task_by_seconds_and_is_no_try(
    bed: Bed,
) -> None:
    async with bed.runner() as runner:
        trap = runner.proxy.trap(CLAIM, "hung")
        task_id = await bed.dispatch({"bash": "echo a >> out.txt"}, finish("out.txt"))
        await trap.until_sprung()
        await bed.until(task_id)
        outcome = await sound_outcome(bed, task_id)
    assert (outcome.task.status, outcome.task.tries) == (Status.FINISHED, 0)
    assert outcome.outputs == {"out.txt": b"a\n"}


async def test_a_runner_that_others_count_as_stopped_ends_and_its_task_runs_elsewhere(bed: Bed) -> None:
    async with bed.runner() as first:
        task_id = await bed.dispatch(waiting(), finish())
        await bed.until_event(task_id, "tool.started")
        await bed.pool.execute("DELETE FROM runners")
        with pytest.raises(RunnerGone, match="does not have the runner rnr_"):
            await asyncio.wait_for(asyncio.shield(first.working), 15)
        await bed.until_no_sandbox(task_id)
    async with bed.runner():
        await bed.until_event(task_id, "tool.started", 2)
        await bed.unblock(task_id)
        assert (await bed.until(task_id)).status is Status.FINISHED


async def test_a_drained_runner_gives_back_its_task_and_works_again_after_undrain(bed: Bed) -> None:
    async with bed.runner() as runner:
        task_id = await bed.dispatch(waiting(), finish())
        await bed.until_event(task_id, "tool.started")
        assert await runners.set_draining(bed.pool, runner.id, is_draining=True)
        await bed.until(task_id, Status.PENDING)
        await bed.until_no_sandbox(task_id)
        await asyncio.sleep(1.5)
        assert (await bed.task(task_id)).status is Status.PENDING
        assert await runners.set_draining(bed.pool, runner.id, is_draining=False)
        await bed.until_event(task_id, "tool.started", 2)
        await bed.unblock(task_id)
        assert (await bed.until(task_id)).status is Status.FINISHED


async def test_no_task_begins_while_the_queue_is_paused_and_a_requeued_one_begins_again(bed: Bed) -> None:
    async with bed.runner():
        await queue.set_paused(bed.pool, is_paused=True)
        task_id = await bed.dispatch(waiting(), finish())
        await asyncio.sleep(1.5)
        assert (await bed.task(task_id)).status is Status.PENDING
        await queue.set_paused(bed.pool, is_paused=False)
        await bed.until_event(task_id, "tool.started")
        await service.requeue_by_operator(bed.pool, bed.settings, task_id)
        await service.requeue_by_operator(bed.pool, bed.settings, task_id)  # its delay ends at once
        await bed.until_event(task_id, "tool.started", 2)
        await bed.unblock(task_id)
        task = await bed.until(task_id)
    assert (task.status, task.tries) == (Status.FINISHED, 0)
