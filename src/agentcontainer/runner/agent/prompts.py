"""The texts that the platform gives the agent: the system prompt, HARNESS.md, the prompts and reminders."""

import json
import shlex
from collections.abc import Sequence
from string import Template

from agentcontainer.domain.execution.model import NamedOutput, OutputPolicy
from agentcontainer.runtime.install import FILES

# In the system prompt, because a compaction may remove other texts from a long conversation.
SYSTEM_PROMPT = (
    "You work on one task, alone, in a sandbox. ~/TASK.md holds its instructions, ~/HARNESS.md the "
    "conventions. Nobody answers questions. The task ends only when the shell command `finish` is accepted: "
    '`finish --complete-task --message "…" [FILE…]`, or `finish --incomplete-task --message "…" [FILE…]` '
    "when it cannot be done fully. Never end your turn without it. To wait for hours or days, use the shell command "
    "`hibernate`."
)

# For a conversation, before and after a handoff: Pi keeps the system prompt that it was started with.
CONVERSATION_PROMPT = (
    "You talk with a user and work for them in a sandbox. ~/HARNESS.md holds the conventions. Every message of "
    "the user's starts a turn; end it with your answer. The shell command `share FILE…` gives files to the user. "
    "Leave no process running at the end of a turn. Only when you are told that the work is handed over to you, "
    "you go on alone, and the task ends when the shell command `finish` is accepted."
)

NUDGE = (
    "You stopped, but the task has not ended: it ends only when `finish` is accepted. If work remains, go on "
    'with it now. If all is done, run `finish --complete-task --message "…"` with the output files. If it '
    'cannot be done, run `finish --incomplete-task --message "…"` and say why. ~/HARNESS.md has the details.'
)

LAST_CHANCE = (
    "The budget of this task is used up. You have exactly one more answer, and it must be short: run `finish` now, "
    "with the output files that are ready. --complete-task if they are what was asked, otherwise --incomplete-task "
    "with a message that says what is missing."
)

# As LAST_CHANCE, in a conversation before a handoff.
LAST_ANSWER = (
    "The budget of this conversation is used up. You have exactly one more answer, and it must be short and without "
    "tools: tell the user what is done and what is missing."
)

# Added to the user's message in a turn that is repeated.
INTERRUPTED = (
    "(The container was lost while you worked on this message; the turn starts over, with the files and the "
    "conversation as they were before it.)"
)

# For an agent that works alone and is in a new container.
RESUMED = (
    "The container you worked in was lost, and this is another one: your files and this conversation are as they were "
    "at the last checkpoint, a few minutes ago, and background processes are gone; go on with the task from there."
)

CONTEXT_LOST = (
    "You remember nothing of your work so far, because your session, in /workspace/.pi, was removed or damaged. Your "
    "files are as you left them: look at them first, to see what is done."
)

# For an agent that has stopped and has an unread steering message.
GO_ON = "There is a new message for you. Read it, and go on."

# To an agent whose model provider was overloaded for so long that its task hibernated.
PROVIDER_BACK = (
    "You were woken by the platform: the model was not available for a while, so the container was stopped, and this "
    "is another one. Your files and "
    "this conversation are as they were; background processes are gone, and time has passed: `date` tells how much. "
    "A command that was to run may not have run. Go on with the task."
)

BUDGET_RAISED = (
    "The budget of this task was used up. You were woken by its raise, in another container: your files and this "
    "conversation are as they were; background processes are gone, and time has passed: `date` tells how much. Go on "
    "with the task."
)

# The prompt after a hibernation that the agent did not ask for, by what woke the task.
_GO_ON = {"provider": PROVIDER_BACK, "budget": BUDGET_RAISED}

_WOKEN_BY = {
    "message": "a message from the person who gave the task",
    "external_wake": "an external system, which says no more",
    "link": "somebody who used the wake link",
    "deadline": "the deadline that you set; nothing else happened meanwhile",
}

HANDOFF = "The user hands the work over to you: go on alone from here until it is done."
STEERED = "The person who gave the task adds:"

_ALONE = """\
# How this task is run

You work alone in a sandbox of AgentContainer. Nobody answers questions: where something is unclear, decide for the
most sensible reading, carry on, and say so in the message at the end. While you work the person who gave the task
may add something to it; that counts as the instructions do.
"""

_HANDED_OVER = """\
This holds once you are told that the work is handed over to you: from then on you go on alone, nobody answers
questions, and files are handed over with `finish` instead of `share`. Until then `finish` is refused, and the user
ends the conversation.

"""

_HIBERNATE_LATER = """\
This too holds only once the work is handed over to you: a conversation cannot hibernate.

"""


def harness(
    policy: OutputPolicy,
    internet_access: bool,
    max_runtime_seconds: int,
    soft_finish_after_seconds: int | None = None,
    is_conversation: bool = False,
    egress: Sequence[str] | None = None,
) -> str:
    """The text of HARNESS.md for one task."""
    text = "your standing instructions, if there are any" if is_conversation else "your instructions"
    return Template(_file("HARNESS.md")).substitute(
        opening=(_file("CONVERSATION.md") if is_conversation else _ALONE).rstrip(),
        instructions=f"{text}.",
        condition=_HANDED_OVER if is_conversation else "",
        waiting=_HIBERNATE_LATER if is_conversation else "",
        outputs="\n".join(f"- {line}" for line in _outputs(policy)),
        time=_time(max_runtime_seconds, soft_finish_after_seconds, is_conversation),
        network=_network(internet_access, egress),
    )


def prompt(instructions: str, policy: OutputPolicy) -> str:
    """The first prompt: the instructions word for word, then how to end the task."""
    return "\n".join(
        (
            "This is your task (it is in ~/TASK.md too):",
            "",
            instructions,
            "",
            "---",
            "Input files, if there are any, are in ~/task_files.",
            *_ending(policy),
        )
    )


def context_lost_prompt(instructions: str, policy: OutputPolicy, text: str) -> str:
    """The prompt for an agent that works alone and lost its session: its task again, then `text`."""
    return "\n".join((CONTEXT_LOST, "", prompt(instructions, policy), "", "---", text))


def turn_lost_prompt(instructions: str, text: str) -> str:
    """The prompt of a turn when the session is gone: the standing instructions again, then the turn's own prompt."""
    again = (
        ("Your standing instructions (they are in ~/TASK.md too):", "", instructions, "")
        if instructions
        else ()
    )
    return "\n".join((CONTEXT_LOST, "", *again, "---", "The user's message:", "", text))


def turn_prompt(content: str, files: Sequence[str] = ()) -> str:
    """The prompt of a conversation's turn: the user's message word for word, and what came with it."""
    text = _message(content, files)
    return f"\n{text}" if text.startswith("/") else text  # or Pi would take it for a command


def first_turn_prompt(instructions: str, content: str, files: Sequence[str] = ()) -> str:
    """The prompt of the first turn of a conversation that has instructions."""
    return "\n".join(
        (
            "These are your standing instructions for this conversation (they are in ~/TASK.md too):",
            "",
            instructions,
            "",
            "---",
            "The user's first message:",
            "",
            _message(content, files),
        )
    )


def handoff_prompt(message: str | None, policy: OutputPolicy) -> str:
    """The prompt of the turn with which a conversation is handed off."""
    return "\n".join(
        (
            f"{HANDOFF} Nobody answers",
            "questions any more: where something is unclear, decide for the most sensible reading, carry on, and",
            "say so in the message at the end.",
            *(("The user adds:", "", message, "", "---") if message else ()),
            *_ending(policy),
        )
    )


def woken_prompt(kind: str, hibernation_message: str, messages: Sequence[str]) -> str:
    """The first prompt after a hibernation: why the agent hibernated, what woke it, and all messages, word for word."""
    if kind in _GO_ON:
        return "\n\n".join((_GO_ON[kind], *(f"A message for you:\n\n{message}" for message in messages)))
    return "\n".join(
        (
            "You called hibernate, because:",
            "",
            hibernation_message,
            "",
            f"You were woken by {_WOKEN_BY[kind]}.",
            *(line for message in messages for line in ("", "A message for you:", "", message)),
            "",
            "---",
            "Go on with the task. Your files and this conversation are as they were; background processes are gone,",
            "and time has passed: `date` tells how much. Hibernate again, or end the task with `finish`, as before.",
        )
    )


def steer_prompt(content: str) -> str:
    """The prompt with a steering message."""
    return f"{STEERED}\n\n{content}"


def wrap_up(seconds_left: int, command_seconds: int, is_conversation: bool = False) -> str:
    """The prompt at the soft limit. `command_seconds`: how long a command may run from now on. `is_conversation`: the
    agent talks with a user and was not handed the work."""
    limit = f"Each command is ended after {_duration(command_seconds)}."
    if is_conversation:
        return (
            f"Time is running out: in {_duration(seconds_left)} this turn is stopped and all that you did in it is "
            f"undone. {limit} Start nothing new. Share the files that are ready, and end your turn now: say what is "
            "done and what is missing."
        )
    return (
        f"Time is running out: the task is stopped, as failed, in {_duration(seconds_left)}. {limit} Start "
        "nothing new. Bring what you have into a usable state and run `finish` now: --complete-task if it does what "
        "was asked, otherwise --incomplete-task with a message that says what is missing."
    )


def _message(content: str, files: Sequence[str]) -> str:
    if not files:
        return content
    return f"{content}\n\n(Files that came with this message, in ~/task_files: {shlex.join(files)})"


def _ending(policy: OutputPolicy) -> list[str]:
    return [
        "End the task with the shell command `finish`, as ~/HARNESS.md describes; without it the task does not",
        "end. Its output files:",
        *(f"- {line}" for line in _outputs(policy)),
    ]


def _file(name: str) -> str:
    return (FILES / name).read_text(encoding="utf-8")


def _outputs(policy: OutputPolicy) -> list[str]:
    match policy.mode:
        case "any":
            return [
                "List the files you want to hand over, if any, after the message: "
                '`finish --complete-task --message "…" report.md chart.png`.'
            ]
        case "none":
            return ["This task has no output files: run `finish` without any file."]
        case "at_least_one":
            return [
                "At least one file must be handed over. List files after the message: "
                '`finish --complete-task --message "…" report.md chart.png`.'
            ]
        case "named":
            return _named_outputs(policy.files)


def _named_outputs(files: tuple[NamedOutput, ...]) -> list[str]:
    options = " ".join(_option(file) for file in files if file.is_required)
    command = f'finish --complete-task --message "…" {options}'.rstrip()
    return [
        f"Hand over these outputs, each by its name, and no other file: `{command}`.",
        *(f"`{file.name}`: {'; '.join(_demands(file))}." for file in files),
    ]


def _option(file: NamedOutput) -> str:
    return f"--output {shlex.quote(f'{file.name}=PATH')}"


def _demands(file: NamedOutput) -> list[str]:
    demands = ["required" if file.is_required else f"optional (`{_option(file)}`)"]
    if file.content_type is not None:
        demands.append(f"a file of type {file.content_type}")
    if file.max_bytes is not None:
        demands.append(f"at most {file.max_bytes} bytes")
    if file.json_schema is not None:
        schema = json.dumps(file.json_schema, ensure_ascii=False)
        demands.append(f"a JSON document that fits the JSON Schema `{schema}`")
    return demands


def _time(max_runtime_seconds: int, soft_finish_after_seconds: int | None, is_conversation: bool) -> str:
    limit = f"the task is stopped, as failed, after {_duration(max_runtime_seconds)}."
    if is_conversation:
        limit = (
            f"a turn is stopped after {_duration(max_runtime_seconds)}, and all that you did in it is undone. The time "
            "of work that is handed over to you is limited as well: when it is used up, the task is stopped, as failed."
        )
    if soft_finish_after_seconds is None:
        return limit
    return (
        f"{limit} After {_duration(soft_finish_after_seconds)} you are asked to wrap up; do so at once then."
    )


def _network(internet_access: bool, egress: Sequence[str] | None) -> str:
    if egress is not None:
        hosts = ", ".join(f"`{entry}`" for entry in egress)
        return f"only these hosts can be reached, by TCP: {hosts}. Everything else is refused."
    if internet_access:
        return "the public internet can be reached; private networks and the host cannot."
    return "there is none. Nothing can be downloaded or installed: work with what is here."


def _duration(seconds: int) -> str:
    minutes, rest = divmod(max(seconds, 0), 60)
    parts = [f"{minutes} min" if minutes else "", f"{rest} s" if rest or not minutes else ""]
    return " ".join(part for part in parts if part)
