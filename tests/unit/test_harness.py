"""What the agent reads about its task names what holds, and only commands that exist."""

import pytest

from agentcontainer.domain.tasks.model import OutputPolicy
from agentcontainer.runtime import harness
from agentcontainer.runtime.install import FILES

NAMED = OutputPolicy.of(
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
    return OutputPolicy.of({"mode": mode})


def test_the_conventions_are_told_in_full() -> None:
    text = harness.harness(OutputPolicy(), False, 3600)
    for word in (
        "TASK.md",
        "task_files",
        "reference_files",
        "/workspace/task",
        "--complete-task",
        "--incomplete-task",
    ):
        assert word in text
    assert "$" not in text


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        ("any", "if any, after the message"),
        ("none", "no output files: run `finish` without any file"),
        ("at_least_one", "At least one file must be handed over"),
    ],
)
def test_the_output_policy_is_told_in_harness_and_prompt(mode: str, sentence: str) -> None:
    assert sentence in harness.harness(policy(mode), False, 3600)
    assert sentence in harness.prompt("Do it.", policy(mode))


def test_named_outputs_are_told_with_the_command_and_what_each_must_be() -> None:
    text = harness.harness(NAMED, False, 3600)
    assert '`finish --complete-task --message "…" --output report=PATH --output numbers=PATH`' in text
    assert "`report`: required; a file of type text/markdown." in text
    assert "`numbers`: required; at most 2000 bytes; a JSON document that fits" in text
    assert '{"type": "array"}' in text
    assert "`extra chart`: optional (`--output 'extra chart=PATH'`)." in text


def test_a_name_of_a_client_cannot_reach_into_the_template() -> None:
    text = harness.harness(OutputPolicy.of({"mode": "named", "files": [{"name": "$time"}]}), False, 3600)
    assert "`$time`: required." in text


def test_limits_are_told_as_they_are() -> None:
    text = harness.harness(OutputPolicy(), False, 3661, 3000)
    assert "after 61 min 1 s" in text
    assert "After 50 min you are asked to wrap up" in text
    assert "there is none" in text
    assert "wrap up" not in harness.harness(OutputPolicy(), False, 3661)
    assert "public internet can be reached" in harness.harness(OutputPolicy(), True, 60)
    assert "in 45 s." in harness.wrap_up(45)


@pytest.mark.parametrize(
    "instructions", ["/skill:x do this", "line one\n\nline $two {three}", "---\n`finish`"]
)
def test_the_prompt_carries_the_instructions_word_for_word_and_is_no_command_of_pi(instructions: str) -> None:
    text = harness.prompt(instructions, OutputPolicy())
    assert f"\n{instructions}\n" in text
    assert not text.startswith("/")
    assert "`finish`" in text


def test_only_commands_that_exist_are_named() -> None:
    said = harness.harness(NAMED, True, 60, 30) + harness.prompt("", NAMED) + harness.SYSTEM_PROMPT
    said += harness.NUDGE + harness.wrap_up(60)
    assert (FILES / "bin/finish").exists()
    assert not [word for word in ("hibernate", "share ") if word in said]
