"""The commands `finish`, `share` and `hibernate`, run in a real sandbox with a control socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agentcontainer.runner.agent import pi_launch

from .attempt_bed import attempt_folder, sandbox_in


@dataclass
class Platform:
    """A control socket that records its requests and gives prepared answers."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    status: int = 200
    answers: dict[str, str] = field(default_factory=dict)  # to a path, instead of `body`
    body: str = json.dumps({"accepted": True, "message": "Accepted. The task is finished."})

    async def answer(self, request: web.Request) -> web.Response:
        self.paths.append(request.path)
        self.requests.append(await request.json())
        text = self.answers.get(request.path, self.body)
        return web.Response(status=self.status, text=text, content_type="application/json")


@dataclass(frozen=True)
class Result:
    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class CommandBed:
    """Runs each command in a new sandbox, with one shared workspace and platform."""

    root: Path
    platform: Platform

    async def run(self, *command: str, cwd: str = pi_launch.HOME) -> Result:
        async with sandbox_in(self.root, command, cwd=cwd) as sandbox:
            stdout, stderr = await asyncio.gather(sandbox.stdout.read(), sandbox.stderr.read())
            return Result((await sandbox.wait()).code, stdout.decode(), stderr.decode())

    async def check_wrong_usage(self, command: str, arguments: list[str], complaint: str) -> None:
        """Check that the command explains what is wrong with these arguments, and sends nothing."""
        result = await self.run(command, *arguments)
        assert (result.code, result.stdout) == (2, "")
        assert complaint in result.stderr
        assert f"{command} --help" in result.stderr
        assert self.platform.requests == []


@pytest.fixture
async def bed(short_dir: Path) -> AsyncIterator[CommandBed]:
    platform = Platform()
    app = web.Application()
    app.router.add_post("/{command}", platform.answer)
    async with attempt_folder(short_dir, "control.sock", app) as root:
        (root / "workspace/task/sub").mkdir()
        yield CommandBed(root, platform)


async def test_finish_sends_its_arguments_unchanged(bed: CommandBed) -> None:
    result = await bed.run(
        "finish", "--complete-task", "--message", 'Häuser: 3 "quoted" $HOME\nline two', "report.md", "a b.png"
    )
    assert result == Result(0, "Accepted. The task is finished.\n", "")
    assert bed.platform.requests == [
        {
            "completion": "complete",
            "message": 'Häuser: 3 "quoted" $HOME\nline two',
            "files": ["report.md", "a b.png"],
            "outputs": [],
            "cwd": "/workspace/task",
        }
    ]
    assert bed.platform.paths == ["/finish"]


async def test_an_incomplete_task_with_named_outputs_from_another_folder(bed: CommandBed) -> None:
    options = [
        "--output",
        "report=out/r.md",
        "--output=data=x=1.csv",
        "--message=--half done--",
        "--incomplete-task",
    ]
    result = await bed.run("finish", *options, "--", "-dashed", "--complete-task", cwd="/workspace/task/sub")
    assert result.code == 0
    assert bed.platform.requests == [
        {
            "completion": "incomplete",
            "message": "--half done--",
            "files": ["-dashed", "--complete-task"],
            "outputs": [{"name": "report", "path": "out/r.md"}, {"name": "data", "path": "x=1.csv"}],
            "cwd": "/workspace/task/sub",
        }
    ]


async def test_a_refusal_is_printed_and_fails(bed: CommandBed) -> None:
    bed.platform.status = 422
    bed.platform.body = json.dumps(
        {"accepted": False, "message": "finish was not accepted:\nreport.md: not there."}
    )
    result = await bed.run("finish", "--complete-task", "--message", "done", "report.md")
    assert result == Result(1, "", "finish was not accepted:\nreport.md: not there.\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "--complete-task or --incomplete-task"),
        (["report.md"], "--complete-task or --incomplete-task"),
        (["--complete-task", "--incomplete-task", "--message", "x"], "not both"),
        (["--complete-task"], '--message "…" is missing'),
        (["--complete-task", "--message", "  "], '--message "…" is missing'),
        (["--complete-task", "--message"], "--message needs a value"),
        (["--complete-task", "--message", "--output", "a=b"], "--message needs a value"),
        (["--complete-task", "--message", "x", "--message", "y"], "--message once"),
        (["--complete-task", "--message", "x", "--verbose"], "unknown flag --verbose"),
        (["--complete-task=yes", "--message", "x"], "unknown flag --complete-task"),
        (["--complete-task", "-m", "x"], "unknown flag -m"),
        (["--complete-task", "--message", "x", "--output", "report.md"], '"report.md" is not NAME=PATH'),
        (["--complete-task", "--message", "x", "--output", "=report.md"], '"=report.md" is not NAME=PATH'),
        (["--complete-task", "--message", "x", "--output", "report="], '"report=" is not NAME=PATH'),
        (["--complete-task", "--message", "x", ""], "a FILE is empty"),
    ],
)
async def test_wrong_usage_is_explained_and_sends_nothing(
    bed: CommandBed, arguments: list[str], complaint: str
) -> None:
    await bed.check_wrong_usage("finish", arguments, complaint)


async def test_help_names_every_option_and_sends_nothing(bed: CommandBed) -> None:
    result = await bed.run("finish", "--complete-task", "--help")
    assert result.code == 0
    for option in ("--complete-task", "--incomplete-task", "--message", "--output NAME=PATH", "FILE"):
        assert option in result.stdout
    assert bed.platform.requests == []


@pytest.mark.parametrize(("status", "body"), [(500, "<html>"), (200, "null"), (200, '{"accepted":"yes"}')])
async def test_an_invalid_response_is_never_taken_as_success(bed: CommandBed, status: int, body: str) -> None:
    bed.platform.status, bed.platform.body = status, body
    result = await bed.run("finish", "--complete-task", "--message", "done")
    assert result.code == 3
    assert f"the platform could not be reached (HTTP {status})" in result.stderr


async def test_an_unreachable_platform_is_reported(bed: CommandBed) -> None:
    (bed.root / "sockets/control.sock").unlink()
    result = await bed.run("finish", "--complete-task", "--message", "done")
    assert result == Result(3, "", "finish: the platform could not be reached (ENOENT); run finish again.\n")


async def test_a_missing_working_folder_is_reported(bed: CommandBed) -> None:
    command = 'mkdir gone && cd gone && rmdir ../gone && finish --complete-task --message "done"'
    result = await bed.run("sh", "-c", command)
    assert result.code == 2
    assert "current directory no longer exists" in result.stderr


async def test_shared_files_are_sent_as_they_were_named(bed: CommandBed) -> None:
    bed.platform.body = json.dumps({"accepted": True, "message": "Shared: report.md."})
    result = await bed.run(
        "share", "report.md", "../a b.png", "-", "--", "-x", "--help", cwd="/workspace/task/sub"
    )
    assert result == Result(0, "Shared: report.md.\n", "")
    files = ["report.md", "../a b.png", "-", "-x", "--help"]
    assert bed.platform.requests == [{"files": files, "cwd": "/workspace/task/sub"}]
    assert bed.platform.paths == ["/share"]


async def test_a_refused_share_is_printed_and_fails(bed: CommandBed) -> None:
    bed.platform.status = 422
    bed.platform.body = json.dumps({"accepted": False, "message": "share works in conversations."})
    assert await bed.run("share", "report.md") == Result(1, "", "share works in conversations.\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "name the files to share"),
        (["--"], "name the files to share"),
        (["a.md", ""], "a FILE is empty"),
        (["a.md", "--message", "x"], "unknown flag --message"),
        (["-x"], "unknown flag -x"),
    ],
)
async def test_wrong_usage_of_share_is_explained_and_sends_nothing(
    bed: CommandBed, arguments: list[str], complaint: str
) -> None:
    await bed.check_wrong_usage("share", arguments, complaint)


async def test_the_help_of_share_is_printed(bed: CommandBed) -> None:
    result = await bed.run("share", "report.md", "--help")
    assert result.code == 0
    assert "share FILE..." in result.stdout
    assert bed.platform.requests == []


async def test_share_reports_an_unreachable_platform(bed: CommandBed) -> None:
    (bed.root / "sockets/control.sock").unlink()
    result = await bed.run("share", "report.md")
    assert result == Result(3, "", "share: the platform could not be reached (ENOENT); run share again.\n")


@pytest.mark.parametrize(
    ("arguments", "deadline"),
    [
        (["--for", "90m"], {"forSeconds": 5400}),
        (["--for=45s"], {"forSeconds": 45}),
        (["--for", "36h"], {"forSeconds": 129_600}),
        (["--for", "2d"], {"forSeconds": 172_800}),
        (["--for", "1h30m"], {"forSeconds": 5400}),
        (["--for", "1d1h1m1s"], {"forSeconds": 90_061}),
        (["--until", "2026-04-14T15:00:00Z"], {"until": "2026-04-14T15:00:00Z"}),
        (["--until=2026-04-14T17:00+02:00"], {"until": "2026-04-14T17:00+02:00"}),
    ],
)
async def test_hibernate_sends_its_arguments_unchanged(
    bed: CommandBed, arguments: list[str], deadline: dict[str, Any]
) -> None:
    bed.platform.body = json.dumps({"accepted": True, "message": "Accepted. The task hibernates."})
    result = await bed.run("hibernate", "--message", "Waiting for Häuser.", *arguments)
    assert result == Result(0, "Accepted. The task hibernates.\n", "")
    assert bed.platform.requests == [{"message": "Waiting for Häuser.", **deadline}]
    assert bed.platform.paths == ["/hibernate"]


async def test_a_wake_link_alone_does_not_hibernate(bed: CommandBed) -> None:
    bed.platform.body = json.dumps({"accepted": True, "message": "https://agents.example/wake/x"})
    result = await bed.run("hibernate", "--wake-link")
    assert result == Result(0, "https://agents.example/wake/x\n", "")
    assert (bed.platform.requests, bed.platform.paths) == ([{}], ["/wake-link"])


async def test_a_wake_link_is_printed_before_the_task_hibernates(bed: CommandBed) -> None:
    bed.platform.answers["/wake-link"] = json.dumps({"accepted": True, "message": "https://x/wake/y"})
    result = await bed.run("hibernate", "--for", "1h", "--wake-link", "--message", "Waiting.")
    assert result == Result(0, "https://x/wake/y\nAccepted. The task is finished.\n", "")
    assert bed.platform.paths == ["/wake-link", "/hibernate"]
    assert bed.platform.requests == [{}, {"message": "Waiting.", "forSeconds": 3600}]


@pytest.mark.parametrize("code", [1, 3])
async def test_when_a_wake_link_fails_the_task_does_not_hibernate(bed: CommandBed, code: int) -> None:
    refusal = json.dumps({"accepted": False, "message": "There is no wake link."})
    bed.platform.answers["/wake-link"] = refusal if code == 1 else "<html>"
    result = await bed.run("hibernate", "--wake-link", "--message", "Waiting.", "--for", "1h")
    assert (result.code, result.stdout) == (code, "")
    assert bed.platform.paths == ["/wake-link"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], '--message "…" is missing'),
        (["--for", "1h"], '--message "…" is missing'),
        (["--message", " ", "--for", "1h"], '--message "…" is missing'),
        (["--message", "x"], "use --for 90m or --until"),
        (["--message", "x", "--wake-link"], "use --for 90m or --until"),
        (["--wake-link", "--for", "1h"], '--message "…" is missing'),
        (["--message", "x", "--for", "1h", "--until", "2026-04-14T15:00:00Z"], "use --for 90m or --until"),
        (["--message", "x", "--for", "1h", "--for", "2h"], "give --for once"),
        (["--message", "x", "--for"], "--for needs a value"),
        (["--message", "--for", "1h"], "--message needs a value"),
        (["--message", "x", "--for", "soon"], '"soon" is not a duration'),
        (["--message", "x", "--for", ""], '"" is not a duration'),
        (["--message", "x", "--for", "90"], '"90" is not a duration'),
        (["--message", "x", "--for", "-5m"], '"-5m" is not a duration'),
        (["--message", "x", "--for", "1.5h"], '"1.5h" is not a duration'),
        (["--message", "x", "--for", "30m1h"], '"30m1h" is not a duration'),
        (["--message", "x", "--until", "tomorrow"], "is not a time with a zone"),
        (["--message", "x", "--until", "2026-04-14T15:00:00"], "is not a time with a zone"),
        (["--message", "x", "--until", "2026-13-14T15:00:00Z"], "is not a time with a zone"),
        (["--wake-link=yes"], 'unknown argument "--wake-link=yes"'),
        (["Waiting", "--for", "1h"], 'unknown argument "Waiting"'),
        (["--message", "x", "--for", "1h", "-x"], 'unknown argument "-x"'),
    ],
)
async def test_wrong_usage_of_hibernate_is_explained_and_sends_nothing(
    bed: CommandBed, arguments: list[str], complaint: str
) -> None:
    await bed.check_wrong_usage("hibernate", arguments, complaint)


async def test_the_help_of_hibernate_says_what_survives_and_what_wakes(bed: CommandBed) -> None:
    result = await bed.run("hibernate", "--wake-link", "--help")
    assert result.code == 0
    help_text = " ".join(result.stdout.split())
    for text in (
        "--message TEXT",
        "--for DURATION",
        "--until TIME",
        "--wake-link",
        "a message, a wake link, another system or the deadline wakes the task",
        "files below /workspace and this conversation are saved",
        "Background processes end",
        "Conversations cannot hibernate",
    ):
        assert text in help_text
    assert bed.platform.requests == []


async def test_a_refused_hibernation_is_printed_and_fails(bed: CommandBed) -> None:
    bed.platform.status = 422
    bed.platform.body = json.dumps({"accepted": False, "message": "The task goes on."})
    result = await bed.run("hibernate", "--message", "x", "--for", "1h")
    assert result == Result(1, "", "The task goes on.\n")
