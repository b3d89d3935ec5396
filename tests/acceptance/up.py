"""A real `agentcontainer up`, for tests."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil

COMMAND = [sys.executable, "-m", "agentcontainer.cli.main"]
ENDS_OF_BLOCK = ("Ctrl-C", '"apiUrl"')  # as text, as JSON


@dataclass
class Up:
    """The process, what it printed once it had started, and the file of its stderr."""

    process: subprocess.Popen[str]
    block: str
    stderr: Path

    @property
    def base_url(self) -> str:
        match = re.search(r"API +(http://\S+)/api/v1", self.block)
        assert match, self.block
        return match[1]

    @property
    def dashboard(self) -> str:
        match = re.search(r"Dashboard +(http://\S+)", self.block)
        assert match, self.block
        return match[1]

    def log_in(self) -> int:
        """Follow the link that it printed, as the page behind it does; returns the status."""
        code = self.dashboard.partition("/login#")[2]
        page = {"Sec-Fetch-Site": "same-origin"}
        url = f"{self.base_url}/session"
        return httpx2.post(url, json={"code": code}, headers=page, trust_env=False, verify=False).status_code

    @property
    def api_key(self) -> str | None:
        match = re.search(r"API key +(\S+)", self.block)
        return match[1] if match else None

    def get(self, path: str, key: str | None = None) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx2.get(self.base_url + path, headers=headers, timeout=10, trust_env=False, verify=False)

    def pid_of(self, part: str) -> int | None:
        """The pid of its child `api`, `runner` or `postgres`."""
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):  # it is exiting
                command = child.cmdline()
                if part in command or (command and Path(command[0]).name == part):
                    return child.pid
        return None

    def family(self) -> list[psutil.Process]:
        """The process and all its descendants."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def interrupt(self, *signals: signal.Signals, pause: float = 0.3) -> int:
        """Send the signals; returns the exit code."""
        for number in signals:
            self.process.send_signal(number)
            time.sleep(pause)
        return self.process.wait(60)


@contextmanager
def up(
    data_dir: Path,
    *options: str,
    wrap: Callable[[list[str]], list[str]] = list,
    is_on_terminal: bool = False,
    **settings: object,
) -> Iterator[Up]:
    """Run `up` on a free port during the block; no process is left afterwards."""
    stderr = data_dir.parent / "up-stderr"
    argv = wrap([*COMMAND, "up", "--data-dir", str(data_dir), "--port", "0", *options])
    reader, writer = pty.openpty() if is_on_terminal else os.pipe()
    with stderr.open("a") as log:
        process = subprocess.Popen(
            argv, stdout=writer, stderr=log, text=True, env=environment(**settings), cwd="/"
        )
    os.close(writer)
    output = os.fdopen(reader)
    try:
        block = ""
        with suppress(OSError):  # a terminal ends with an error
            for line in output:
                block += line
                if any(end in line for end in ENDS_OF_BLOCK):
                    break
        running = Up(process, block, stderr)
        if not any(end in block for end in ENDS_OF_BLOCK):
            process.wait(10)
            raise AssertionError(f"up did not start: {stderr.read_text()}")
        yield running
    finally:
        family: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        output.close()
        psutil.wait_procs(family, timeout=10)


def environment(**settings: object) -> dict[str, str]:
    """The test's environment with these AGENTCONTAINER_ settings and no other."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AGENTCONTAINER_")}
    return inherited | {f"AGENTCONTAINER_{name}": str(value) for name, value in settings.items()}


def wait_until(condition: Callable[[], object], seconds: float) -> bool:
    """Wait for the condition; returns whether it became true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False
