"""The traces of real tasks, as a collector gets them: parents, links, times, tokens, and nothing that is secret."""

import json
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from opentelemetry import trace

from agentcontainer.gateway.scripted import ScriptedModel
from tests.acceptance.conftest import OTLP_KEY, PROVIDER_KEY
from tests.otlp_receiver import Received, Receiver

from .bed import Client, Platform, finish, script

CANARY = "canary-of-the-instructions"
SLACK_SECONDS = 0.25  # events are written in batches, and their times rounded to milliseconds
STARTED, COMPLETED = "tool.started", "tool.completed"


@pytest.fixture
def client(open_platform: Platform) -> Client:
    return open_platform.account()


@pytest.fixture
def span() -> Iterator[str]:
    """A span of this program, which the client names in its requests."""
    context = trace.SpanContext(0x1234, 0x56, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        yield f"{context.trace_id:032x}-{context.span_id:016x}"


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def root_of(receiver: Receiver, task_id: str, count: int = 1) -> list[Received]:
    """The spans `invoke_agent` of a task, once so many have arrived: the last of their trace to be sent."""

    def roots() -> list[Received]:
        return [span for span in receiver.of_task(task_id) if span.name.startswith("invoke_agent")]

    found = receiver.until(lambda: len(roots()) >= count and roots())
    return sorted(found, key=lambda root: root.start)


def below(receiver: Receiver, root: Received, name: str) -> list[Received]:
    spans = receiver.of_task(root.attributes["agentcontainer.task.id"])
    found = [one for one in spans if one.parent == root.span_id and one.name.split()[0] == name]
    return sorted(found, key=lambda one: one.start)


def test_a_task_with_two_model_calls_and_three_tools(
    open_platform: Platform, client: Client, collector: Receiver, seen_model: ScriptedModel, span: str
) -> None:
    looking = "env > env.txt; cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' >> env.txt; true"
    steps = [
        {"tools": [{"bash": looking}, {"tool": "read", "input": {"path": "no-such-file"}}]},
        finish("env.txt"),
    ]
    task = client.run(script(*steps, task=CANARY))
    assert task["status"] == "finished", task
    [root] = root_of(collector, task["id"])
    spans = collector.of_task(task["id"])
    assert {one.trace_id for one in spans} == {root.trace_id}
    assert root.links == (span,)
    assert root.parent == ""

    chats, tools = below(collector, root, "chat"), below(collector, root, "execute_tool")
    names = {"agentcontainer.queue", "agentcontainer.prepare", "agentcontainer.collect"}
    assert len(spans) == 1 + len(chats) + len(tools) + len(names)
    assert names == {one.name for one in spans if one.name.startswith("agentcontainer.")}
    assert (len(chats), [tool.name for tool in tools if "bash" in tool.name], len(tools)) == (
        2, ["execute_tool bash"] * 2, 3,
    )  # fmt: skip
    assert [tool.attributes.get("error.type") for tool in tools if "read" in tool.name] == ["tool_error"]
    assert not any(chat.is_error for chat in chats), chats

    usage = task["tokenUsage"]
    for kind in ("input_tokens", "output_tokens"):
        assert sum(chat.attributes[f"gen_ai.usage.{kind}"] for chat in chats) == usage[kind]
        assert root.attributes[f"gen_ai.usage.{kind}"] == usage[kind] > 0
    expected = {
        "gen_ai.conversation.id": task["id"], "agentcontainer.attempt": 1,
        "gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude-sonnet-4-6",
        "agentcontainer.account.id": client.account_id, "agentcontainer.status": "finished",
        "agentcontainer.completion": "complete", "agentcontainer.mode": "autonomous",
    }  # fmt: skip
    assert expected.items() <= root.attributes.items()
    for chat in chats:
        assert chat.attributes["gen_ai.response.finish_reasons"] == ["tool_use"]
        assert chat.attributes["gen_ai.response.id"]
        assert chat.attributes["server.address"] == "127.0.0.1"
        assert 0 < chat.attributes["gen_ai.response.time_to_first_chunk"] <= chat.end - chat.start

    of_task_lie_within_its_events(client, task, root, chats, tools, spans)
    nothing_secret_was_sent_or_seen(client, task, collector, seen_model)


def of_task_lie_within_its_events(
    client: Client, task: dict[str, Any], root: Received, chats: list[Received], tools: list[Received],
    spans: list[Received],
) -> None:  # fmt: skip
    events = client.events(task["id"])
    at = {event["type"]: seconds(event["createdAt"]) for event in events}
    assert at["task.created"] - SLACK_SECONDS <= root.start <= at["task.started"]
    assert at["task.started"] <= root.end <= at["task.finished"] + SLACK_SECONDS
    for one in spans:
        assert (
            at["task.created"] - SLACK_SECONDS <= one.start <= one.end <= at["task.finished"] + SLACK_SECONDS
        )
    queue, prepare = (
        next(one for one in spans if one.name == f"agentcontainer.{part}") for part in ("queue", "prepare")
    )
    assert queue.end == pytest.approx(root.start, abs=1e-3)
    assert prepare.end <= chats[0].start
    assert chats[0].end <= chats[1].start
    started = {event["data"]["callId"]: event for event in events if event["type"] == STARTED}
    completed = {event["data"]["callId"]: event for event in events if event["type"] == COMPLETED}
    assert started.keys() == {tool.attributes["gen_ai.tool.call.id"] for tool in tools}
    for tool in tools:
        call_id = tool.attributes["gen_ai.tool.call.id"]
        assert (tool.end - tool.start) * 1000 == pytest.approx(
            completed[call_id]["data"]["durationMs"], abs=1
        )
        assert tool.start <= seconds(started[call_id]["createdAt"]) + 1e-3
        assert tool.end <= seconds(completed[call_id]["createdAt"]) + SLACK_SECONDS
    assert all(before.start <= after.start for before, after in pairwise(chats))


def nothing_secret_was_sent_or_seen(
    client: Client, task: dict[str, Any], collector: Receiver, seen_model: ScriptedModel
) -> None:
    sent = b"".join(collector.bodies)
    for hidden in (CANARY, PROVIDER_KEY, client.api_key, OTLP_KEY, task["title"], "no-such-file"):
        assert hidden.encode() not in sent, hidden
    assert collector.headers[-1]["x-key"] == OTLP_KEY
    environment = client.outputs(task["id"])["env.txt"].decode(errors="replace")
    assert "PATH=" in environment
    for hidden in ("OTEL", "traceparent", OTLP_KEY, collector.url.rpartition(":")[2], "0000001234"):
        assert hidden not in environment
    requests = [request for request in seen_model.requests if CANARY in json.dumps(request.body)]
    assert len(requests) == 2
    assert not any("traceparent" in request.headers for request in requests)


def test_metrics_of_tasks_arrive_and_name_no_account(collector: Receiver, client: Client) -> None:
    task = client.run(script(finish()))
    root_of(collector, task["id"])
    collector.until(lambda: "gen_ai.invoke_agent.duration" in collector.metrics)
    text = str(collector.metrics)
    assert not any(hidden in text for hidden in (task["id"], client.account_id, CANARY))


def test_each_turn_of_a_conversation_is_a_trace_that_links_to_its_message(
    client: Client, collector: Receiver
) -> None:
    def named(number: int) -> Any:
        context = trace.SpanContext(0x99, number, is_remote=False, trace_flags=trace.TraceFlags(1))
        return trace.use_span(trace.NonRecordingSpan(context))

    with named(1):
        task_id = client.begin(script({"bash": "true"}, {"say": "First."}))
    client.wait(task_id, "awaiting_input")
    with named(2):
        client.send(task_id, script({"say": "Second."}))
    roots = root_of(collector, task_id, 2)
    client.end(task_id)
    assert [root.attributes["agentcontainer.turn"] for root in roots] == [1, 2]
    assert [root.attributes["agentcontainer.status"] for root in roots] == ["completed", "completed"]
    assert len({root.trace_id for root in roots}) == 2
    dispatch, message = (f"{0x99:032x}-{number:016x}" for number in (1, 2))
    assert [root.links for root in roots] == [(dispatch,), (message, dispatch)]
    collector.until(lambda: below(collector, roots[1], "chat"))
    assert len(below(collector, roots[0], "execute_tool")) == 1
    assert below(collector, roots[1], "agentcontainer.prepare") == []  # it ran in the same container
    assert len(below(collector, roots[1], "agentcontainer.checkpoint")) == 1


def test_a_failed_task_and_a_cancelled_one_have_an_error_type(client: Client, collector: Receiver) -> None:
    failed = client.run(script({"error": 400, "message": "No.", "times": 9}))
    [root] = root_of(collector, failed["id"])
    assert (root.is_error, root.attributes["error.type"]) == (True, failed["errorCode"])
    [chat, *_] = below(collector, root, "chat")
    assert (chat.is_error, chat.attributes["error.type"]) == (True, "400")
    task_id = client.dispatch(script({"bash": "sleep 60"}, finish()))
    client.until_event(task_id, lambda event: event["type"] == STARTED)
    client.cancel(task_id)
    [root] = root_of(collector, task_id)
    assert root.attributes["error.type"] == "claim_lost"
    [tool] = below(collector, root, "execute_tool")
    assert tool.attributes["error.type"] == "interrupted"


def test_content_is_sent_if_the_operator_wants_it_and_never_a_key(
    quick_platform: Platform, content_collector: Receiver
) -> None:
    """The task is saved while it runs, and hibernates: its next attempt starts from the checkpoint."""
    client = quick_platform.account()
    steps = [
        {"say": "I look.", "bash": "echo result-canary; sleep 1.6"},
        {"bash": 'hibernate --message "Later." --for 30m'},
        finish(message="Done."),
    ]
    task_id = client.dispatch(script(*steps, task=CANARY))
    client.wait(task_id, "hibernating")
    client.wake(task_id)
    task = client.wait(task_id)
    assert task["status"] == "finished", task
    first, second = root_of(content_collector, task_id, 2)
    assert [root.attributes["agentcontainer.status"] for root in (first, second)] == [
        "hibernating",
        "finished",
    ]
    assert [root.attributes["agentcontainer.attempt"] for root in (first, second)] == [1, 2]
    chats = [chat for root in (first, second) for chat in below(content_collector, root, "chat")]
    assert (
        sum(chat.attributes["gen_ai.usage.input_tokens"] for chat in chats)
        == task["tokenUsage"]["input_tokens"]
    )
    messages = json.loads(chats[0].attributes["gen_ai.input.messages"])
    assert (messages[0]["role"], CANARY in str(messages)) == ("user", True)
    [answer] = json.loads(chats[0].attributes["gen_ai.output.messages"])
    assert answer["role"] == "assistant"
    assert answer["parts"][0] == {"type": "text", "content": "I look."}
    assert answer["parts"][1]["name"] == "bash"
    assert answer["parts"][1]["arguments"]["command"].startswith("echo result-canary")
    [system, *_] = json.loads(chats[0].attributes["gen_ai.system_instructions"])
    assert system["type"] == "text"
    tool = below(content_collector, first, "execute_tool")[0]
    assert json.loads(tool.attributes["gen_ai.tool.call.arguments"])["command"].startswith(
        "echo result-canary"
    )
    assert "result-canary" in tool.attributes["gen_ai.tool.call.result"]
    [*_, saved] = below(content_collector, first, "agentcontainer.checkpoint")
    assert saved.attributes["agentcontainer.size_bytes"] > 0
    assert saved.attributes["agentcontainer.paused_ms"] >= 0
    spans = content_collector.of_task(task_id)
    prepared = below(content_collector, second, "agentcontainer.prepare")
    restored = [one for one in spans if one.name == "agentcontainer.restore"]
    assert len(prepared) == len(restored) == 1
    assert prepared[0].start <= restored[0].start <= restored[0].end <= prepared[0].end
    sent = b"".join(content_collector.bodies)
    for hidden in (PROVIDER_KEY, client.api_key, OTLP_KEY):
        assert hidden.encode() not in sent
