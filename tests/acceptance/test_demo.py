"""`agentcontainer demo` runs a task in one command and leaves nothing behind."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from agentcontainer.gateway import scripted
from tests.acceptance.up import COMMAND, environment
from tests.ordinary_user import as_ordinary_user, home_in

KEY = "sk-ant-the-real-key-0123456789"


async def demo(
    folder: Path,
    *arguments: str,
    keys: dict[str, str] | None = None,
    wrap: Callable[[list[str]], list[str]] = list,
    **settings: object,
) -> subprocess.CompletedProcess[str]:
    process = await asyncio.create_subprocess_exec(
        *wrap([*COMMAND, "demo", *arguments]),
        env=environment(**settings)
        | {"ANTHROPIC_API_KEY": "", "OPENAI_API_KEY": "", "TMPDIR": str(folder)}
        | (keys or {}),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    stdout, stderr = await asyncio.wait_for(process.communicate(), 100)
    return subprocess.CompletedProcess([], process.returncode or 0, stdout.decode(), stderr.decode())


def data_folders(folder: Path) -> list[Path]:
    return list(folder.glob("ac-demo-*"))


async def test_the_offline_demo_says_so_and_writes_a_report(short_dir: Path) -> None:
    # The demo must not use a configured installation.
    done = await demo(short_dir, DATABASE_URL="postgresql://nobody@127.0.0.1:1/elsewhere")
    assert (done.returncode, done.stderr) == (0, "")
    assert "offline script" in done.stdout
    assert "Offline script, no AI: analysed 60 rows in 6 columns" in done.stdout
    report = short_dir / "demo-output" / "report.md"
    assert str(report) in done.stdout
    assert "- Rows: 60" in report.read_text()
    assert not data_folders(short_dir)


@pytest.mark.long
async def test_an_ordinary_user_can_run_it_in_a_read_only_folder_with_an_ascii_terminal(
    short_dir: Path,
) -> None:
    is_root = os.geteuid() == 0
    home, wrap = (home_in(short_dir), as_ordinary_user) if is_root else (short_dir, list[str])
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    done = await demo(home, keys=ascii_only, wrap=lambda argv: wrap(["env", "--chdir=/proc", *argv]))
    assert done.returncode == 0, done.stderr
    assert "demo-output cannot be written here" in done.stdout
    [report] = home.glob("demo-output-*/report.md")
    assert str(report) in done.stdout
    assert "- Rows: 60" in report.read_text()
    assert done.stdout.isascii()
    assert not data_folders(home)


async def test_the_demo_sends_the_providers_key_to_the_provider_only(short_dir: Path) -> None:
    async with await scripted.serve() as provider:
        done = await demo(
            short_dir,
            "--provider",
            "anthropic",
            keys={"ANTHROPIC_API_KEY": KEY},
            ANTHROPIC_BASE_URL=provider.url,
        )
        assert done.returncode == 0, done.stderr
        assert {request.headers["x-api-key"] for request in provider.requests} == {KEY}
        assert {request.model for request in provider.requests} == {"claude-sonnet-4-6"}
    assert "offline" not in done.stdout
    assert KEY not in done.stdout + done.stderr


@pytest.mark.long
async def test_the_demo_fails_when_its_task_fails(short_dir: Path) -> None:
    async with await scripted.serve() as provider:
        done = await demo(
            short_dir,
            "--provider",
            "anthropic",
            keys={"ANTHROPIC_API_KEY": "sk-invalid-0123456789"},
            ANTHROPIC_BASE_URL=provider.url,
        )
    assert done.returncode == 1
    assert "error: The task failed (provider_error): anthropic answered 401" in done.stderr
    assert "sk-invalid-0123456789" not in done.stdout + done.stderr
    assert not data_folders(short_dir)


def abandoned(folder: Path) -> None:
    """What a demo leaves that is killed."""
    folder.mkdir()
    (folder / "up.lock").write_text("4242\n")


async def test_ctrl_c_stops_everything_and_what_a_killed_demo_left_is_removed(short_dir: Path) -> None:
    abandoned(short_dir / "ac-demo-killed")
    abandoned(short_dir / "ac-kept-demo-by-keep")
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "demo",
        env=environment() | {"TMPDIR": str(short_dir)},
        cwd=short_dir,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    async for line in process.stdout:
        if b"Dispatched" in line:
            break
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) > 3
    assert len(data_folders(short_dir)) == 1
    process.send_signal(signal.SIGINT)
    _, stderr = await asyncio.wait_for(process.communicate(), 40)
    assert process.returncode == 130, stderr
    assert not psutil.wait_procs(family, timeout=15)[1]
    assert [path.name for path in short_dir.glob("ac-*")] == ["ac-kept-demo-by-keep"]


@pytest.mark.parametrize(
    ("provider", "sentence"),
    [
        ("openai", "OPENAI_API_KEY is not set"),
        ("mistral", "--provider must be one of anthropic, openai, openrouter, not mistral."),
    ],
)
async def test_a_missing_key_or_provider_is_named(short_dir: Path, provider: str, sentence: str) -> None:
    done = await demo(short_dir, "--provider", provider)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {sentence}")
    assert done.stderr.count("\n") == 1
    assert not list(short_dir.iterdir())
