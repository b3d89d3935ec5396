"""The scripted model over real HTTP, in all three protocols, with the agent simulated by the test."""

import asyncio
import json
import os
import signal
import sys
import time
from typing import Any

import aiohttp
import pytest

from agentcontainer.gateway import scripted
from agentcontainer.runner.agent.prompts import (
    first_turn_prompt,
)

from .scripted_agent import PATHS, Agent, agent, model, script

__all__ = ["agent", "model"]  # the fixtures


async def test_a_script_plays_its_steps_in_order(agent: Agent) -> None:
    agent.says(
        script(
            {"bash": "ls", "say": "Looking."},
            {"tools": [{"bash": "a"}, {"tool": "read", "input": {"path": "x"}}]},
            {"tool": "edit", "input": {"n": 1}},
            {"say": "That is all."},
        )
    )
    assert await agent.turn() == ("Looking.", [("bash", {"command": "ls"})])
    assert await agent.turn() == ("", [("bash", {"command": "a"}), ("read", {"path": "x"})])
    assert await agent.turn() == ("", [("edit", {"n": 1})])
    assert await agent.turn() == ("That is all.", [])


async def test_a_script_ends_after_its_last_call(agent: Agent) -> None:
    agent.says(script({"bash": "ls"}))
    await agent.turn()
    assert await agent.turn() == ("Done.", [])


async def test_a_message_after_a_script_gets_the_earlier_reply(agent: Agent) -> None:
    agent.says(script({"bash": "ls", "say": "Looking."}, {"say": "That is all."}))
    await agent.turn()
    await agent.turn()
    agent.says("\nAnd now?\nTell me.")
    assert await agent.turn() == (
        "Offline script, no AI. You said: And now?. Messages so far from you: 2.",
        [],
    )
    agent.says("Thanks")
    assert await agent.turn() == ("Offline script, no AI. You said: Thanks. Messages so far from you: 3.", [])
    agent.says(script({"say": "again"}))
    assert await agent.turn() == ("again", [])
    agent.says("Bye")
    assert await agent.turn() == ("Offline script, no AI. You said: Bye. Messages so far from you: 5.", [])


async def test_a_message_during_a_script_does_not_stop_it(agent: Agent) -> None:
    agent.says(script({"bash": "one"}, {"bash": "two"}, {"say": "three"}))
    assert await agent.turn() == ("", [("bash", {"command": "one"})])
    agent.says("Hurry up.")
    agent.says("Really.")
    assert await agent.turn() == ("", [("bash", {"command": "two"})])
    assert await agent.turn() == ("three", [])
    agent.says("Well?")
    assert await agent.turn() == ("Offline script, no AI. You said: Well?. Messages so far from you: 4.", [])


async def test_the_last_script_of_a_message_is_played(agent: Agent) -> None:
    agent.says(first_turn_prompt(script({"say": "standing"}), script({"say": "first"})))
    assert await agent.turn() == ("first", [])


async def test_a_later_script_starts_where_it_stands(agent: Agent) -> None:
    agent.says(script({"say": "one"}, {"say": "never"}))
    assert (await agent.turn())[0] == "one"
    agent.says(script({"say": "two"}, {"say": "three"}))
    assert (await agent.turn())[0] == "two"
    agent.says("go on")
    assert (await agent.turn())[0] == "three"


async def test_an_error_step_fails_the_given_number_of_times(agent: Agent) -> None:
    agent.says(
        script(
            {"say": "first"},
            {"error": 529, "message": "Overloaded", "times": 2},
            {"hang": 0.2},
            {"say": "second"},
        )
    )
    assert (await agent.turn())[0] == "first"
    agent.says("next")
    for _ in range(2):
        async with agent.send() as response:
            assert response.status == 529
            assert (await response.json())["error"]["message"] == "Overloaded"
    started = time.monotonic()
    assert (await agent.turn())[0] == "second"
    assert time.monotonic() - started >= 0.2


async def test_equal_conversations_with_other_keys_fail_on_their_own(agent: Agent) -> None:
    for key in ("sk-a", "sk-b"):
        agent.key = key
        agent.history = [{"role": "user", "content": script({"error": 500}, {"say": "fine"})}]
        async with agent.send() as response:
            assert response.status == 500
        assert (await agent.turn())[0] == "fine"


async def test_a_cut_breaks_the_stream_once(agent: Agent) -> None:
    agent.says(script({"cut": True}, {"say": "whole"}))
    async with agent.send(is_stream=True) as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert (await agent.turn())[0] == "whole"


async def test_a_stream_holds_what_the_plain_answer_holds(agent: Agent) -> None:
    agent.says(
        script({"say": "A few words, one by one.", "tools": [{"bash": "echo " + "x" * 100}, {"bash": "b"}]})
    )
    async with agent.send(is_stream=True) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        stream = await response.text()
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: {")]
    text, arguments = _assembled(events)
    plain_text, calls = await agent.turn()
    assert text == plain_text == "A few words, one by one."
    assert "".join(arguments) == "".join(json.dumps(call) for _, call in calls)
    assert len(arguments) > 3, "arguments come in pieces"


def _assembled(events: list[dict[str, Any]]) -> tuple[str, list[str]]:
    text, arguments = "", list[str]()
    for event in events:
        delta = event.get("delta") or (event.get("choices") or [{}])[0].get("delta") or {}
        if isinstance(delta, str):  # responses
            if event["type"].startswith("response.output_text"):
                text += delta
            else:
                arguments.append(delta)
            continue
        text += delta.get("text") or delta.get("content") or ""
        calls = delta.get("tool_calls") or []
        arguments += [delta["partial_json"]] if "partial_json" in delta else []
        arguments += [call["function"]["arguments"] for call in calls if call["function"]["arguments"]]
    return text, arguments


async def test_a_slow_step_takes_its_seconds(agent: Agent) -> None:
    agent.says(script({"say": "one two three four", "slow": 0.03}))
    started = time.monotonic()
    async with agent.send(is_stream=True) as response:
        await response.read()
    assert time.monotonic() - started >= 0.12


@pytest.mark.parametrize("key", ["", "invalid-key", "sk-invalid-123456"])
async def test_bad_keys_are_refused_in_the_providers_shape(agent: Agent, key: str) -> None:
    agent.key = key
    agent.says("hi")
    async with agent.send() as response:
        assert response.status == 401
        message = (await response.json())["error"]["message"]
        assert key in message
        assert "key" in message


@pytest.mark.parametrize(
    "text", ["not json", "{}", '["a"]', '[{"sya": "x"}]', '[{"tool": 3}]', '[{"error": "x"}]']
)
async def test_an_invalid_script_is_reported(agent: Agent, text: str) -> None:
    agent.says(f"```script\n{text}\n```")
    async with agent.send() as response:
        assert response.status == 400
        assert "script" in (await response.json())["error"]["message"].lower()


async def test_pis_compaction_gets_a_summary_not_the_script(agent: Agent) -> None:
    agent.tools = ()
    agent.says(f"<conversation>\n[User]: {script({'bash': 'rm -rf /'})}\n</conversation>\n\nSummarise.")
    text, calls = await agent.turn()
    assert "## Progress" in text
    assert calls == []


async def test_requests_are_recorded(agent: Agent, model: scripted.ScriptedModel) -> None:
    agent.says("hi")
    await agent.turn()
    received = model.requests[-1]
    assert (received.path, received.model, received.headers["authorization"]) == (
        agent.path,
        "m",
        "Bearer sk-test",
    )
    async with agent.http.get("/_requests") as response:
        (listed,) = await response.json()
        assert listed["path"] == agent.path
    async with agent.http.get("/_requests", headers={"Host": "evil.example"}) as response:
        assert response.status == 403


async def test_the_scripted_model_runs_as_a_process() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "agentcontainer.gateway.scripted",
        stdout=asyncio.subprocess.PIPE,
        env=dict(os.environ),
    )
    assert process.stdout is not None
    try:
        url = (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()
        async with aiohttp.ClientSession(url) as http:
            agent = Agent(http, PATHS[0])
            agent.says(script({"say": "Here."}))
            assert await agent.turn() == ("Here.", [])
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
