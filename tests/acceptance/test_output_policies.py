"""The four output policies, enforced outside the sandbox: accepted, refused with a reason, corrected by the agent."""

from typing import Any

import pytest

from .conftest import Client, finish, script

WRITE = {"bash": "echo hello > report.md; echo a,b > data.csv"}
NAMED = {"mode": "named", "files": [{"name": "report"}, {"name": "data", "required": False}]}


@pytest.mark.parametrize(
    ("policy", "arguments", "names"),
    [
        ({"mode": "any"}, (), {}),
        ({"mode": "any"}, ("report.md",), {"report.md": None}),
        ({"mode": "none"}, (), {}),
        ({"mode": "at_least_one"}, ("report.md", "data.csv"), {"report.md": None, "data.csv": None}),
        (NAMED, ("--output report=report.md",), {"report.md": "report"}),
        (
            NAMED,
            ("--output report=report.md", "--output data=data.csv"),
            {"report.md": "report", "data.csv": "data"},
        ),
    ],
)
@pytest.mark.parametrize("is_complete", [True, False])
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
    files = client.get(f"/tasks/{task['id']}/files")["data"]
    assert {file["filename"]: file["outputName"] for file in files} == names


@pytest.mark.parametrize(
    ("policy", "refused_files", "hint", "accepted_files"),
    [
        ({"mode": "none"}, ("report.md",), "without any file", ()),
        ({"mode": "at_least_one"}, (), "at least one output file", ("report.md",)),
        (NAMED, ("report.md",), "--output NAME=PATH", ("--output report=report.md",)),
        (
            NAMED,
            ("--output summary=report.md",),
            "The names are: report, data",
            ("--output report=report.md",),
        ),
        ({"mode": "any"}, ("missing.md",), "does not exist", ("report.md",)),
        ({"mode": "any"}, ("/etc/passwd",), "within /workspace", ()),
        ({"mode": "any"}, ("link.md",), "symbolic link", ()),
    ],
)
def test_a_refused_finish_explains_why_and_can_be_repeated(
    client: Client,
    policy: dict[str, Any],
    refused_files: tuple[str, ...],
    hint: str,
    accepted_files: tuple[str, ...],
) -> None:
    task = client.run(
        script(WRITE, {"bash": "ln -s /etc/passwd link.md"}, finish(*refused_files), finish(*accepted_files)),
        overrides={"outputPolicy": policy},
    )
    assert task["status"] == "finished", task
    log = client.events(task["id"])
    [rejected] = [event for event in log if event["type"] == "finish.rejected"]
    assert hint in rejected["data"]["message"]
    third = [event for event in log if event["type"] == "tool.completed"][2]
    assert hint in third["data"]["output"]
    assert b"root:" not in b"".join(client.outputs(task["id"]).values())
