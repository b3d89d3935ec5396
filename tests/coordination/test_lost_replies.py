"""The database connection breaks at one COMMIT: before it arrives, or after it succeeded but before the reply."""

import logging

import pytest

from agentcontainer.domain.tasks.state import Status
from tests.coordination.bed import Bed, finish, waiting
from tests.coordination.proxy import Failure, TransactionPattern, Trap
from tests.coordination.soundness import sound_outcome

CLAIM = TransactionPattern("attempt = attempt + 1, runner_id")
START = TransactionPattern("started_at = coalesce(started_at")
TURN_END = TransactionPattern("SET turn_number = $2, turn_status = $3", ("completed",))
FINISH = TransactionPattern("UPDATE tasks SET status = $2", ("finished",))
HIBERNATE = TransactionPattern("UPDATE tasks SET status = $2", ("hibernating",))
REQUEUE = TransactionPattern("UPDATE tasks SET status = $2", ("pending",))

REGISTER = TransactionPattern("INSERT INTO runners")
TURN_BEGIN = TransactionPattern("SET turn_number = $2, turn_status = $3", ("running",))
SHARE = TransactionPattern("INSERT INTO files")
DELIVER = TransactionPattern("UPDATE messages SET status = 'delivered'")
CHECKPOINT = TransactionPattern("UPDATE tasks SET checkpoint_id = $3")
USAGE = TransactionPattern("unreported_tokens =")

FAILURE_KINDS: tuple[Failure, ...] = ("reply lost", "cut before")
FAILURES = pytest.mark.parametrize("failure", FAILURE_KINDS)


@FAILURES
async def test_a_claim_survives_a_failed_commit(bed: Bed, failure: Failure) -> None:
    async with bed.runner() as runner:
        trap = runner.proxy.trap(CLAIM, failure)
        task_id = await bed.dispatch({"bash": "echo a >> out.txt"}, finish("out.txt"))
        await trap.until_sprung()
        await bed.until(task_id)
        outcome = await sound_outcome(bed, task_id)
    assert (outcome.task.status, outcome.attempts, outcome.task.tries) == (Status.FINISHED, [1], 0)
    assert outcome.outputs == {"out.txt": b"a\n"}


@FAILURES
async def test_a_start_survives_a_failed_commit(bed: Bed, failure: Failure) -> None:
    async with bed.runner() as runner:
        trap = runner.proxy.trap(START, failure)
        task_id = await bed.dispatch({"bash": "echo a >> out.txt"}, finish("out.txt"))
        await trap.until_sprung()
        await bed.until(task_id)
        outcome = await sound_outcome(bed, task_id)
    assert (outcome.task.status, outcome.attempts) == (Status.FINISHED, [1])
    assert outcome.outputs == {"out.txt": b"a\n"}


@FAILURES
async def test_the_end_of_a_turn_survives_a_failed_commit(bed: Bed, failure: Failure) -> None:
    async with bed.runner() as runner:
        trap = runner.proxy.trap(TURN_END, failure)
        task_id = await bed.converse({"say": "One."})
        await trap.until_sprung()
        await bed.until(task_id, Status.AWAITING_INPUT)
        await bed.send(task_id, {"say": "Two."})
        await bed.until_event(task_id, "turn.completed", 2)
        await bed.end_conversation(task_id)
        outcome = await sound_outcome(bed, task_id)
    assert (outcome.task.status, outcome.attempts) == (Status.FINISHED, [1])
    replies = [data["content"] for data in outcome.of("message.created") if data["role"] == "assistant"]
    assert replies == ["One.", "Two."]


@FAILURES
async def test_finish_survives_a_failed_commit(
    bed: Bed, failure: Failure, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with bed.runner() as runner:
        trap = runner.proxy.trap(FINISH, failure)
        task_id = await bed.dispatch({"bash": "echo a >> out.txt"}, finish("out.txt"))
        await trap.until_sprung()
        await bed.until(task_id)
        outcome = await sound_outcome(bed, task_id)
    assert (outcome.task.status, outcome.attempts) == (Status.FINISHED, [1])
    assert outcome.outputs == {"out.txt": b"a\n"}
    assert outcome.task.cost_micro_usd > 0
    assert "the claim is lost" not in caplog.text, "this attempt ended the task itself"


@FAILURES
async def test_hibernate_survives_a_failed_commit(bed: Bed, failure: Failure) -> None:
    async with bed.runner() as runner:
        trap = runner.proxy.trap(HIBERNATE, failure)
        nap = {"bash": 'echo a >> out.txt; hibernate --message "Waiting." --for 1h'}
        task_id = await bed.dispatch(nap, finish("out.txt"))
        await trap.until_sprung()
        await bed.until(task_id, Status.HIBERNATING)
        await bed.until_no_sandbox(task_id)
        await bed.wake(task_id)
        await bed.until(task_id)
        outcome = await sound_outcome(bed, task_id)
    assert (outcome.task.status, outcome.attempts) == (Status.FINISHED, [1, 2])
    assert (outcome.count("task.hibernated"), outcome.count("task.woken")) == (1, 1)
    assert outcome.outputs == {"out.txt": b"a\n"}


@FAILURES
async def test_a_drain_survives_a_failed_commit(bed: Bed, failure: Failure) -> None:
    async with bed.runner() as first:
        task_id = await bed.dispatch(waiting(then="echo a >> out.txt"), finish("out.txt"))
        await bed.until_event(task_id, "tool.started")
        trap = first.proxy.trap(REQUEUE, failure)
        await first.drain()
        assert trap.sprung.is_set()
        await bed.until_no_sandbox(task_id)
        async with bed.runner():
            await bed.until_event(task_id, "tool.started", 2)
            await bed.unblock(task_id)
            await bed.until(task_id)
            outcome = await sound_outcome(bed, task_id)
    assert (outcome.task.status, outcome.attempts) == (Status.FINISHED, [1, 2])
    assert (outcome.count("task.checkpointed"), outcome.count("task.requeued")) == (1, 1)
    assert outcome.outputs == {"out.txt": b"a\n"}


@FAILURES
async def test_the_requeue_of_a_lost_task_survives_a_failed_commit(bed: Bed, failure: Failure) -> None:
    async with bed.runner() as first:
        task_id = await bed.dispatch(waiting(then="echo a >> out.txt"), finish("out.txt"))
        await bed.until_event(task_id, "tool.started")
        await first.kill()
    async with bed.runner() as second:
        trap = second.proxy.trap(REQUEUE, failure)
        await trap.until_sprung()
        await bed.until_event(task_id, "tool.started", 2)
        await bed.unblock(task_id)
        await bed.until(task_id)
        outcome = await sound_outcome(bed, task_id)
    assert (outcome.task.status, outcome.attempts) == (Status.FINISHED, [1, 2])
    assert (outcome.count("task.requeued"), outcome.task.tries) == (1, 1)
    assert outcome.outputs == {"out.txt": b"a\n"}


@FAILURES
async def test_the_begin_of_each_turn_and_a_share_survive_a_failed_commit(bed: Bed, failure: Failure) -> None:
    async with bed.runner() as runner:
        begin, share = runner.proxy.trap(TURN_BEGIN, failure), runner.proxy.trap(SHARE, failure)
        task_id = await bed.converse({"bash": "echo a > out.txt; share out.txt"}, {"say": "Shared."})
        await begin.until_sprung()
        await share.until_sprung()
        await bed.until(task_id, Status.AWAITING_INPUT)
        begin_warm = runner.proxy.trap(TURN_BEGIN, failure)
        await bed.send(task_id, {"say": "Two."})
        await begin_warm.until_sprung()
        await bed.until_event(task_id, "turn.completed", 2)
        await bed.end_conversation(task_id)
        outcome = await sound_outcome(bed, task_id)
    assert [(d["turnNumber"], d["attemptNumber"]) for d in outcome.of("turn.started")] == [(1, 1), (2, 1)]
    assert (outcome.task.status, outcome.attempts) == (Status.FINISHED, [1])
    assert (outcome.count("file.shared"), outcome.outputs) == (1, {"out.txt": b"a\n"})
    assert len(outcome.of("message.created")[1]["files"]) == 1


@FAILURES
async def test_the_registration_of_a_runner_and_the_delivery_of_a_message_survive_a_failed_commit(
    bed: Bed, failure: Failure
) -> None:
    registration: list[Trap] = []
    async with bed.runner(prepare=lambda proxy: registration.append(proxy.trap(REGISTER, failure))) as runner:
        task_id = await bed.dispatch(waiting(), waiting("again"), waiting("later"), finish())
        await bed.until_event(task_id, "tool.started")
        trap = runner.proxy.trap(DELIVER, failure)
        await bed.steer(task_id, "Mind the gap.")
        await bed.unblock(task_id)
        await trap.until_sprung()
        await bed.until_event(task_id, "tool.started", 2)
        await bed.until_event(task_id, "message.delivered")
        await bed.unblock(task_id, "again")
        await bed.unblock(task_id, "later")
        await bed.until(task_id)
        outcome = await sound_outcome(bed, task_id)
    assert registration[0].sprung.is_set()
    assert (outcome.task.status, outcome.attempts) == (Status.FINISHED, [1])
    assert outcome.count("message.delivered") == 1


@FAILURES
async def test_the_checkpoint_of_a_drain_survives_a_failed_commit(bed: Bed, failure: Failure) -> None:
    async with bed.runner() as first:
        task_id = await bed.dispatch(waiting(then="echo a >> out.txt"), finish("out.txt"))
        await bed.until_event(task_id, "tool.started")
        trap = first.proxy.trap(CHECKPOINT, failure)
        await first.drain()
        assert trap.sprung.is_set()
    assert (await bed.event_types(task_id)).count("task.checkpointed") == 1
    await bed.cancel(task_id)
    await sound_outcome(bed, task_id)


async def test_token_usage_survives_a_failed_commit(bed: Bed) -> None:
    steps = {"bash": "true"}, finish()
    async with bed.runner() as runner:
        untroubled = await bed.until(await bed.dispatch(*steps))
        for failure in FAILURE_KINDS:
            trap = runner.proxy.trap(USAGE, failure)
            troubled = await bed.until(await bed.dispatch(*steps))
            assert trap.sprung.is_set()
            await bed.until_no_sandbox(troubled.id)
            counted = (troubled.output_tokens, troubled.unreported_tokens)
            assert counted == (untroubled.output_tokens, untroubled.unreported_tokens)
