"""Examples that a type checker must accept, and types that it must infer. Nothing here is run."""

from pathlib import Path
from typing import assert_type

from agentcontainer_client import (
    Agent,
    AgentContainer,
    AsyncAgentContainer,
    AsyncTask,
    Conversation,
    OutputFile,
    Task,
    TaskFailed,
    events,
    models,
)


def run(client: AgentContainer) -> None:
    task = client.tasks.run(
        "Which region sells best?",
        agent="agt_standard_data",
        files=[Path("sales.csv"), "notes.txt", ("a.txt", b"content"), ("b.txt", "text")],
        outputs=["report", {"name": "data", "contentType": "text/csv", "maxBytes": 1000}],
        repositories=["https://example.com/app.git", {"url": "https://example.com/b.git", "ref": "main"}],
        internet=["pypi.org:443"],
        budget_usd=2,
        max_runtime=900,
        metadata={"customer": "c-17", "numbers": [1, 2]},
        overrides={"priority": 3, "egress": {"allow": ["pypi.org"]}},
        on_event=lambda event: print(event.sequence, event.type),
        timeout=900,
    )
    assert_type(task, Task)
    assert_type(task.result, str | None)
    assert_type(task.token_usage.output_tokens, int)
    assert_type(task.files().to_list(), list[OutputFile])
    assert_type(task.download_all("out"), list[Path])
    status: models.TaskStatus = task.status
    print(status)


def follow(client: AgentContainer, task_id: str) -> None:
    with client.tasks.get(task_id).stream() as stream:
        for event in stream:
            match event:
                case events.MessageDelta(content=text):
                    assert_type(text, str)
                case events.ToolCompleted(output=output, is_error=is_error):
                    assert_type(output, str)
                    assert_type(is_error, bool)
                case events.TaskFinished(files=files):
                    assert_type(files, list[events.OutputFileInEvent])
                case _:
                    assert_type(event.sequence, int)


def talk(client: AgentContainer) -> None:
    with client.conversations.create("Hello.", agent="agt_standard_coding", files=["a.txt"]) as chat:
        assert_type(chat, Conversation)
        assert_type(chat.reply().content, str)
        chat = chat.send("And now?", model="claude-haiku-4-5").interrupt()


def manage(client: AgentContainer) -> None:
    agent = client.agents.create(
        "Reporter", defaults={"maxRuntimeSeconds": 600, "outputPolicy": {"mode": "any"}}
    )
    assert_type(agent, Agent)
    assert_type([version.number for version in agent.versions()], list[int])
    for entry in client.account.ledger(order="asc"):
        assert_type(entry.amount_usd, float)
    for position in client.feed.stream(after=7):
        assert_type(position.type, models.FeedEventType)
    try:
        client.tasks.get("tsk_1").wait(5)
    except TaskFailed as failure:
        code: str | None = failure.error_code
        print(code, failure.task.id)


async def run_asynchronously(client: AsyncAgentContainer) -> None:
    task = await client.tasks.run("Count.", agent="agt_standard_data")
    assert_type(task, AsyncTask)
    async with task.stream(deltas=False) as stream:
        numbers = [event.sequence async for event in stream]
    assert_type(numbers, list[int])
    async for old in client.tasks.list(status=["failed", "expired"]):
        code: str | None = old.error_code
        print(code)
    await client.tasks.run_many([{"instructions": "a", "agent": "agt_1"}], at_once=4)
