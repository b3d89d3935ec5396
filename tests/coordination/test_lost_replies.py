"""The connection to the database breaks around one COMMIT: before it arrives, or after it was done, unanswered."""

import pytest

from agentcontainer.domain.tasks.state import Status
from tests.coordination.bed import Bed, finish, waiting
from tests.coordination.proxy import Failure, Wanted
from tests.coordination.soundness import sound_story

CLAIM = Wanted("attempt = attempt + 1, runner_id")
START = Wanted("started_at = coalesce(started_at")
TURN_END = Wanted("SET turn_number = $2, turn_status = $3", ("completed",))
FINISH = Wanted("UPDATE tasks SET status = $2", ("finished",))
HIBERNATE = Wanted("UPDATE tasks SET status = $2", ("hibernating",))
REQUEUE = Wanted("UPDATE tasks SET status = $2", ("pending",))

FAILURES = pytest.mark.parametrize("failure", ["reply lost", "cut before"])


@FAILURES
async def test_claim(bed: Bed, failure: Failure) -> None:
    async with bed.runner() as runner:
        trap = runner.proxy.trap(CLAIM, failure)
        task_id = await bed.dispatch({"bash": "echo a >> out.txt"}, finish("out.txt"))
        await trap.until_sprung()
        await bed.until(task_id)
        story = await sound_story(bed, task_id)
    assert story.task.status is Status.FINISHED
    assert story.outputs == {"out.txt": b"a\n"}
    assert story.count("task.started") == 1


@FAILURES
async def test_start(bed: Bed, failure: Failure) -> None:
    async with bed.runner() as runner:
        trap = runner.proxy.trap(START, failure)
        task_id = await bed.dispatch({"bash": "echo a >> out.txt"}, finish("out.txt"))
        await trap.until_sprung()
        await bed.until(task_id)
        story = await sound_story(bed, task_id)
    assert (story.task.status, story.attempts) == (Status.FINISHED, [1])
    assert story.outputs == {"out.txt": b"a\n"}


@FAILURES
async def test_turn_end(bed: Bed, failure: Failure) -> None:
    async with bed.runner() as runner:
        trap = runner.proxy.trap(TURN_END, failure)
        task_id = await bed.converse({"say": "One."})
        await trap.until_sprung()
        await bed.until(task_id, Status.AWAITING_INPUT)
        await bed.say(task_id, {"say": "Two."})
        await bed.until_event(task_id, "turn.completed", 2)
        await bed.end_conversation(task_id)
        story = await sound_story(bed, task_id)
    assert (story.task.status, story.attempts) == (Status.FINISHED, [1])
    replies = [data["content"] for data in story.of("message.created") if data["role"] == "assistant"]
    assert replies == ["One.", "Two."]


@FAILURES
async def test_finish(bed: Bed, failure: Failure) -> None:
    async with bed.runner() as runner:
        trap = runner.proxy.trap(FINISH, failure)
        task_id = await bed.dispatch({"bash": "echo a >> out.txt"}, finish("out.txt"))
        await trap.until_sprung()
        await bed.until(task_id)
        story = await sound_story(bed, task_id)
    assert (story.task.status, story.attempts) == (Status.FINISHED, [1])
    assert story.outputs == {"out.txt": b"a\n"}
    assert story.task.cost_micro_usd > 0


@FAILURES
async def test_hibernate(bed: Bed, failure: Failure) -> None:
    async with bed.runner() as runner:
        trap = runner.proxy.trap(HIBERNATE, failure)
        nap = {"bash": 'echo a >> out.txt; hibernate --message "Waiting." --for 1h'}
        task_id = await bed.dispatch(nap, finish("out.txt"))
        await trap.until_sprung()
        await bed.until(task_id, Status.HIBERNATING)
        await bed.until_no_sandbox(task_id)
        await bed.wake(task_id)
        await bed.until(task_id)
        story = await sound_story(bed, task_id)
    assert (story.task.status, story.attempts) == (Status.FINISHED, [1, 2])
    assert (story.count("task.hibernated"), story.count("task.woken")) == (1, 1)
    assert story.outputs == {"out.txt": b"a\n"}


@FAILURES
async def test_drain(bed: Bed, failure: Failure) -> None:
    async with bed.runner() as first:
        task_id = await bed.dispatch(waiting(then="echo a >> out.txt"), finish("out.txt"))
        await bed.until_event(task_id, "tool.started")
        trap = first.proxy.trap(REQUEUE, failure)
        await first.drain()
        assert trap.sprung.is_set()
        await bed.until_no_sandbox(task_id)
        async with bed.runner():
            await bed.until_event(task_id, "tool.started", 2)
            await bed.let_go_on(task_id)
            await bed.until(task_id)
            story = await sound_story(bed, task_id)
    assert (story.task.status, story.attempts) == (Status.FINISHED, [1, 2])
    assert (story.count("task.checkpointed"), story.count("task.requeued")) == (1, 1)
    assert story.outputs == {"out.txt": b"a\n"}


@FAILURES
async def test_lost(bed: Bed, failure: Failure) -> None:
    async with bed.runner() as first:
        task_id = await bed.dispatch(waiting(then="echo a >> out.txt"), finish("out.txt"))
        await bed.until_event(task_id, "tool.started")
        await first.kill()
    async with bed.runner() as second:
        trap = second.proxy.trap(REQUEUE, failure)
        await trap.until_sprung()
        await bed.until_event(task_id, "tool.started", 2)
        await bed.let_go_on(task_id)
        await bed.until(task_id)
        story = await sound_story(bed, task_id)
    assert (story.task.status, story.attempts) == (Status.FINISHED, [1, 2])
    assert (story.count("task.requeued"), story.task.tries) == (1, 1)
    assert story.outputs == {"out.txt": b"a\n"}
