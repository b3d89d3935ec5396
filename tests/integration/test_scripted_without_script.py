"""What the scripted model does without a script: it reports on a CSV file, writes down a task, and answers messages."""

import json
import subprocess
from pathlib import Path

import pytest

from agentcontainer.domain.execution.model import OutputPolicy
from agentcontainer.runner.agent.prompts import (
    CONVERSATION_PROMPT,
    first_turn_prompt,
    handoff_prompt,
    turn_prompt,
)

from .scripted_agent import Agent, agent, model

__all__ = ["agent", "model"]  # the fixtures


async def test_without_tools_and_script_the_model_only_answers(agent: Agent) -> None:
    agent.tools = ()
    agent.says("What is the title?")
    text, calls = await agent.turn()
    assert "What is the title?" in text
    assert calls == []


def platform_says(agent: Agent) -> None:
    """Open the conversation with the platform's system prompt, in the protocol's own place for it."""
    if "messages" in agent.path:
        agent.more["system"] = [{"type": "text", "text": f"You are Pi.\n\n{CONVERSATION_PROMPT}"}]
    elif "responses" in agent.path:
        agent.history.insert(0, {"role": "developer", "content": CONVERSATION_PROMPT})
    else:
        agent.history.insert(0, {"role": "system", "content": CONVERSATION_PROMPT})


async def test_in_a_conversation_the_model_reports_on_the_files_of_a_message(agent: Agent) -> None:
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
    """Simulates the agent in `folder`, with a real shell, until it stops; returns the commands."""
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
async def test_without_a_script_the_model_reports_on_the_csv(agent: Agent, tmp_path: Path, name: str) -> None:
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


async def test_without_a_csv_the_model_writes_the_task_to_a_file(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "TASK.md").write_text("Write me a poem.\n")
    agent.says("Write me a poem.")
    await _work(agent, tmp_path)
    assert "> Write me a poem." in (tmp_path / "summary.md").read_text()
    assert (tmp_path / "finished").read_text().splitlines()[-1] == "summary.md"
