"""What the agent is told about where it works: HARNESS.md, the system prompt, and its prompts."""

import json
import shlex
from string import Template

from agentcontainer.domain.tasks.model import NamedOutput, OutputPolicy
from agentcontainer.runtime.install import FILES

# In the system prompt, so that it outlives every compaction of a long conversation.
SYSTEM_PROMPT = (
    "You work on one task, alone, in a sandbox. ~/TASK.md holds its instructions, ~/HARNESS.md the "
    "conventions. Nobody answers questions. The task ends only when the shell command `finish` is accepted: "
    '`finish --complete-task --message "…" [FILE…]`, or `finish --incomplete-task --message "…" [FILE…]` '
    "when it cannot be done fully. Never end your turn without it."
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


def harness(
    policy: OutputPolicy,
    internet_access: bool,
    max_runtime_seconds: int,
    soft_finish_after_seconds: int | None = None,
) -> str:
    """The text of HARNESS.md for one task."""
    return Template((FILES / "HARNESS.md").read_text(encoding="utf-8")).substitute(
        outputs="\n".join(f"- {line}" for line in _outputs(policy)),
        time=_time(max_runtime_seconds, soft_finish_after_seconds),
        network=_network(internet_access),
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
            "Input files, if there are any, are in ~/task_files. End the task with the shell command",
            "`finish`, as ~/HARNESS.md describes; without it the task does not end. Its output files:",
            *(f"- {line}" for line in _outputs(policy)),
        )
    )


def wrap_up(seconds_left: int) -> str:
    """What a running agent is told at the soft deadline."""
    return (
        f"Time is running out: the task is stopped, as failed, in {_duration(seconds_left)}. Start nothing "
        "new. Bring what you have into a usable state and run `finish` now: --complete-task if it does what "
        "was asked, otherwise --incomplete-task with a message that says what is missing."
    )


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


def _time(max_runtime_seconds: int, soft_finish_after_seconds: int | None) -> str:
    limit = f"the task is stopped, as failed, after {_duration(max_runtime_seconds)}."
    if soft_finish_after_seconds is None:
        return limit
    return (
        f"{limit} After {_duration(soft_finish_after_seconds)} you are asked to wrap up; do so at once then."
    )


def _network(internet_access: bool) -> str:
    if internet_access:
        return "the public internet can be reached; private networks and the host cannot."
    return "there is none. Nothing can be downloaded or installed: work with what is here."


def _duration(seconds: int) -> str:
    minutes, rest = divmod(max(seconds, 0), 60)
    parts = [f"{minutes} min" if minutes else "", f"{rest} s" if rest or not minutes else ""]
    return " ".join(part for part in parts if part)
