"""The prompts state the task's own limits, and name only commands that exist."""

from typing import get_args

import pytest

from agentcontainer.domain.execution.model import OutputPolicy
from agentcontainer.domain.execution.store import policy_of
from agentcontainer.domain.hibernation.service import WakeKind
from agentcontainer.runner.agent import prompts
from agentcontainer.runtime.install import COMMANDS, FILES

NAMED = policy_of(
    {
        "mode": "named",
        "files": [
            {"name": "report", "contentType": "text/markdown"},
            {"name": "numbers", "maxBytes": 2000, "jsonSchema": {"type": "array"}},
            {"name": "extra chart", "required": False},
        ],
    }
)


def policy(mode: str) -> OutputPolicy:
    return policy_of({"mode": mode})


def test_the_prompt_states_all_conventions() -> None:
    text = prompts.harness(OutputPolicy(), False, 3600)
    for phrase in (
        "TASK.md",
        "task_files",
        "reference_files",
        "/workspace/task",
        "--complete-task",
        "--incomplete-task",
    ):
        assert phrase in text
    assert "$" not in text


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        ("any", "if any, after the message"),
        ("none", "no output files: run `finish` without any file"),
        ("at_least_one", "At least one file must be handed over"),
    ],
)
def test_both_prompt_files_state_the_output_policy(mode: str, sentence: str) -> None:
    assert sentence in prompts.harness(policy(mode), False, 3600)
    assert sentence in prompts.prompt("Do it.", policy(mode))


def test_the_prompt_shows_how_to_declare_each_named_output() -> None:
    text = prompts.harness(NAMED, False, 3600)
    assert '`finish --complete-task --message "…" --output report=PATH --output numbers=PATH`' in text
    assert "`report`: required; a file of type text/markdown." in text
    assert "`numbers`: required; at most 2000 bytes; a JSON document that fits" in text
    assert '{"type": "array"}' in text
    assert "`extra chart`: optional (`--output 'extra chart=PATH'`)." in text


def test_a_clients_file_name_is_not_expanded_as_a_template() -> None:
    text = prompts.harness(policy_of({"mode": "named", "files": [{"name": "$time"}]}), False, 3600)
    assert "`$time`: required." in text


def test_the_prompt_states_the_limits_in_force() -> None:
    text = prompts.harness(OutputPolicy(), False, 3661, 3000)
    assert "after 61 min 1 s" in text
    assert "After 50 min you are asked to wrap up" in text
    assert "there is none" in text
    assert "wrap up" not in prompts.harness(OutputPolicy(), False, 3661)
    assert "public internet can be reached" in prompts.harness(OutputPolicy(), True, 60)
    assert "in 45 s." in prompts.wrap_up(45, 10)
    assert "Each command is ended after 10 s." in prompts.wrap_up(45, 10)


@pytest.mark.parametrize(
    "instructions", ["/skill:x do this", "line one\n\nline $two {three}", "---\n`finish`"]
)
def test_the_instructions_are_in_the_prompt_verbatim_and_never_a_pi_command(instructions: str) -> None:
    text = prompts.prompt(instructions, OutputPolicy())
    assert f"\n{instructions}\n" in text
    assert not text.startswith("/")
    assert "`finish`" in text


def test_the_prompt_of_a_conversation_explains_turns_share_and_later_finish() -> None:
    text = prompts.harness(policy("at_least_one"), False, 3600, is_conversation=True)
    for phrase in (
        "Every message of the user starts a turn",
        "share report.md",
        "leave nothing running at the end of a turn",
        "once you are told that the work is handed over to you",
        "finish --complete-task",
        "At least one file must be handed over",
        "a turn is stopped after 60 min",
        "TASK.md",
    ):
        assert phrase in text
    assert "$" not in text
    assert "You work alone" not in text
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert len(headings) == len(set(headings))


def test_the_prompt_offers_hibernate_to_tasks_and_handed_off_conversations() -> None:
    only_later = "only once the work is handed over to you: a conversation cannot hibernate"
    for is_conversation in (False, True):
        text = prompts.harness(OutputPolicy(), False, 3600, is_conversation=is_conversation)
        assert 'hibernate --message "' in text
        assert "hibernate --wake-link" in text
        assert "Background processes do not survive" in text
        assert (only_later in text) is is_conversation
        assert "$" not in text
    assert "hibernate" in prompts.SYSTEM_PROMPT
    assert "hibernate" not in prompts.CONVERSATION_PROMPT


@pytest.mark.parametrize(
    ("kind", "by"),
    [
        ("message", "a message from the person who gave the task"),
        ("external_wake", "an external system"),
        ("deadline", "the deadline that you set"),
        ("link", "somebody who used the wake link"),
    ],
)
def test_the_wake_prompt_names_the_cause_and_quotes_each_message(kind: str, by: str) -> None:
    reason = "/wait for\n\n$x {y}"
    text = prompts.woken_prompt(kind, reason, ["/skill:x\n\n---\n$a", "Second."])
    assert not text.startswith("/")
    assert f"because:\n\n{reason}\n\nYou were woken by {by}" in text
    assert (
        text.index("/skill:x\n\n---\n$a\n")
        < text.index("\nSecond.\n")
        < text.index("background processes are gone")
    )
    assert "`date`" in text
    assert "`finish`" in text
    assert "message for you" not in prompts.woken_prompt(kind, reason, [])


def test_each_kind_of_wake_has_its_sentence() -> None:
    for kind in get_args(WakeKind):
        assert "You were woken by " in prompts.woken_prompt(kind, "Waiting.", [])


def test_the_prompt_after_an_interruption_is_one_sentence() -> None:
    assert prompts.RESUMED.count(".") == 1
    for phrase in (
        "was lost",
        "at the last checkpoint",
        "background processes are gone",
        "go on with the task",
    ):
        assert phrase in prompts.RESUMED


def test_the_prompt_of_a_task_does_not_mention_turns_or_share() -> None:
    text = prompts.harness(OutputPolicy(), False, 3600) + prompts.SYSTEM_PROMPT + prompts.wrap_up(60, 15)
    assert "share" not in text
    assert "turn starts" not in text


def test_the_prompt_of_a_turn_quotes_the_message_and_names_its_files() -> None:
    assert prompts.turn_prompt("What now?\n\n$x {y}") == "What now?\n\n$x {y}"
    text = prompts.turn_prompt("Look.", ["a b.csv", "c.csv"])
    assert text.startswith("Look.\n")
    assert text.splitlines()[-1].endswith("~/task_files: 'a b.csv' c.csv)")


def test_a_user_message_is_never_a_pi_command() -> None:
    for text in (
        prompts.turn_prompt("/skill:x do this"),
        prompts.first_turn_prompt("/skill:x", "/skill:x"),
        prompts.handoff_prompt("/skill:x", OutputPolicy()),
        prompts.steer_prompt("/skill:x"),
    ):
        assert "/skill:x" in text
        assert not text.startswith("/")


def test_the_first_turn_has_the_instructions_and_the_message() -> None:
    text = prompts.first_turn_prompt("Be brief.\n\nAlways.", "Hello?", ["a.csv"])
    assert "\nBe brief.\n\nAlways.\n" in text
    assert text.index("Always.") < text.index("\nHello?\n") < text.index("a.csv")


@pytest.mark.parametrize("message", [None, "Mind the\n\ntests."])
def test_the_prompt_of_a_handoff_says_how_to_finish(message: str | None) -> None:
    text = prompts.handoff_prompt(message, policy("at_least_one"))
    assert text.startswith(prompts.HANDOFF)
    assert f"\n{message}\n" in text if message else "adds" not in text
    assert "`finish`" in text
    assert "At least one file must be handed over" in text


def test_a_steering_message_is_introduced_as_one() -> None:
    assert prompts.steer_prompt("In French,\nplease.") == f"{prompts.STEERED}\n\nIn French,\nplease."


def test_the_time_warning_fits_the_mode_of_the_task() -> None:
    assert "`finish`" in prompts.wrap_up(60, 15)
    assert "finish" not in prompts.wrap_up(60, 15, is_conversation=True)
    assert "in 1 min this turn is stopped" in prompts.wrap_up(60, 15, is_conversation=True)


def test_only_commands_that_exist_are_named() -> None:
    text = prompts.harness(NAMED, True, 60, 30, is_conversation=True) + prompts.harness(NAMED, True, 60, 30)
    text += prompts.prompt("", NAMED) + prompts.handoff_prompt(None, NAMED) + prompts.CONVERSATION_PROMPT
    text += prompts.SYSTEM_PROMPT + prompts.NUDGE + prompts.wrap_up(60, 15) + prompts.LAST_CHANCE
    for command in COMMANDS:
        assert f"{command} --" in text or f"{command} report" in text
        assert (FILES / "bin" / command).exists()
