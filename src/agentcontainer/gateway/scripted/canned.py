"""What the scripted model does without a script: a small job on the files that it finds, done with real tools.

It lists the files, writes a report on them to the file that the instructions name (else `result.md`), and hands it
over. In a conversation it does the same for a message with files or with the name of a file to write, and answers any
other message.
"""

import re
import shlex

from agentcontainer.gateway.json_object import JsonObject
from agentcontainer.gateway.scripted.conversation import Call, Conversation, Reply
from agentcontainer.gateway.scripted.file_names import requested_files
from agentcontainer.gateway.scripted.report import LOOK, WRITTEN, is_writable, write_command

LABEL = "Offline script, no AI"
DEFAULT_FILE = "result.md"

# Quoted from the prompts that the platform sends (runner/agent/prompts.py, CONVERSATION.md).
_IN_CONVERSATION = "You talk with a user"
_FIRST_MESSAGE = "The user's first message:"
_TASK = "This is your task (it is in ~/TASK.md too):\n\n"
_END_OF_TASK = "\n\n---\nInput files, if there are any, are in ~/task_files."
_NO_OUTPUTS = "This task has no output files"
_NAMED_OUTPUTS = "Hand over these outputs, each by its name"
_NAMED_OUTPUT = re.compile(r"^- `([^`\n]{1,200})`: required(?:; a file of type ([\w+/-]+))?", re.MULTILINE)
_ATTACHED_FILES = re.compile(r"^\(Files that came with this message, in ~/task_files: (.+)\)$", re.MULTILINE)
_INPUT = re.compile(r"^file: (.+)$", re.MULTILINE)
_ENDINGS = {
    "text/markdown": ".md", "text/plain": ".txt", "text/csv": ".csv", "application/json": ".json", "text/html": ".html",
}  # fmt: skip


def reply(conversation: Conversation) -> Reply:
    """The next message of the job; a plain answer if there is nothing to do or the tool `bash` is missing."""
    if "bash" not in conversation.tools:
        return answer(conversation)
    if _IN_CONVERSATION in conversation.system:
        return _turn(conversation)
    results = [turn.text for turn in conversation.turns if turn.role == "tool"]
    prompt = next((turn.text for turn in conversation.turns if turn.role == "user"), "")
    match sum(turn.role == "assistant" for turn in conversation.turns):
        case 0:
            return _bash(f"{LABEL}: I'll look at the task and its files first.", LOOK)
        case 1:
            return _work(_instructions(prompt), _INPUT.findall(results[-1] if results else ""), prompt)
        case 2:
            return _finish(prompt, results[-1] if results else "")
        case 3 if results and "not accepted" in results[-1]:
            message = f"{LABEL}: it cannot produce the outputs that this task requires."
            return _bash("I'll say so.", shlex.join(["finish", "--incomplete-task", "--message", message]))
        case _:
            return answer(conversation) if conversation.turns[-1].role == "user" else Reply("Done.")


def answer(conversation: Conversation) -> Reply:
    """An answer that shows that this message and those before it were read."""
    turn = conversation.last_user_turn
    text = _message(turn.text) if turn else ""
    line = text.splitlines()[0][:200] if text else ""
    count = sum(turn.role == "user" for turn in conversation.turns)
    return Reply(f"{LABEL}. You said: {line}. Messages so far from you: {count}.")


def _turn(conversation: Conversation) -> Reply:
    """The next message of a turn in a conversation: a report, if files came with the message or it names a file."""
    turn, steps = conversation.last_user_turn, conversation.replies_since
    text = turn.text if turn else ""
    if "`finish`" in text:  # the conversation was handed off
        command = shlex.join(["finish", "--complete-task", "--message", f"{LABEL}: nothing was left to do."])
        return Reply("Done.") if steps else _bash("I'll bring it to its end.", command)
    attached = _attached(text)
    message = _ATTACHED_FILES.sub("", _message(text)).strip()
    names = [name for name in requested_files(message, frozenset(attached)) if is_writable(name)]
    if not attached and not names:
        return answer(conversation)
    names = names or [DEFAULT_FILE]
    match steps:
        case 0:
            return _bash(f"{LABEL}: I'll go through the files.", write_command(message, names))
        case 1:
            return _bash("The result is written.", shlex.join(["share", *names]))
        case _:
            return Reply(f"{answer(conversation).text} See {' and '.join(names)}.")


def _message(text: str) -> str:
    return text.rpartition(_FIRST_MESSAGE)[2].strip()


def _attached(text: str) -> list[str]:
    attached = _ATTACHED_FILES.search(text)
    try:
        return shlex.split(attached[1]) if attached else []
    except ValueError:  # the line was written by the user, not by the platform
        return []


def _instructions(prompt: str) -> str:
    return prompt.partition(_TASK)[2].rpartition(_END_OF_TASK)[0] or prompt


def _work(instructions: str, inputs: list[str], prompt: str) -> Reply:
    named = _named_outputs(prompt)
    input_names = frozenset(path.rpartition("/")[2] for path in inputs)
    requested = requested_files(instructions, input_names)
    names = list(named.values()) or [name for name in requested if is_writable(name)] or [DEFAULT_FILE]
    files = f"{len(inputs)} input file{'' if len(inputs) == 1 else 's'}"
    text = f"Now I'll go through {files} and write {', '.join(names)}."
    if impossible := [name for name in requested if not is_writable(name)]:
        text += f" I write text only, so there will be no {', '.join(impossible)}."
    return _bash(text, write_command(instructions, names))


def _named_outputs(prompt: str) -> dict[str, str]:
    """The outputs that the task's policy requires by name, each with the file to write for it."""
    _, is_named, policy = prompt.rpartition(_NAMED_OUTPUTS)
    if not is_named:
        return {}
    return {
        name: re.sub(r"[^\w.-]", "_", name) + ("" if "." in name else _ENDINGS.get(kind, ".md"))
        for name, kind in _NAMED_OUTPUT.findall(policy)
    }


def _finish(prompt: str, result: str) -> Reply:
    written = re.findall(rf"^{WRITTEN}(.+)$", result, re.MULTILINE)
    if not written:
        message = f"{LABEL}: the files could not be read."
        return _bash(
            "That did not work; I'll say so.",
            shlex.join(["finish", "--incomplete-task", "--message", message]),
        )
    counts = re.search(r"^- Rows: (\d+)\n- Columns: (\d+)$", result, re.MULTILINE)
    outcome = (
        f"analysed {counts[1]} rows in {counts[2]} columns" if counts else "wrote down the task and its files"
    )
    command = ["finish", "--complete-task", "--message"]
    if named := _named_outputs(prompt):
        outputs = [word for name, path in named.items() for word in ("--output", f"{name}={path}")]
        return _bash("The result is written.", shlex.join([*command, f"{LABEL}: {outcome}.", *outputs]))
    if _NO_OUTPUTS in prompt.rpartition(_END_OF_TASK)[2]:
        return _bash("The result is written.", shlex.join([*command, f"{LABEL}: {outcome}."]))
    message = f"{LABEL}: {outcome}; see {' and '.join(written)}."
    return _bash("The result is written.", shlex.join([*command, message, *written]))


def _bash(text: str, command: str) -> Reply:
    return Reply(text, (Call("bash", JsonObject({"command": command})),))
