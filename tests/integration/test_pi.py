"""Our client with the real Pi in a real sandbox; only the model behind the gateway's socket is simulated."""

import asyncio
import json
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agentcontainer.domain.execution.model import OutputPolicy
from agentcontainer.gateway import scripted
from agentcontainer.runner.agent.pi_events import (
    CompactionEnded,
    CompactionStarted,
    MessageCompleted,
    PiEndedError,
    PiRefusedError,
    RetryStarted,
    Settled,
    TextDelta,
    ToolCompleted,
    ToolStarted,
    TurnStarted,
)
from agentcontainer.runner.agent.prompts import prompt, woken_prompt

from .pi_bed import PiBed, of, pi_bed_in, settle
from .pi_model import MODEL, Fail, Model, Say, run

LIST_TRANSLATED = "ls -A /tmp/jiti > translated 2> /dev/null"  # where Pi's loader keeps what it translated


@pytest.fixture
async def bed(short_dir: Path) -> AsyncIterator[PiBed]:
    async with pi_bed_in(short_dir) as bed:
        yield bed


async def test_a_prompt_leads_to_a_tool_call_and_a_reply(bed: PiBed) -> None:
    bed.model.answers = [
        run(f"echo made > out.txt; {LIST_TRANSLATED}; echo $HOME $PATH; pwd"),
        Say("All \u2028 done."),
    ]
    async with bed.pi() as (pi, _):
        await pi.prompt("Make out.txt.")
        events = await settle(pi)

    assert (bed.task / "out.txt").read_text() == "made\n"
    assert (bed.task / "translated").read_text() == "", "our extension is loaded as it is, which is faster"
    (started,) = of(ToolStarted, events)
    assert (started.tool, started.input) == ("bash", called_with(bed.model))
    (completed,) = of(ToolCompleted, events)
    assert (completed.call_id, completed.is_error) == (started.call_id, False)
    home, path, cwd = completed.output.split()
    assert (home, cwd) == ("/workspace/task", "/workspace/task")
    assert path.endswith(
        "/opt/agentcontainer/bin:/usr/local/bin:/usr/bin:/bin"
    )  # preceded by a folder of Pi's
    messages = of(MessageCompleted, events)
    assert [(message.role, message.text) for message in messages] == [
        ("user", "Make out.txt."),
        ("assistant", "Running it."),
        ("assistant", "All \u2028 done."),
    ]
    assert [message.stop_reason for message in messages] == ["", "toolUse", "stop"]
    assert "".join(delta.text for delta in of(TextDelta, events)) == "Running it.All \u2028 done."
    assert len(of(TurnStarted, events)) == 2
    assert events[-1] == Settled()
    assert pi.malformed_frames == 0


def called_with(model: Model) -> dict[str, Any]:
    """The tool call's input as the second request to the model repeats it."""
    (call,) = [block for block in model.requests[1]["messages"][-2]["content"] if block["type"] == "tool_use"]
    return call["input"]


async def test_requests_carry_our_system_prompt_and_no_key(bed: PiBed) -> None:
    async with bed.pi() as (pi, _):
        await pi.prompt("Hello.")
        await settle(pi)
    (request,) = bed.model.requests
    assert "ends only when the shell command `finish` is accepted" in json.dumps(request["system"])
    assert (request["model"], request["stream"]) == (MODEL, True)
    assert bed.model.keys == ["sandbox"]


async def test_a_running_agent_refuses_prompts_and_takes_steering_messages(bed: PiBed) -> None:
    bed.model.answers = [run("sleep 1; echo slept")]
    async with bed.pi() as (pi, _):
        await pi.prompt("Sleep.")
        async for event in pi.events():
            if isinstance(event, ToolStarted):
                break
        with pytest.raises(PiRefusedError, match="already processing"):
            await pi.prompt("Something else.")
        await pi.steer("Hurry up.")
        events = await settle(pi)
    assert "Hurry up." in [message.text for message in of(MessageCompleted, events)]
    assert "slept" in bed.model.request_text(1)
    assert "Hurry up." in bed.model.request_text(1)
    assert "Something else." not in bed.model.request_text(1)


async def test_the_next_prompt_goes_on_with_the_conversation(bed: PiBed) -> None:
    bed.model.answers = [run("echo juniper"), Say("Noted."), Say("It was juniper.")]
    async with bed.pi() as (pi, _):
        await pi.prompt("Run it.")
        await settle(pi)
        await pi.prompt("Which word?")
        events = await settle(pi)
    assert [message.text for message in of(MessageCompleted, events)] == ["Which word?", "It was juniper."]
    request_messages = bed.model.requests[2]["messages"]
    assert [message["role"] for message in request_messages] == [
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    for text in ("Run it.", "juniper", "Noted.", "Which word?"):
        assert text in bed.model.request_text(2)


async def test_the_deltas_of_a_message_add_up_to_its_text(bed: PiBed) -> None:
    bed.model.answers = [Say("One.", more="Two.", tool="bash", input={"command": "true"}), Say("Three.")]
    async with bed.pi() as (pi, _):
        await pi.prompt("Count.")
        events = await settle(pi)
    texts: list[str] = []
    for event in events:
        match event:
            case TurnStarted():
                texts.append("")
            case TextDelta():
                texts[-1] += event.text
            case MessageCompleted(role="assistant"):
                assert event.text == texts[-1]
            case _:
                pass
    assert texts == ["One.\n\nTwo.", "Three."]


async def test_a_steering_message_that_comes_too_late_waits_for_the_next_prompt(bed: PiBed) -> None:
    async with bed.pi() as (pi, _):
        await pi.prompt("First.")
        await settle(pi)
        await pi.steer("Too late.")
        await pi.prompt("Second.")
        events = await settle(pi)
    user_texts = [message.text for message in of(MessageCompleted, events) if message.role == "user"]
    assert user_texts == ["Second.", "Too late."]
    assert "Too late." in bed.model.request_text(1)


async def test_a_failing_provider_is_retried_then_reported(bed: PiBed) -> None:
    bed.model.answers = [Fail(500, "we are down")] * 20
    async with bed.pi() as (pi, _):
        await pi.prompt("Hello.")
        async with asyncio.timeout(60):
            events = await settle(pi)
    assert [retry.attempt for retry in of(RetryStarted, events)] == [1, 2, 3]
    assert len(bed.model.requests) == 4
    last = of(MessageCompleted, events)[-1]
    assert last.stop_reason == "error"
    assert "we are down" in last.error_message


async def test_a_refused_key_is_reported_at_once(bed: PiBed) -> None:
    bed.model.answers = [Fail(401, "invalid x-api-key")] * 5
    async with bed.pi() as (pi, _):
        await pi.prompt("Hello.")
        events = await settle(pi)
    assert len(bed.model.requests) == 1
    assert "invalid x-api-key" in of(MessageCompleted, events)[-1].error_message


async def test_an_agent_that_writes_to_the_stdout_of_pi_affects_only_itself(bed: PiBed) -> None:
    forged = r'not json\n{"type":"auto_retry_start","attempt":"many","errorMessage":["x"]}\n\n'
    bed.model.answers = [run(f"printf '{forged}' > /proc/$PPID/fd/1; echo wrote"), Say("Done.")]
    async with bed.pi() as (pi, _):
        await pi.prompt("Forge.")
        events = await settle(pi)
    assert of(ToolCompleted, events)[0].output.strip() == "wrote"
    assert of(RetryStarted, events) == [RetryStarted(0)]
    assert pi.malformed_frames == 1
    assert of(MessageCompleted, events)[-1].text == "Done."


async def test_a_large_image_is_resized_and_reaches_the_model(bed: PiBed) -> None:
    (bed.task / "wide.png").write_bytes(png(4000, 3))
    bed.model.answers = [Say("Looking.", tool="read", input={"path": "wide.png"}), Say("Seen.")]
    async with bed.pi() as (pi, _):
        await pi.prompt("Look.")
        events = await settle(pi)
    (completed,) = of(ToolCompleted, events)
    assert not completed.is_error
    assert "[image]" in completed.output
    assert "2000x" in completed.output
    assert '"media_type": "image/png"' in bed.model.request_text(1)


def png(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\xff\0\0" * width) * height
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


async def test_pi_ends_when_its_stdin_does_though_its_connections_are_open(bed: PiBed) -> None:
    async with bed.pi() as (pi, sandbox):
        await pi.prompt("Hello.")
        await settle(pi)
        sandbox.stdin.close()
        async with asyncio.timeout(60):
            assert (await sandbox.wait()).code == 0
        assert [event async for event in pi.events()] == []
        with pytest.raises(PiEndedError):
            await pi.prompt("Still there?")


async def test_a_killed_pi_resumes_its_session_in_another_sandbox(bed: PiBed) -> None:
    async with bed.pi() as (pi, _):
        await pi.prompt("Remember the word juniper.")
        await settle(pi)
    async with bed.pi() as (pi, _):
        await pi.prompt("Which word?")
        await settle(pi)
    assert "juniper" in bed.model.request_text(1)
    assert "Which word?" in bed.model.request_text(1)


async def test_pi_killed_in_a_tool_call_resumes_with_the_whole_conversation(bed: PiBed) -> None:
    bed.model.answers = [run("echo juniper"), Say("Noted."), run("touch begun; sleep 60")]
    async with bed.pi() as (pi, _):
        await pi.prompt("Remember.")
        await settle(pi)
        await pi.prompt("Sleep.")
        async with asyncio.timeout(60):
            while not (bed.task / "begun").exists():
                await asyncio.sleep(0.02)
    async with bed.pi() as (pi, _):
        await pi.prompt("Go on.")
        events = await settle(pi)
    assert of(ToolStarted, events) == []  # the call is not made again
    for text in ("Remember.", "juniper", "Noted.", "Sleep.", "touch begun", "No result provided", "Go on."):
        assert text in bed.model.request_text(3)


@pytest.mark.parametrize("kind", ["deadline", "message"])
async def test_a_hibernating_script_continues_with_its_next_step(bed: PiBed, kind: str) -> None:
    steps = [
        {
            "bash": "touch begun; sleep 60",
            "say": "I hibernate.",
        },  # like `hibernate`, which never returns
        {"bash": "echo two >> log.txt"},
        {"bash": "touch again; sleep 60"},
        {"bash": "echo four >> log.txt"},
        {"say": "Five."},
    ]
    task = prompt(f"Do it.\n\n```script\n{json.dumps(steps)}\n```", OutputPolicy())
    messages = ["Here is the review."] if kind == "message" else []
    async with scripted.ScriptedModel() as model:
        await model.start("127.0.0.1", 0)
        bed.model.scripted_url = model.url
        prompts = [task, woken_prompt(kind, "Waiting.", messages), woken_prompt("link", "More.", [])]
        for text, until in zip(prompts, ("begun", "again", None), strict=True):
            async with bed.pi() as (pi, _):
                await pi.prompt(text)
                if until is None:
                    events = await settle(pi)
                    continue
                async with asyncio.timeout(60):
                    while not (bed.task / until).exists():
                        await asyncio.sleep(0.02)
    assert (bed.task / "log.txt").read_text() == "two\nfour\n"
    assert of(MessageCompleted, events)[-1].text == "Five."
    request_text = bed.model.request_text(-1)
    assert request_text.count("No result provided") == 2
    for text in ("I hibernate.", "You called hibernate", "You were woken by", *messages):
        assert text in request_text


async def test_the_weak_model_writes_the_summary_of_a_long_conversation(bed: PiBed) -> None:
    path = bed.root / "workspace/.pi/agent/settings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"compaction": {"keepRecentTokens": 0}}))
    bed.model.answers = [Say("One."), Say("Two.", input_tokens=990_000), Say("A summary.")]
    async with bed.pi(weak_model="a-weak-model") as (pi, _):
        await pi.prompt("First.")
        await settle(pi)
        await pi.prompt("Second.")
        events = await settle(pi)
    [ended] = of(CompactionEnded, events)
    assert ended.tokens_before is not None
    assert ended.tokens_before > 900_000
    assert events.index(CompactionStarted()) < events.index(ended)
    assert [request["model"] for request in bed.model.requests[:3]] == [MODEL, MODEL, "a-weak-model"]
    assert "First." in bed.model.request_text(2)
