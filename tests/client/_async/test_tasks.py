"""Tasks through the client, against a running platform. `_sync` is written from `_async` by `make docs`."""

import json
from pathlib import Path

import pytest

from agentcontainer_client import (
    AsyncAgentContainer,
    Conflict,
    NotFound,
    TaskCancelled,
    TaskFailed,
    WaitTimedOut,
    errors,
    events,
)
from tests.acceptance.bed import finish, script, waiting

DATA = "agt_standard_data"


async def test_one_call_does_the_whole_job(async_client: AsyncAgentContainer, tmp_path: Path) -> None:
    sales = tmp_path / "sales.csv"
    sales.write_text("region,revenue\nnorth,3\nsouth,4\n")
    seen: list[events.Event] = []
    uploaded: list[tuple[int, int]] = []
    task = await async_client.tasks.run(
        script(
            {"bash": "cp task_files/sales.csv copy.csv; wc -c < task_files/notes.txt > count.txt"},
            finish("copy.csv", "count.txt"),
        ),
        agent=DATA,
        files=[sales, ("notes.txt", b"four")],
        outputs="at_least_one",
        budget_usd=2,
        metadata={"customer": "c-17"},
        on_event=seen.append,
        on_upload=lambda *numbers: uploaded.append(numbers),
        timeout=60,
    )
    assert (task.status, task.completion, task.result) == ("finished", "complete", "Done as asked.")
    assert task.metadata == {"customer": "c-17"}
    assert task.token_usage.output_tokens > 0
    logged = [event.sequence for event in seen if event.sequence]
    assert logged == list(range(1, len(logged) + 1))
    assert seen[-1].is_last
    assert isinstance(seen[-1], events.TaskFinished)
    assert uploaded[-1] == (sales.stat().st_size + 4, sales.stat().st_size + 4)
    paths = await task.download_all(tmp_path / "out")
    assert {path.name: path.read_bytes() for path in paths} == {
        "copy.csv": sales.read_bytes(),
        "count.txt": b"4\n",
    }
    [first, *_] = await task.files(order="asc").to_list()
    assert await first.read() == sales.read_bytes()


async def test_the_same_in_steps(async_client: AsyncAgentContainer) -> None:
    task = await async_client.tasks.create(script({"say": "Hello."}, finish()), agent=DATA, title="Steps")
    assert task.status == "pending"
    texts: list[str] = []
    async with (await async_client.tasks.get(task.id)).stream() as stream:
        async for event in stream:
            match event:
                case events.MessageCompleted(content=content):
                    texts.append(content)
                case events.ToolStarted(tool=tool, input=given):
                    assert (tool, "finish" in json.dumps(given)) == ("bash", True)
                case _:
                    pass
    assert "Hello." in texts
    ended = await task.wait(timeout=30)
    assert ended.has_ended
    assert (await ended.refresh()).status == "finished"
    all_events = await task.events().to_list()
    assert [event.sequence for event in all_events] == list(range(1, len(all_events) + 1))
    assert (await task.event(2)).type == all_events[1].type
    found = await async_client.tasks.list(q=task.id, fields="summary").first()
    assert found is not None
    assert (found.id, found.title, found.instructions) == (task.id, "Steps", None)


async def test_a_failure_is_an_exception_with_the_task(async_client: AsyncAgentContainer) -> None:
    with pytest.raises(TaskFailed) as raised:
        await async_client.tasks.run(script(waiting()), agent=DATA, max_runtime=2, timeout=60)
    assert raised.value.error_code == "max_runtime_exceeded"
    assert raised.value.task.status == "failed"
    assert str(raised.value) == raised.value.task.error
    task = await async_client.tasks.run(
        script(waiting()), agent=DATA, max_runtime=2, timeout=60, raise_on_failure=False
    )
    assert task.status == "failed"


async def test_waiting_ends_and_the_task_goes_on(async_client: AsyncAgentContainer) -> None:
    with pytest.raises(WaitTimedOut) as raised:
        await async_client.tasks.run(script(waiting()), agent=DATA, timeout=1.5, on_event=lambda _: None)
    task = await async_client.tasks.get(raised.value.task_id)
    assert not task.has_ended
    with pytest.raises(Conflict, match="has not ended"):
        await task.delete()
    assert (await task.cancel()).status == "cancelled"
    with pytest.raises(TaskCancelled):
        await task.wait(timeout=30)


async def test_steering_reaches_a_working_agent(async_client: AsyncAgentContainer) -> None:
    steps = script({"bash": "sleep 1"}, {"bash": "sleep 1"}, finish())
    task = await async_client.tasks.create(steps, agent=DATA)
    async with task.stream(timeout=30) as stream:
        async for event in stream:
            if event.type == "tool.started":
                break
    sent = await task.message("Leave out the south.")
    assert (sent.role, sent.content) == ("user", "Leave out the south.")
    assert [message.id for message in await task.messages().to_list()] == [sent.id]
    await task.wait(timeout=60)
    delivered = [event async for event in task.events() if isinstance(event, events.MessageDelivered)]
    assert [event.message_id for event in delivered] == [sent.id]


async def test_a_hibernating_task_is_woken(async_client: AsyncAgentContainer) -> None:
    steps = script({"bash": "hibernate --message 'Please approve.' --for 1h --wake-link"}, finish())
    task = await async_client.tasks.create(steps, agent=DATA)
    async with task.stream(timeout=60) as stream:
        async for event in stream:
            if isinstance(event, events.TaskHibernated):
                break
    task = await task.refresh()
    assert task.wake_url is not None
    assert task.wake_url not in repr(task)
    link = await task.wake_link()
    assert "Please approve." in await async_client.wake_links.page(link.url)
    assert (await async_client.wake_links.use(link.url, "Approved.")).status == "woken"
    with pytest.raises(Conflict):
        await task.wake()
    assert (await task.wait(timeout=60)).status == "finished"


async def test_many_tasks_end_in_the_order_in_which_they_were_given(
    async_client: AsyncAgentContainer,
) -> None:
    jobs = [
        {"instructions": script(finish(message=f"Number {number}.")), "agent": DATA} for number in range(4)
    ]
    tasks = await async_client.tasks.run_many(jobs, timeout=100)  # type: ignore[arg-type]
    assert [task.result for task in tasks] == [f"Number {number}." for number in range(4)]
    with pytest.raises(NotFound):
        _ = [
            task async for task in async_client.tasks.as_completed(["tsk_doesnotexist0000000000"], timeout=5)
        ]


async def test_a_batch_is_followed_to_its_ends(async_client: AsyncAgentContainer) -> None:
    batch = await async_client.batches.create([script(finish()), script(finish())], agent=DATA)
    ended = [task.id async for task in batch.as_completed(timeout=60)]
    assert sorted(ended) == sorted(batch.task_ids)
    again = [task.id async for task in async_client.tasks.as_completed(ended, timeout=5)]  # all have ended
    assert sorted(again) == sorted(ended)
    assert (await batch.refresh()).counts["finished"] == 2
    assert sorted([task.id async for task in batch.tasks()]) == sorted(batch.task_ids)
    listed = await async_client.batches.list().first()
    assert listed is not None
    assert listed.id == batch.id
    assert (await batch.cancel()).counts["finished"] == 2


async def test_what_is_missing_is_named(async_client: AsyncAgentContainer) -> None:
    with pytest.raises(NotFound) as raised:
        await async_client.tasks.get("tsk_doesnotexist0000000000")
    assert raised.value.request_id is not None
    with pytest.raises(errors.ConfigurationError, match="Name an agent"):
        await async_client.tasks.create("x")
