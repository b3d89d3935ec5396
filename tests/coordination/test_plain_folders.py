"""What an agent is told when its workspace, a plain folder, is full. Where no volume can be mounted, all are such."""

from agentcontainer.domain.tasks.state import Status
from tests.coordination.bed import Bed, finish
from tests.coordination.soundness import sound_outcome

HEARD = "find /workspace/.pi -name '*.jsonl' -exec cat {} + | grep '\"role\":\"user\"'"


async def test_an_agent_is_told_that_its_folder_is_full_and_goes_on_when_it_has_freed_room(bed: Bed) -> None:
    bed.configure(sandbox_disk_bytes=40_000_000)
    async with bed.runner():
        task_id = await bed.dispatch(
            {"bash": "head -c 40M /dev/zero > big; sleep 6"}, {"bash": f"{HEARD}; rm big"}, finish()
        )
        await bed.until(task_id)
        outcome = await sound_outcome(bed, task_id)
    assert outcome.task.status is Status.FINISHED, outcome.task.error
    heard = outcome.of("tool.completed")[1]["output"]
    assert "/workspace is full: its workspace may hold 40000000 bytes" in heard
    assert "If nothing is freed in 300 seconds, or much more is written, the task fails." in heard


async def test_a_folder_that_grows_far_beyond_its_limit_fails_its_task_at_once(bed: Bed) -> None:
    bed.configure(sandbox_disk_bytes=20_000_000)
    async with bed.runner():
        task_id = await bed.dispatch({"bash": "head -c 30M /dev/zero > big; sleep 1000"}, finish())
        task = await bed.until(task_id)
        await bed.until_no_sandbox(task_id)
    assert (task.status, task.error_code) == (Status.FAILED, "disk_full")
    assert task.error is not None and task.error.startswith(
        "The agent's disk is full: its workspace may hold"
    )
