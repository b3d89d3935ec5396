"""The scripted model over real HTTP, in all three protocols, with the agent's side played here."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agentcontainer.domain.execution.model import OutputPolicy
from agentcontainer.gateway import scripted
from agentcontainer.runner.agent.prompts import (
    CONVERSATION_PROMPT,
    first_turn_prompt,
    handoff_prompt,
    turn_prompt,
)

PATHS = ["/v1/messages", "/v1/responses", "/api/v1/chat/completions"]
Call = tuple[str, dict[str, Any]]


@dataclass
class Agent:
    """An agent's side of one conversation: sends, and keeps the history in the protocol's own form."""

    http: aiohttp.ClientSession
    path: str
    key: str = "sk-test"
    history: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    tools: tuple[str, ...] = ("bash",)
    more: dict[str, Any] = field(default_factory=dict[str, Any])

    def says(self, text: str) -> None:
        self.history.append({"role": "user", "content": text})

    def _request(self, is_stream: bool) -> dict[str, Any]:
        tools: list[dict[str, Any]] = [{"type": "function", "name": name} for name in self.tools]
        if "chat" in self.path:
            tools = [{"type": "function", "function": {"name": name}} for name in self.tools]
        content = "input" if "responses" in self.path else "messages"
        return {"model": "m", content: self.history, "tools": tools, "stream": is_stream, **self.more}

    def send(self, *, is_stream: bool = False) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        return self.http.post(self.path, json=self._request(is_stream), headers=headers)

    async def turn(self, results: str = "ok") -> tuple[str, list[Call]]:
        """One answer: its text and calls. The calls' results are `results`."""
        async with self.send() as response:
            answer = await response.json()
            assert response.status == 200, answer
        if "messages" in self.path:
            return self._anthropic(answer["content"], results)
        if "responses" in self.path:
            return self._responses(answer["output"], results)
        return self._completions(answer["choices"][0]["message"], results)

    def _anthropic(self, blocks: list[dict[str, Any]], results: str) -> tuple[str, list[Call]]:
        self.history.append({"role": "assistant", "content": blocks})
        uses = [block for block in blocks if block["type"] == "tool_use"]
        if uses:
            answers = [{"type": "tool_result", "tool_use_id": use["id"], "content": results} for use in uses]
            self.history.append({"role": "user", "content": answers})
        text = "".join(block["text"] for block in blocks if block["type"] == "text")
        return text, [(use["name"], use["input"]) for use in uses]

    def _responses(self, items: list[dict[str, Any]], results: str) -> tuple[str, list[Call]]:
        calls = [item for item in items if item["type"] == "function_call"]
        self.history += items
        for call in calls:
            self.history.append(
                {"type": "function_call_output", "call_id": call["call_id"], "output": results}
            )
        text = "".join(item["content"][0]["text"] for item in items if item["type"] == "message")
        return text, [(call["name"], json.loads(call["arguments"])) for call in calls]

    def _completions(self, message: dict[str, Any], results: str) -> tuple[str, list[Call]]:
        self.history.append(message)
        calls = message.get("tool_calls", [])
        for call in calls:
            self.history.append({"role": "tool", "tool_call_id": call["id"], "content": results})
        parsed = [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]
        return message["content"] or "", parsed


@pytest.fixture
async def model() -> AsyncIterator[scripted.ScriptedModel]:
    async with await scripted.serve() as running:
        yield running


@pytest.fixture(params=PATHS)
async def agent(model: scripted.ScriptedModel, request: pytest.FixtureRequest) -> AsyncIterator[Agent]:
    async with aiohttp.ClientSession(model.url) as http:
        yield Agent(http, request.param)


def script(*steps: dict[str, Any]) -> str:
    return f"Please:\n\n```script\n{json.dumps(steps)}\n```\nThank you."


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
    assert await agent.turn() == ("You said: And now?. Messages so far from you: 2.", [])
    agent.says("Thanks")
    assert await agent.turn() == ("You said: Thanks. Messages so far from you: 3.", [])
    agent.says(script({"say": "again"}))
    assert await agent.turn() == ("again", [])
    agent.says("Bye")
    assert await agent.turn() == ("You said: Bye. Messages so far from you: 5.", [])


async def test_a_message_during_a_script_does_not_stop_it(agent: Agent) -> None:
    agent.says(script({"bash": "one"}, {"bash": "two"}, {"say": "three"}))
    assert await agent.turn() == ("", [("bash", {"command": "one"})])
    agent.says("Hurry up.")
    agent.says("Really.")
    assert await agent.turn() == ("", [("bash", {"command": "two"})])
    assert await agent.turn() == ("three", [])
    agent.says("Well?")
    assert await agent.turn() == ("You said: Well?. Messages so far from you: 4.", [])


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


async def test_without_tools_and_script_it_only_answers(agent: Agent) -> None:
    agent.tools = ()
    agent.says("What is the title?")
    text, calls = await agent.turn()
    assert "What is the title?" in text
    assert calls == []


async def test_requests_are_recorded(agent: Agent, model: scripted.ScriptedModel) -> None:
    agent.says("hi")
    await agent.turn()
    seen = model.seen[-1]
    assert (seen.path, seen.model, seen.headers["authorization"]) == (agent.path, "m", "Bearer sk-test")
    async with agent.http.get("/_requests") as response:
        (shown,) = await response.json()
        assert shown["path"] == agent.path
    async with agent.http.get("/_requests", headers={"Host": "evil.example"}) as response:
        assert response.status == 403


def platform_says(agent: Agent) -> None:
    """Open the conversation with the platform's system prompt, in the protocol's own place for it."""
    if "messages" in agent.path:
        agent.more["system"] = [{"type": "text", "text": f"You are Pi.\n\n{CONVERSATION_PROMPT}"}]
    elif "responses" in agent.path:
        agent.history.insert(0, {"role": "developer", "content": CONVERSATION_PROMPT})
    else:
        agent.history.insert(0, {"role": "system", "content": CONVERSATION_PROMPT})


async def test_in_a_conversation_it_reports_on_what_comes_with_a_message(agent: Agent) -> None:
    platform_says(agent)
    agent.says(first_turn_prompt("Be brief.", "Hello", []))
    assert await agent.turn() == ("You said: Hello. Messages so far from you: 1.", [])
    agent.says(turn_prompt("And this?", ["notes.txt", "the sales.csv"]))
    _, [(_, analyse)] = await agent.turn()
    assert "'./task_files/the sales.csv'" in analyse["command"]
    assert (await agent.turn())[1] == [("bash", {"command": "share report.md"})]
    text, calls = await agent.turn()
    assert "report.md. You said: And this?. Messages so far from you: 2." in text
    assert calls == []
    agent.says("(Files that came with this message, in ~/task_files: it's mine.csv)")
    assert "Messages so far from you: 3." in (await agent.turn())[0]
    agent.says(handoff_prompt(None, OutputPolicy()))
    _, [(_, finish)] = await agent.turn()
    assert finish["command"].startswith("finish --complete-task")
    assert await agent.turn() == ("Done.", [])


async def test_a_steering_message_does_not_stop_the_scripted_model(agent: Agent) -> None:
    agent.says("Analyse the file.")
    await agent.turn("file: task_files/a.csv")
    agent.says("Hurry up.")
    _, [(_, analyse)] = await agent.turn("- Rows: 4\n- Columns: 2")
    assert "./task_files/a.csv" in analyse["command"]
    agent.says("Hurry up.")
    _, [(_, finish)] = await agent.turn()
    assert "Analysed 4 rows in 2 columns" in finish["command"]


async def _work(agent: Agent, folder: Path) -> list[str]:
    """Plays the agent in `folder`, with a real shell, until it stops; returns the commands."""
    commands: list[str] = []
    env = {"PATH": f"{folder}/bin:/usr/bin:/bin", "HOME": str(folder)}
    (folder / "bin").mkdir()
    (folder / "bin/finish").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > finished\n')
    (folder / "bin/finish").chmod(0o755)
    results = ""
    while len(commands) < 10:
        _, calls = await agent.turn("\0")
        if not calls:
            return commands
        commands.append(calls[0][1]["command"])
        done = subprocess.run(
            ["bash", "-c", commands[-1]],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        results = done.stdout + done.stderr
        agent.history = json.loads(json.dumps(agent.history).replace('"\\u0000"', json.dumps(results)))
    raise AssertionError(f"it does not stop: {commands}")


TABLE = (
    '\ufeffregion,"units, sold",price,note\r\n'
    "north,3,1.5,a|b\r\n"
    '"so ""uth""",5,2.5,\r\n'
    '"two\nlines",10,-4e1,"x, y"\r\n'
    "west,,7,\r\n"
)


@pytest.mark.parametrize("name", ["sales.csv", 'it\'s $(touch x) & "so" 2024.csv', "-v.csv"])
async def test_without_a_script_it_reports_on_the_csv(agent: Agent, tmp_path: Path, name: str) -> None:
    (tmp_path / "task_files").mkdir()
    (tmp_path / "task_files" / name).write_text(TABLE, encoding="utf-8", newline="")
    (tmp_path / "TASK.md").write_text("Analyse the file.")
    agent.says("Analyse the file.")
    await _work(agent, tmp_path)
    report = (tmp_path / "report.md").read_text()
    assert f"# Report on {name}\n" in report
    assert "- Rows: 4\n- Columns: 4\n" in report
    assert "| region | text | 4 | 0 | 4 |" in report
    assert "| note | text | 2 | 2 | 2 |" in report
    assert "| units, sold | 3 | 6.0000 | 10 |" in report
    assert "| price | -40 | -7.2500 | 7 |" in report
    assert (tmp_path / "finished").read_text().splitlines() == [
        "--complete-task",
        "--message",
        "Analysed 4 rows in 4 columns; see report.md.",
        "report.md",
    ]
    assert not (tmp_path / "x").exists()


async def test_without_a_csv_it_writes_down_the_task(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "TASK.md").write_text("Write me a poem.\n")
    agent.says("Write me a poem.")
    await _work(agent, tmp_path)
    assert "> Write me a poem." in (tmp_path / "summary.md").read_text()
    assert (tmp_path / "finished").read_text().splitlines()[-1] == "summary.md"


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
