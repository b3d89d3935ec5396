"""What the scripted model does without a script: it reports on files, and answers messages."""

import json
import subprocess
from pathlib import Path

import pytest

from agentcontainer.domain.execution.model import NamedOutput, OutputPolicy
from agentcontainer.runner.agent.prompts import (
    CONVERSATION_PROMPT,
    first_turn_prompt,
    handoff_prompt,
    prompt,
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
    assert await agent.turn() == ("Offline script, no AI. You said: Hello. Messages so far from you: 1.", [])
    agent.says(turn_prompt("And this?", ["notes.txt", "the sales.csv"]))
    _, [(_, analyse)] = await agent.turn()
    assert "write result.md" in analyse["command"]
    assert (await agent.turn())[1] == [("bash", {"command": "share result.md"})]
    text, calls = await agent.turn()
    assert "You said: And this?. Messages so far from you: 2. See result.md." in text
    assert calls == []
    agent.says("(Files that came with this message, in ~/task_files: it's mine.csv)")
    assert "Messages so far from you: 3." in (await agent.turn())[0]
    agent.says("Write it into notes.txt, please.")
    assert "write notes.txt" in (await agent.turn())[1][0][1]["command"]
    assert (await agent.turn())[1] == [("bash", {"command": "share notes.txt"})]
    assert (await agent.turn())[1] == []
    agent.says(handoff_prompt(None, OutputPolicy()))
    _, [(_, finish)] = await agent.turn()
    assert finish["command"].startswith("finish --complete-task")
    assert await agent.turn() == ("Done.", [])


async def test_a_steering_message_does_not_stop_the_scripted_model(agent: Agent) -> None:
    agent.says("Analyse the file.")
    await agent.turn("file: task_files/a.csv")
    agent.says("Hurry up.")
    _, [(_, analyse)] = await agent.turn("wrote: result.md\n- Rows: 4\n- Columns: 2")
    assert "write result.md" in analyse["command"]
    agent.says("Hurry up.")
    _, [(_, finish)] = await agent.turn()
    assert "analysed 4 rows in 2 columns" in finish["command"]


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
            errors="replace",
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
    agent.says(prompt("Analyse the file, and write report.md.", OutputPolicy()))
    await _work(agent, tmp_path)
    report = (tmp_path / "report.md").read_text()
    assert f"\n## {name}\n" in report
    assert "- Rows: 4\n- Columns: 4\n" in report
    assert "| region | text | 4 | 0 | 4 |" in report
    assert "| note | text | 2 | 2 | 2 |" in report
    assert "| units, sold | 3 | 6.0000 | 10 |" in report
    assert "| price | -40 | -7.2500 | 7 |" in report
    assert (tmp_path / "finished").read_text().splitlines() == [
        "--complete-task",
        "--message",
        "Offline script, no AI: analysed 4 rows in 4 columns; see report.md.",
        "report.md",
    ]
    assert not (tmp_path / "x").exists()


async def test_without_a_file_name_the_model_writes_result_md(agent: Agent, tmp_path: Path) -> None:
    agent.says(prompt("Write me a poem.", OutputPolicy()))
    await _work(agent, tmp_path)
    assert "> Write me a poem." in (tmp_path / "result.md").read_text()
    assert (tmp_path / "finished").read_text().splitlines()[-1] == "result.md"


async def test_the_model_writes_each_file_in_the_form_of_its_name(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "task_files").mkdir()
    (tmp_path / "task_files/a note.txt").write_bytes(b'She said "h\xc3\xa9llo" \\ <b>\tand left.\r\n\xff')
    (tmp_path / "task_files/picture.bin").write_bytes(bytes(range(256)))
    wanted = "Summarise `a note.txt` into out/all.json, `the list.csv`, page.html, code.py and plot.png."
    agent.says(prompt(wanted, OutputPolicy()))
    await _work(agent, tmp_path)
    document = json.loads((tmp_path / "out/all.json").read_text())
    assert document["by"] == "offline script, no AI"
    assert 'She said "héllo" \\ <b>\tand left.' in document["report"]
    assert (tmp_path / "the list.csv").read_text() == 'file,bytes\n"a note.txt",36\n"picture.bin",256\n'
    assert "&lt;b>" in (tmp_path / "page.html").read_text(errors="replace")
    compile((tmp_path / "code.py").read_bytes().decode(errors="replace"), "code.py", "exec")
    assert not (tmp_path / "plot.png").exists(), "it is no picture that the script could write"
    files = ["out/all.json", "the list.csv", "page.html", "code.py"]
    assert (tmp_path / "finished").read_text().splitlines()[-4:] == files


async def test_the_model_hands_over_what_the_output_policy_asks_for(agent: Agent, tmp_path: Path) -> None:
    outputs = (NamedOutput("the data", content_type="text/csv"), NamedOutput("notes", required=False))
    agent.says(prompt("Do it.", OutputPolicy("named", outputs)))
    await _work(agent, tmp_path)
    assert (tmp_path / "finished").read_text().splitlines()[-2:] == ["--output", "the data=the_data.csv"]
    assert (tmp_path / "the_data.csv").read_text() == "file,bytes\n"


async def test_the_model_says_so_when_it_cannot_satisfy_the_output_policy(agent: Agent) -> None:
    agent.says(prompt("Do it.", OutputPolicy("none")))
    await agent.turn()
    await agent.turn("wrote: result.md")
    _, [(_, finish)] = await agent.turn("finish was not accepted:\nNo.")
    assert "result.md" not in finish["command"]
    assert (await agent.turn())[1][0][1]["command"].startswith("finish --incomplete-task")
