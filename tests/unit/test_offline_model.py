"""The provider `offline`: when a task uses it, and which files its script writes."""

import time

import pytest

from agentcontainer.domain.execution.model import AgentDefaults, DefaultsChange, Overrides
from agentcontainer.domain.execution.service import change_defaults, platform_defaults, resolve
from agentcontainer.errors import ValidationError
from agentcontainer.gateway.json_object import JsonObject
from agentcontainer.gateway.scripted import anthropic
from agentcontainer.gateway.scripted.file_names import requested_files
from agentcontainer.gateway.scripted.script import Director
from agentcontainer.settings import Settings

OFF, ON, ALL = (Settings.model_validate({"offline_model": value}) for value in ("off", "on", "all"))


def defaults() -> AgentDefaults:
    return platform_defaults(ON)


def test_it_is_offered_only_where_the_operator_says_so() -> None:
    offline = Overrides(provider="offline")
    with pytest.raises(ValidationError, match="AGENTCONTAINER_OFFLINE_MODEL=on"):
        resolve(defaults(), offline, OFF)
    with pytest.raises(ValidationError, match="AGENTCONTAINER_OFFLINE_MODEL=on"):
        change_defaults(defaults(), DefaultsChange(provider="offline"), Settings())
    execution = resolve(defaults(), offline, ON)
    assert (execution.provider, execution.model, execution.weak_model) == ("offline", "offline-script", None)
    assert change_defaults(defaults(), DefaultsChange(provider="offline"), ON).model == "offline-script"


def test_it_is_the_default_only_of_tasks_that_name_no_model() -> None:
    assert resolve(defaults(), Overrides(), ON).provider == "anthropic"
    assert resolve(defaults(), Overrides(), ALL).provider == "offline"
    named = resolve(defaults(), Overrides(provider="openai", model="gpt-5.2"), ALL)
    assert (named.provider, named.model) == ("openai", "gpt-5.2")
    assert resolve(defaults(), Overrides(model="claude-opus-4-5"), ALL).model == "claude-opus-4-5"
    assert change_defaults(defaults(), DefaultsChange(), ALL).provider == "anthropic", (
        "versions do not store it"
    )


@pytest.mark.parametrize("model", ["gpt-5.2", "anything"])
def test_it_has_one_model(model: str) -> None:
    with pytest.raises(ValidationError, match="must be offline-script"):
        resolve(defaults(), Overrides(provider="offline", model=model), ON)


@pytest.mark.parametrize(
    ("instructions", "files"),
    [
        ("Write a haiku about containers into haiku.txt and deliver it.", ["haiku.txt"]),
        ("Analyse task_files/sales.csv.\n\nWrite report.md. Then finish with report.md.", ["report.md"]),
        ("Look at sales.csv and summarise it.", []),
        ("Convert sales.csv to sales.html", ["sales.html"]),
        ("Save `my report.md` and out/data.json.", ["my report.md", "out/data.json"]),
        ("Schreibe bericht.md", ["bericht.md"]),
        ("Use Node.js, see https://example.com/index.html, e.g. version 1.2", []),
        ("Write ../up.md, /etc/passwd.txt or a/../../b.md", []),
    ],
)
def test_it_writes_the_files_that_the_instructions_name(instructions: str, files: list[str]) -> None:
    assert requested_files(instructions, frozenset({"sales.csv"})) == files


@pytest.mark.parametrize(
    "text",
    [
        "```script\n" * 200_000,
        "`" * 500_000,
        "a." * 250_000,
        "write " * 100_000,
        "~/" * 250_000,
        "- `" * 200_000,
    ],
)
def test_a_hostile_message_does_not_occupy_it(text: str) -> None:
    tools = [{"name": "bash"}]
    answer = {"role": "assistant", "content": "x"}
    messages = [{"role": "user", "content": text}, answer, {"role": "user", "content": text}]
    request = JsonObject({"messages": messages, "tools": tools})
    started = time.process_time()
    Director().next(anthropic.parse(request), "key")
    assert time.process_time() - started < 2
