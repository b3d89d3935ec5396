"""A child process that is restarted when it ends, and killed when its parent dies."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from agentcontainer.embedded.launch import dying_with_us

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
STEADY_SECONDS = 10.0  # a child that ran this long is restarted without backoff


class Child:
    """`agentcontainer <arguments>` as a child process. `report` gets a line each time it ends."""

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], report: Callable[[str], None]
    ) -> None:
        self.name = arguments[0]
        self.early_deaths = 0  # consecutive ends before STEADY_SECONDS
        self._argv = dying_with_us(
            [sys.executable, "-P", "-m", "agentcontainer.cli.main", *arguments], "SIGKILL"
        )
        self._environment = environment
        self._report = report
        self._process: subprocess.Popen[bytes] | None = None
        self._restarting: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it, and restart it whenever it ends, until `stop`."""
        self._process = self._spawn()
        self._restarting = asyncio.create_task(self._restart_forever())

    async def stop(self, seconds: float) -> None:
        """Send SIGTERM, and SIGKILL if it has not ended after `seconds`; idempotent."""
        if self._restarting is not None:
            self._restarting.cancel()
        if self._process is None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(_ended(self._process), seconds)
        except TimeoutError:
            self._report(f"{self.name} did not end within {seconds:.0f} s; killing it")
            self._process.kill()
            await _ended(self._process)

    def kill(self) -> None:
        """Kill it at once; a waiting `stop` then returns."""
        if self._process is not None:
            self._process.kill()

    async def _restart_forever(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while self._process is not None:
            started_at = time.monotonic()
            code = await _ended(self._process)
            if time.monotonic() - started_at >= STEADY_SECONDS:
                pause, self.early_deaths = FIRST_PAUSE_SECONDS, 0
            self.early_deaths += 1
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            self._report(f"{self.name} ended with {how}; restarting it in {pause:.1f} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            self._process = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        # In a new session: Ctrl-C must reach only the parent, which stops its children in order.
        return subprocess.Popen(
            self._argv, stdin=subprocess.DEVNULL, stdout=2, env=self._environment, start_new_session=True
        )


async def _ended(process: subprocess.Popen[bytes]) -> int:
    """The exit code, once the process has ended."""
    if (code := process.poll()) is not None:
        return code
    loop, has_ended = asyncio.get_running_loop(), asyncio.Event()
    descriptor = os.pidfd_open(process.pid)
    loop.add_reader(descriptor, has_ended.set)
    try:
        await has_ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return process.wait()
