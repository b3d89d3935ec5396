"""Parses scripts, and determines which step of a script is due in a conversation."""

import json
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import cast

from agentcontainer.gateway.json_object import JsonObject, objects_in
from agentcontainer.gateway.scripted import canned
from agentcontainer.gateway.scripted.conversation import Call, Conversation, Reply

_OPENING = re.compile(r"[ \t]*```script[ \t]*")
_CLOSING = re.compile(r"[ \t]*```[ \t]*")
_MAX_REMEMBERED = 10_000
_SLOW_TEXT = "I am working on it, taking my time, and there is nothing to see yet. " * 5


LOST = "The container you worked in was lost"  # from the platform's message after a lost attempt
NO_RESULT = "No result provided"  # Pi's result of a tool call that was interrupted


class ScriptError(Exception):
    """The script in a message is invalid; says why."""


@dataclass(frozen=True)
class Fail:
    """An error response."""

    status: int
    message: str
    times: int


@dataclass(frozen=True)
class Cut:
    """Half of a reply, then an error of the provider with this status, or (without one) the connection breaks."""

    reply: Reply
    times: int
    status: int | None = None


@dataclass(frozen=True)
class Hang:
    """No response for some time, then the next step."""

    seconds: float
    times: int


Step = Reply | Fail | Cut | Hang


@dataclass(frozen=True)
class Play:
    """What to do for one request: wait for `delay_seconds`, then answer with `step`."""

    step: Reply | Fail | Cut
    delay_seconds: float = 0


class Director:
    """Chooses what is due in a conversation. Its only state is how often each failing step was played."""

    def __init__(self) -> None:
        self._played: OrderedDict[tuple[str, str], int] = OrderedDict()

    def next(self, conversation: Conversation, key: str) -> Play:
        """What to do for the next request of this conversation.

        Raises:
            ScriptError: the script is invalid.
        """
        if _is_summary(conversation):
            return Play(
                Reply("## Goal\nThe task as stated above.\n\n## Progress\nSteps were taken as shown above.")
            )
        if subject := _to_be_titled(conversation):
            return Play(Reply(f"About: {subject}"))
        script, position = _script_and_position(conversation)
        if script is None:
            return Play(canned.reply(conversation))
        failing, reply = _due(script, position)
        if reply is None:
            reply = canned.answer(conversation) if _is_new_message(conversation) else Reply("Done.")
        return self._play(failing, reply, (key, conversation.fingerprint))

    def _play(self, failing: list[Fail | Cut | Hang], reply: Reply, memory: tuple[str, str]) -> Play:
        delay = 0.0
        failures = self._played.get(memory, 0)
        for step in failing:
            if failures >= step.times:
                failures -= step.times
                continue
            failures = 0
            self._remember(memory)
            if not isinstance(step, Hang):
                return Play(step, delay)
            delay += step.seconds
        return Play(reply, delay)

    def _remember(self, memory: tuple[str, str]) -> None:
        self._played[memory] = self._played.get(memory, 0) + 1
        self._played.move_to_end(memory)
        if len(self._played) > _MAX_REMEMBERED:
            self._played.popitem(last=False)


def _is_summary(conversation: Conversation) -> bool:
    """Whether it is Pi's compaction, which sends the conversation as text (including scripts) and no tools."""
    return not conversation.tools and any(
        turn.text.startswith(("<conversation>", "# Conversation")) for turn in conversation.turns
    )


def _to_be_titled(conversation: Conversation) -> str | None:
    """The first line of the task that the platform requests a title for; None: it is no such request."""
    text = conversation.turns[-1].text if conversation.turns and not conversation.tools else ""
    if not text.startswith("Write a title for this task"):
        return None
    _, _, task = text.partition("<task>")
    return next((line.strip() for line in task.splitlines() if line.strip()), "nothing")


def _script_and_position(conversation: Conversation) -> tuple[list[Step] | None, int]:
    """The latest script in a user message, and how many assistant messages follow it.

    A message whose tool call was interrupted by the loss of its container is not counted, so its step is played again.
    """
    position = 0
    is_lost = is_cut_off = False
    for turn in reversed(conversation.turns):
        if turn.role == "assistant":
            position += 0 if is_cut_off else 1
            is_cut_off = False
        elif turn.role == "tool":
            is_cut_off = is_lost and NO_RESULT in turn.text
        elif (script := _last_script(turn.text)) is not None:
            return _parse(script), position
        else:
            is_lost = LOST in turn.text
    return None, position


def _last_script(text: str) -> str | None:
    """The content of the last fenced script. It takes linear time, also for a text with many opening lines."""
    script: str | None = None
    lines: list[str] | None = None
    for line in text.split("\n"):
        if lines is None:
            lines = [] if _OPENING.fullmatch(line) else None
        elif lines and _CLOSING.fullmatch(line):
            script, lines = "\n".join(lines), None
        else:
            lines.append(line)
    return script


def _is_new_message(conversation: Conversation) -> bool:
    """Whether the latest message is one of the user's without a script."""
    last = conversation.turns[-1]
    return last.role == "user" and _last_script(last.text) is None


def _due(script: list[Step], position: int) -> tuple[list[Fail | Cut | Hang], Reply | None]:
    """The reply that is due after `position` replies, if any, and the failing steps before it."""
    failing: list[Fail | Cut | Hang] = []
    for step in script:
        if not isinstance(step, Reply):
            failing.append(step)
        elif position == 0:
            return failing, step
        else:
            position -= 1
            failing = []
    return (failing if position == 0 else []), None


def _parse(text: str) -> list[Step]:
    try:
        steps: object = json.loads(text)
    except ValueError as error:
        raise ScriptError(f"The script is not JSON: {error}") from None
    if not isinstance(steps, list):
        raise ScriptError("The script is not a list of steps.")
    entries = list(objects_in(cast("list[object]", steps)))
    if len(entries) != len(cast("list[object]", steps)):
        raise ScriptError("A step of the script is not an object.")
    try:
        return [_step(entry) for entry in entries]
    except (TypeError, ValueError) as error:
        raise ScriptError(f"A step of the script is invalid: {error}") from None


def _step(entry: JsonObject) -> Step:
    times = _integer(entry.fields.get("times", 1))
    if entry.get("cut"):
        status = _integer(entry.get("error")) if "error" in entry else None
        return Cut(_reply(entry if "say" in entry else entry.replacing("say", _SLOW_TEXT)), times, status)
    if "error" in entry:
        status = _integer(entry.get("error"))
        return Fail(status, str(entry.fields.get("message", f"Scripted error {status}.")), times)
    if "hang" in entry:
        return Hang(_number(entry.get("hang")), times)
    return _reply(entry)


def _reply(entry: JsonObject) -> Reply:
    calls = tuple(_call(call) for call in entry.objects("tools")) or (
        (_call(entry),) if "bash" in entry or "tool" in entry else ()
    )
    text = entry.fields.get("say", "")
    if not text and not calls:
        if "slow" not in entry:
            raise ScriptError(
                "A step of the script has none of say, bash, tool, tools, error, cut, hang, slow: "
                f"{entry.fields}"
            )
        text = _SLOW_TEXT
    return Reply(str(text), calls, _number(entry.fields.get("slow", 0.004)))


def _call(entry: JsonObject) -> Call:
    if "bash" in entry:
        return Call("bash", JsonObject({"command": str(entry.get("bash"))}))
    tool = entry.text("tool")
    if tool is None:
        raise ScriptError(f"A tool call of the script names neither bash nor tool: {entry.fields}")
    arguments = JsonObject.of(entry.fields.get("input", {}))
    if arguments is None:
        raise ScriptError(f"The input of a tool call of the script is not an object: {entry.fields}")
    return Call(tool, arguments)


def _integer(value: object) -> int:
    return int(_number(value))


def _number(value: object) -> float:
    if not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is not a number")
    return float(value)
