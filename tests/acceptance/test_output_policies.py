"""The four output policies, enforced outside the sandbox: accepted, refused with a reason, corrected by the agent."""

from typing import Any

import pytest

from .conftest import Client, finish, script

WRITE = {"bash": "echo hello > report.md; echo a,b > data.csv"}
NAMED = {"mode": "named", "files": [{"name": "report"}, {"name": "data", "required": False}]}


@pytest.mark.parametrize(
    ("policy", "arguments", "names", "is_complete"),
    [
        ({"mode": "any"}, (), {}, False),
        ({"mode": "any"}, ("report.md",), {"report.md": None}, True),
        ({"mode": "none"}, (), {}, True),
        ({"mode": "at_least_one"}, ("report.md", "data.csv"), {"report.md": None, "data.csv": None}, False),
        (NAMED, ("--output report=report.md",), {"report.md": "report"}, False),
        (
            NAMED,
            ("--output report=report.md", "--output data=data.csv"),
            {"report.md": "report", "data.csv": "data"},
            True,
        ),
    ],
)
def test_outputs_that_meet_the_policy_are_accepted(
    client: Client,
    policy: dict[str, Any],
    arguments: tuple[str, ...],
    names: dict[str, Any],
    is_complete: bool,
) -> None:
    steps = (WRITE, finish(*arguments, message="So it is.", complete=is_complete))
    task = client.run(script(*steps), overrides={"outputPolicy": policy})
    assert task["status"] == "finished", task
    assert task["completion"] == ("complete" if is_complete else "incomplete")
    assert task["result"] == "So it is."
    files = client.files(task["id"])
    assert {file["filename"]: file["outputName"] for file in files} == names


@pytest.mark.parametrize(
    ("policy", "refusals", "accepted_files"),
    [
        ({"mode": "none"}, [("report.md", "without any file")], ()),
        ({"mode": "at_least_one"}, [("", "at least one output file")], ("report.md",)),
        (
            NAMED,
            [
                ("report.md", "--output NAME=PATH"),
                ("--output summary=report.md", "The names are: report, data"),
            ],
            ("--output report=report.md",),
        ),
        (
            {"mode": "any"},
            [
                ("missing.md", "does not exist"),
                ("/etc/passwd", "within /workspace"),
                ("link.md", "symbolic link"),
            ],
            ("report.md",),
        ),
    ],
)
def test_a_refused_finish_explains_why_and_can_be_repeated(
    client: Client, policy: dict[str, Any], refusals: list[tuple[str, str]], accepted_files: tuple[str, ...]
) -> None:
    refused = [finish(files) for files, _ in refusals]
    task = client.run(
        script(WRITE, {"bash": "ln -s /etc/passwd link.md"}, *refused, finish(*accepted_files)),
        overrides={"outputPolicy": policy},
    )
    assert task["status"] == "finished", task
    log = client.events(task["id"])
    rejected = [event["data"]["message"] for event in log if event["type"] == "finish.rejected"]
    outputs = [event["data"]["output"] for event in log if event["type"] == "tool.completed"][2:-1]
    for (_, hint), message, output in zip(refusals, rejected, outputs, strict=True):
        assert hint in message
        assert hint in output
    assert b"root:" not in b"".join(client.outputs(task["id"]).values())
