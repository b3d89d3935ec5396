"""The whole platform in real processes: `agentcontainer up` in a temporary folder, and the scripted model."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2
import psutil

from agentcontainer import db
from agentcontainer.domain.accounts import service
from agentcontainer.embedded.location import url_of
from tests import data_folder
from tests.acceptance.client import TERMINAL, Client
from tests.ports import free_port

__all__ = ["TERMINAL", "Client"]
PROVIDERS = {
    "anthropic": "claude-sonnet-4-6",
    "openai": "gpt-5.2",
    "openrouter": "anthropic/claude-sonnet-4.6",
}
PROVIDER_KEY = "sk-test-0123456789abcdefghijklmnop"
COMMAND = [sys.executable, "-m", "agentcontainer.cli.main"]
_CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("AGENTCONTAINER_")}


def script(*steps: dict[str, Any], task: str = "Do what the script says.") -> str:
    """Instructions that make the scripted model take these steps."""
    return f"{task}\n\n```script\n{json.dumps(steps)}\n```\n"


def finish(*arguments: str, message: str = "Done as asked.", complete: bool = True) -> dict[str, Any]:
    """A step that runs `finish`."""
    flag = "--complete-task" if complete else "--incomplete-task"
    return {"bash": f'finish {flag} --message "{message}" {" ".join(arguments)}'}


def waiting(sign: str = "go", *, then: str = "true") -> dict[str, Any]:
    """A step that waits for `Platform.unblock` and then runs `then`."""
    return {"bash": f"until [ -e {sign} ]; do sleep 0.05; done; {then}"}


class Platform:
    """`agentcontainer up` on a free port in a temporary folder."""

    def __init__(self, scripted_url: str, **settings: str) -> None:
        self.data_dir = Path(tempfile.mkdtemp(prefix="ac-", dir="/tmp"))
        data_folder.fill(self.data_dir)
        self.log_path = self.data_dir.with_suffix(".log")
        self.environment = _CLEAN | {
            "AGENTCONTAINER_DATA_DIR": str(self.data_dir),
            "AGENTCONTAINER_ANTHROPIC_BASE_URL": scripted_url,
            "AGENTCONTAINER_OPENAI_BASE_URL": f"{scripted_url}/v1",
            "AGENTCONTAINER_OPENROUTER_BASE_URL": f"{scripted_url}/api/v1",
            **{f"AGENTCONTAINER_{name.upper()}": value for name, value in settings.items()},
        }
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.clients: list[Client] = []

    def __enter__(self) -> "Platform":
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "up", "--no-profile", "--port", str(self.port)],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.wait_ready()

    def wait_ready(self, seconds: float = 100) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if httpx2.get(f"{self.base_url}/readyz", trust_env=False, verify=False).status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def close(self) -> None:
        for client in self.clients:
            client.close()
        if self.is_running():
            self.stop()
        shutil.rmtree(self.data_dir, ignore_errors=True)
        self.log_path.unlink(missing_ok=True)

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def admin(self, *arguments: str) -> dict[str, Any]:
        process = subprocess.run(
            [*COMMAND, "admin", *arguments, "--json"],
            env=self.environment,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert process.returncode == 0, process.stderr.decode()
        return json.loads(process.stdout)

    def account(self, credit: str = "100", *, provider_keys: bool = True) -> Client:
        account_id, api_key = asyncio.run(self._make_account(round(float(credit) * 1_000_000)))
        client = Client(self.base_url, api_key, account_id)
        self.clients.append(client)
        for provider in PROVIDERS if provider_keys else ():
            client.once.provider_keys.set(provider, PROVIDER_KEY)
        return client

    async def _make_account(self, credit_micro_usd: int) -> tuple[str, str]:
        """Like `admin create-account`, but without the half second that the command takes to start."""
        async with db.pool(url_of(self.data_dir), max_size=1) as pool:
            return await service.create_account(pool, name="Test", credit_micro_usd=credit_micro_usd)

    def pid(self, part: str) -> int:
        """The process of a part: `api`, `runner`, or `postgres`."""
        assert self.process is not None
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                command = child.cmdline()
            except psutil.Error:
                continue
            if part == "postgres" and command and Path(command[0]).name == "postgres" and "-D" in command:
                return child.pid
            if "agentcontainer.cli.main" in command and part in command:
                return child.pid
        raise AssertionError(f"no {part} is running")

    def kill(self, part: str) -> None:
        os.kill(self.pid(part), signal.SIGKILL)

    def kill_and_wait_for_next(self, part: str) -> None:
        """Kill a part, and wait until another process has its place and the API is ready."""
        killed = self.pid(part)
        os.kill(killed, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while self._pid_or_none(part) in (killed, None):
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)
        self.wait_ready()

    def _pid_or_none(self, part: str) -> int | None:
        with contextlib.suppress(AssertionError):
            return self.pid(part)
        return None

    def sandboxes(self) -> dict[str, list[psutil.Process]]:
        """The running sandboxes of this platform's tasks: marker → all their processes."""
        task_ids = {task_id for client in self.clients for task_id in client.task_ids}
        groups: dict[str, list[psutil.Process]] = {}
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        markers = {pid: marker for pid in pids if (marker := _marker(pid))}
        parents = {pid: _parent(pid) for pid in pids} if markers else {}
        for pid, marker in markers.items():
            if marker.removeprefix("agentcontainer:").rpartition("-")[0] in task_ids:
                for member in (pid, *_descendants(pid, parents)):
                    with contextlib.suppress(psutil.Error):
                        groups.setdefault(marker, []).append(psutil.Process(member))
        return groups

    def agents(self) -> list[psutil.Process]:
        """The Pi processes in this platform's sandboxes."""
        return [process for group in self.sandboxes().values() for process in set(group) if _is_pi(process)]

    def folder(self, task_id: str) -> Path:
        """The workspace of a task's agent, as a path on the host."""
        for marker, group in self.sandboxes().items():
            for process in group if task_id in marker else ():
                if _is_pi(process):
                    return Path(f"/proc/{process.pid}/root/workspace/task")
        raise AssertionError(f"no agent of {task_id} is running")

    def unblock(self, task_id: str, sign: str = "go") -> None:
        """Let the step `waiting(sign)` of a task end."""
        (self.folder(task_id) / sign).touch()

    def files_with(self, content: bytes) -> list[Path]:
        """The files in the data folder that contain this. Files that disappear meanwhile are skipped."""
        paths: list[Path] = []
        for folder, _, names in os.walk(self.data_dir):
            for path in (Path(folder, name) for name in names):
                with contextlib.suppress(OSError):
                    if path.is_file() and content in path.read_bytes():
                        paths.append(path)
        return paths

    def attempts(self) -> list[Path]:
        """The folders of attempts, including those of dead runners; they may disappear at any time."""
        folders: list[Path] = []
        for runner in (self.data_dir / "runners").iterdir():
            with contextlib.suppress(OSError):
                folders += [path for path in runner.iterdir() if path.name.startswith("tsk_")]
        return folders

    def assert_nothing_is_left(self) -> None:
        """Check after `stop` that no sandbox, attempt folder or mount is left."""
        assert self.sandboxes() == {}
        assert list((self.data_dir / "runners").glob("*/*-*")) == []
        assert str(self.data_dir) not in Path("/proc/mounts").read_text()

    def until_container_released(self, task_id: str) -> None:
        """Wait until the task's container is gone and its usage counted, which follows shortly after its status."""
        deadline = time.monotonic() + 60
        while any(task_id in path.name for path in self.attempts()):
            assert time.monotonic() < deadline, self.attempts()
            time.sleep(0.05)


# psutil takes several times as long for all processes of the host, and tests ask again and again.
def _marker(pid: int) -> str | None:
    """The argument that marks a process as part of a sandbox."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb", buffering=0) as file:
        content = file.read()
        if b"agentcontainer:" in content:
            arguments = content.decode(errors="replace").split("\0")
            return next((argument for argument in arguments if argument.startswith("agentcontainer:")), None)
    return None


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
        return int(file.read().rpartition(b")")[2].split()[1])
    return 0


def _descendants(pid: int, parents: dict[int, int]) -> list[int]:
    children = [child for child, parent in parents.items() if parent == pid]
    return [*children, *(below for child in children for below in _descendants(child, parents))]


def _is_pi(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.name() == "pi"
    return False
