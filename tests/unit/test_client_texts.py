"""Texts that the commands for users read and write: failures, agents as files, messages of several lines."""

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcontainer_client import errors, models
from agentcontainer_client.cli import agent_files, failures, prompting

FAULT = "overrides.budget.maxCostUsd: must be greater than 0.0"


def refused(*faults: str) -> errors.ValidationFailed:
    details = [
        models.FieldFault(path=path, message=message)
        for path, _, message in (fault.partition(": ") for fault in faults)
    ]
    return errors.ValidationFailed(400, "validation_error", faults[0], details, "req_1")


def test_a_fault_is_told_once_and_names_the_option() -> None:
    assert str(refused(FAULT)) == f"{FAULT} (request req_1)"
    assert failures.sentence(refused(FAULT)) == "--budget: must be greater than 0.0 (request req_1)"
    assert failures.sentence(refused(FAULT, "inputRepositories.0.url: must start with https://")) == (
        "--budget: must be greater than 0.0\n  --repo: must start with https:// (request req_1)"
    )
    assert failures.sentence(refused("sizeBytes: must be at least 1")).startswith("sizeBytes: ")


def test_a_failure_to_connect_says_what_to_look_at() -> None:
    error = errors.ConnectionFailed("127.0.0.1:8080 cannot be reached: Connection refused")
    assert failures.sentence(error).endswith("refused. Is the server running, and is the URL right?")
    assert failures.sentence(OSError(28, "No space left on device", "out\x1b[2J")) == (
        "out [2J: No space left on device"
    )


AGENT = {
    "name": "Sales",
    "description": "2026-01-01",
    "basePrompt": "Be brief.\nName the number.\n",
    "image": None,
    "defaults": {"maxRuntimeSeconds": 600, "outputPolicy": {"mode": "any"}},
    "referenceFileIds": [],
    "skills": ["file_1"],
}


def test_an_agent_as_yaml_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(agent_files.to_yaml(AGENT), "utf-8")
    assert agent_files.read(path) == AGENT
    assert "basePrompt: |\n  Be brief.\n  Name the number.\n" in path.read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.json", b"{", "is not JSON"),
        ("a.yaml", b"a: [", "is not YAML"),
        ("a.yaml", b"\xff\xfe", "is not YAML"),
        ("a.yaml", b"just a text", "does not describe an agent"),
        ("a.yaml", b"name: a\ncolour: red\n", "has the unknown field colour"),
        ("a.yaml", b"1: a\n", "has the unknown field 1"),
        ("a.yaml", b"name: a\nname: b\n", "The field name is there twice"),
        ("a.yaml", b"!!python/object/apply:os.system ['true']", "is not YAML"),
        ("a.json", b"[" * 100_000, "is not JSON"),
    ],
)
def test_what_describes_no_agent_is_refused(tmp_path: Path, name: str, content: bytes, fault: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(errors.ConfigurationError, match=fault):
        agent_files.read(path)


def test_a_file_that_cannot_be_read_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigurationError, match="cannot be read: No such file"):
        agent_files.read(tmp_path / "missing.yaml")


def all_messages() -> Iterator[str]:
    with contextlib.suppress(EOFError):
        while True:
            yield prompting.read_message()


@pytest.mark.parametrize(
    ("written", "messages"),
    [
        ("one\ntwo\n", ["one", "two"]),
        ("one \\\ntwo\\\n\nthree\n", ["one \ntwo\n", "three"]),
        ("one\\", ["one\n"]),
        ("", []),
    ],
)
def test_a_line_that_ends_with_a_backslash_goes_on(
    monkeypatch: pytest.MonkeyPatch, written: str, messages: list[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(written))
    assert list(all_messages()) == messages
