"""Tasks through the client, against a running platform. `_sync` is written from `_async` by `make docs`."""

# Written by scripts/render_sync.py from _async. Do not edit.

import json
from pathlib import Path

import pytest

from agentcontainer_client import (
    AgentContainer,
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


def test_one_call_does_the_whole_job(client: AgentContainer, tmp_path: Path) -> None:
    sales = tmp_path / "sales.csv"
    sales.write_text("region,revenue\nnorth,3\nsouth,4\n")
    seen: list[events.Event] = []
    uploaded: list[tuple[int, int]] = []
    task = client.tasks.run(
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
    paths = task.download_all(tmp_path / "out")
    assert {path.name: path.read_bytes() for path in paths} == {
        "copy.csv": sales.read_bytes(),
        "count.txt": b"4\n",
    }
    [first, *_] = task.files(order="asc").to_list()
    assert first.read() == sales.read_bytes()


def test_the_same_in_steps(client: AgentContainer) -> None:
    task = client.tasks.create(script({"say": "Hello."}, finish()), agent=DATA, title="Steps")
    assert task.status == "pending"
    texts: list[str] = []
    with (client.tasks.get(task.id)).stream() as stream:
        for event in stream:
            match event:
                case events.MessageCompleted(content=content):
                    texts.append(content)
                case events.ToolStarted(tool=tool, input=given):
                    assert (tool, "finish" in json.dumps(given)) == ("bash", True)
                case _:
                    pass
    assert "Hello." in texts
    ended = task.wait(timeout=30)
    assert ended.has_ended
    assert (ended.refresh()).status == "finished"
    all_events = task.events().to_list()
    assert [event.sequence for event in all_events] == list(range(1, len(all_events) + 1))
    assert (task.event(2)).type == all_events[1].type
    found = client.tasks.list(q=task.id, fields="summary").first()
    assert found is not None
    assert (found.id, found.title, found.instructions) == (task.id, "Steps", None)


def test_a_failure_is_an_exception_with_the_task(client: AgentContainer) -> None:
    with pytest.raises(TaskFailed) as raised:
        client.tasks.run(script(waiting()), agent=DATA, max_runtime=2, timeout=60)
    assert raised.value.error_code == "max_runtime_exceeded"
    assert raised.value.task.status == "failed"
    assert str(raised.value) == raised.value.task.error
    task = client.tasks.run(script(waiting()), agent=DATA, max_runtime=2, timeout=60, raise_on_failure=False)
    assert task.status == "failed"


def test_waiting_ends_and_the_task_goes_on(client: AgentContainer) -> None:
    with pytest.raises(WaitTimedOut) as raised:
        client.tasks.run(script(waiting()), agent=DATA, timeout=1.5, on_event=lambda _: None)
    task = client.tasks.get(raised.value.task_id)
    assert not task.has_ended
    with pytest.raises(Conflict, match="has not ended"):
        task.delete()
    assert (task.cancel()).status == "cancelled"
    with pytest.raises(TaskCancelled):
        task.wait(timeout=30)


def test_steering_reaches_a_working_agent(client: AgentContainer) -> None:
    steps = script({"bash": "sleep 1"}, {"bash": "sleep 1"}, finish())
    task = client.tasks.create(steps, agent=DATA)
    with task.stream(timeout=30) as stream:
        for event in stream:
            if event.type == "tool.started":
                break
    sent = task.message("Leave out the south.")
    assert (sent.role, sent.content) == ("user", "Leave out the south.")
    assert [message.id for message in task.messages().to_list()] == [sent.id]
    task.wait(timeout=60)
    delivered = [event for event in task.events() if isinstance(event, events.MessageDelivered)]
    assert [event.message_id for event in delivered] == [sent.id]


def test_a_hibernating_task_is_woken(client: AgentContainer) -> None:
    steps = script({"bash": "hibernate --message 'Please approve.' --for 1h --wake-link"}, finish())
    task = client.tasks.create(steps, agent=DATA)
    with task.stream(timeout=60) as stream:
        for event in stream:
            if isinstance(event, events.TaskHibernated):
                break
    task = task.refresh()
    assert task.wake_url is not None
    assert task.wake_url not in repr(task)
    link = task.wake_link()
    assert "Please approve." in client.wake_links.page(link.url)
    assert (client.wake_links.use(link.url, "Approved.")).status == "woken"
    with pytest.raises(Conflict):
        task.wake()
    assert (task.wait(timeout=60)).status == "finished"


def test_many_tasks_end_in_the_order_in_which_they_were_given(
    client: AgentContainer,
) -> None:
    jobs = [
        {"instructions": script(finish(message=f"Number {number}.")), "agent": DATA} for number in range(4)
    ]
    tasks = client.tasks.run_many(jobs, timeout=100)  # type: ignore[arg-type]
    assert [task.result for task in tasks] == [f"Number {number}." for number in range(4)]
    with pytest.raises(NotFound):
        _ = [task for task in client.tasks.as_completed(["tsk_doesnotexist0000000000"], timeout=5)]


def test_a_batch_is_followed_to_its_ends(client: AgentContainer) -> None:
    batch = client.batches.create([script(finish()), script(finish())], agent=DATA)
    ended = [task.id for task in batch.as_completed(timeout=60)]
    assert sorted(ended) == sorted(batch.task_ids)
    again = [task.id for task in client.tasks.as_completed(ended, timeout=5)]  # all have ended
    assert sorted(again) == sorted(ended)
    assert (batch.refresh()).counts["finished"] == 2
    assert sorted([task.id for task in batch.tasks()]) == sorted(batch.task_ids)
    listed = client.batches.list().first()
    assert listed is not None
    assert listed.id == batch.id
    assert (batch.cancel()).counts["finished"] == 2


def test_what_is_missing_is_named(client: AgentContainer) -> None:
    with pytest.raises(NotFound) as raised:
        client.tasks.get("tsk_doesnotexist0000000000")
    assert raised.value.request_id is not None
    with pytest.raises(errors.ConfigurationError, match="Name an agent"):
        client.tasks.create("x")
