"""A conversation's container between turns: kept, evicted, lost or drained."""

import pytest

from agentcontainer.domain.tasks.state import Status
from tests.coordination.bed import Bed, Runner, finish, waiting
from tests.coordination.proxy import Failure, TransactionPattern
from tests.coordination.soundness import Outcome, sound_outcome

TURN_END = TransactionPattern("SET turn_number = $2, turn_status = $3", ("completed",))
EVICT = TransactionPattern("UPDATE tasks SET runner_id = NULL")


def replies(outcome: Outcome) -> list[str]:
    return [data["content"] for data in outcome.of("message.created") if data["role"] == "assistant"]


async def idle_conversation(bed: Bed) -> str:
    """A conversation whose first turn is over and whose container is idle; returns its id."""
    task_id = await bed.converse({"bash": "echo a >> notes.txt"}, {"say": "One."})
    await bed.until(task_id, Status.AWAITING_INPUT)
    return task_id


async def second_turn(bed: Bed, task_id: str) -> Outcome:
    """Have a second message answered and end the conversation; returns its outcome."""
    await bed.send(task_id, {"bash": "echo b >> notes.txt; share notes.txt"}, {"say": "Two."})
    await bed.until_event(task_id, "turn.completed", 2)
    await bed.end_conversation(task_id)
    outcome = await sound_outcome(bed, task_id)
    assert replies(outcome) == ["One.", "Two."]
    assert outcome.outputs == {"notes.txt": b"a\nb\n"}
    assert [(d["turnNumber"], d["attemptNumber"]) for d in outcome.of("turn.started")] == [(1, 1), (2, 1)]
    return outcome


async def test_the_longest_idle_container_is_evicted_for_a_task(bed: Bed) -> None:
    async with bed.runner(capacity=2) as runner:
        longest, latest = await idle_conversation(bed), await idle_conversation(bed)
        evicted, kept = (
            runner.proxy.trap(TransactionPattern(EVICT.sql, (task_id,)), "held")
            for task_id in (longest, latest)
        )
        for trap in (evicted, kept):
            trap.released.set()
        task_id = await bed.dispatch({"bash": "true"}, finish())
        await evicted.until_sprung()
        assert not kept.sprung.is_set()  # later it may be: on a slow host the task asks for a slot again
        await bed.until(task_id)
        await second_turn(bed, latest)
        assert (await second_turn(bed, longest)).attempts == [1, 2]


@pytest.mark.parametrize("failure", ["reply lost", "cut before"])
async def test_an_eviction_survives_a_failed_commit(bed: Bed, failure: Failure) -> None:
    bed.configure(warm_seconds=0.2)
    async with bed.runner() as runner:
        trap = runner.proxy.trap(EVICT, failure)
        task_id = await idle_conversation(bed)
        await trap.until_sprung()
        await bed.until_no_sandbox(task_id)
        assert (await second_turn(bed, task_id)).attempts == [1, 2]


async def test_a_message_that_comes_before_an_eviction_is_answered_in_the_same_container(bed: Bed) -> None:
    bed.configure(warm_seconds=0.5)
    async with bed.runner() as runner:
        trap = runner.proxy.trap(EVICT, "cut before")
        task_id = await idle_conversation(bed)
        await trap.until_sprung()
        assert (await second_turn(bed, task_id)).attempts == [1]


async def drain(bed: Bed, runner: Runner, task_id: str) -> None:
    """Drain the runner; check that the conversation gives up its container and waits for a message."""
    await runner.drain()
    await bed.until_no_sandbox(task_id)
    assert (await bed.task(task_id)).status is Status.AWAITING_INPUT


async def second_turn_elsewhere(bed: Bed, task_id: str) -> None:
    """Check that another runner answers the second message, and that it does not cost a requeue."""
    async with bed.runner():
        outcome = await second_turn(bed, task_id)
    assert (outcome.attempts, outcome.count("task.requeued")) == ([1, 2], 0)


async def test_drain_of_an_idle_container(bed: Bed) -> None:
    async with bed.runner() as first:
        task_id = await idle_conversation(bed)
        await drain(bed, first, task_id)
    await second_turn_elsewhere(bed, task_id)


async def test_a_drain_at_the_end_of_a_turn_gives_up_the_container(bed: Bed) -> None:
    async with bed.runner() as first:
        trap = first.proxy.trap(TURN_END, "reply lost")  # the runner does not know yet that it is committed
        task_id = await bed.converse({"bash": "echo a >> notes.txt"}, {"say": "One."})
        await trap.until_sprung()
        await drain(bed, first, task_id)
    await second_turn_elsewhere(bed, task_id)


async def test_a_drain_during_a_turn_lets_the_turn_continue_elsewhere(bed: Bed) -> None:
    async with bed.runner() as first:
        task_id = await bed.converse(waiting(), {"say": "One."})
        await bed.until_event(task_id, "tool.started")
        await first.drain()
    async with bed.runner():
        await bed.until_event(task_id, "tool.started", 2)
        await bed.unblock(task_id)
        await bed.until(task_id, Status.AWAITING_INPUT)
        await bed.end_conversation(task_id)
        outcome = await sound_outcome(bed, task_id)
    assert (replies(outcome), outcome.attempts) == (["One."], [1, 2])
    assert [(d["turnNumber"], d["attemptNumber"]) for d in outcome.of("turn.started")] == [(1, 1), (1, 2)]


async def test_an_agent_that_lost_its_context_gets_its_standing_instructions_and_the_message(
    bed: Bed,
) -> None:
    # Pi cannot write its session again into a folder without write permission.
    forget = {
        "bash": "cd /workspace/.pi && until rm -rf sessions && mkdir -m 500 sessions 2> /dev/null; do :; done"
    }
    heard = {"bash": "find /workspace/.pi -name '*.jsonl' -exec cat {} + | grep '\"role\":\"user\"'"}
    async with bed.runner() as first:
        task_id = await bed.converse(forget, {"say": "One."}, instructions="Answer in French.")
        await bed.until(task_id, Status.AWAITING_INPUT)
        await first.drain()
    async with bed.runner():
        await bed.send(task_id, heard, {"say": "Two."})
        await bed.until_event(task_id, "turn.completed", 2)
        await bed.end_conversation(task_id)
        outcome = await sound_outcome(bed, task_id)
    assert (replies(outcome), outcome.count("context.lost")) == (["One.", "Two."], 1)
    prompt = outcome.of("tool.completed")[-1]["output"]
    parts = ("You remember nothing of your work so far", "Answer in French.", "The user's message:", "Two.")
    places = [prompt.find(part) for part in parts]
    assert places == sorted(places) and places[0] >= 0, prompt


async def test_a_turn_whose_state_cannot_be_saved_fails_and_the_next_one_goes_on_from_before(
    bed: Bed,
) -> None:
    async with bed.runner() as first:
        task_id = await idle_conversation(bed)
        await first.drain()
    bed.configure(max_checkpoint_bytes=1)
    async with bed.runner() as second:
        await bed.send(task_id, {"bash": "echo lost >> notes.txt"}, {"say": "Never stored."})
        await bed.until_event(task_id, "turn.failed")
        failed = await bed.until(task_id, Status.AWAITING_INPUT)
        await bed.until_no_sandbox(task_id)
        await second.drain()
    assert failed.error_code == "checkpoint_failed"
    bed.configure(max_checkpoint_bytes=10**9)
    async with bed.runner():
        await bed.send(task_id, {"bash": "echo b >> notes.txt; share notes.txt"}, {"say": "Three."})
        await bed.until_event(task_id, "turn.completed", 2)
        await bed.end_conversation(task_id)
        outcome = await sound_outcome(bed, task_id)
    assert (replies(outcome), outcome.outputs) == (["One.", "Three."], {"notes.txt": b"a\nb\n"})
