"""Starts and ends the watchdog of a runner: a process that kills its sandboxes when it does not renew its lease."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import NoReturn

from agentcontainer.child_output import read_start
from agentcontainer.errors import SandboxError
from agentcontainer.sandbox.launch import ENVIRONMENT
from agentcontainer.sandbox.process import Process
from agentcontainer.sandbox.watchdog_process import READY

START_SECONDS = 30.0
END_SECONDS = 10.0
START_AGAIN_SECONDS = 1.0
MAX_ERROR_BYTES = 2000

logger = logging.getLogger(__name__)


class Watchdog:
    """The watchdog of the runner that has this folder.

    `host_mounts`: a descriptor of the host's mount namespace, if the runner has one of its own. The watchdog enters it,
    so that the runner's mounts end with the runner.
    """

    def __init__(self, folder: Path, host_mounts: int | None) -> None:
        self._folder = folder.absolute()  # the process has another working folder
        self._host_mounts = host_mounts
        self._process: Process | None = None
        self._last_line = b""

    @classmethod
    @contextlib.asynccontextmanager
    async def started(cls, folder: Path, host_mounts: int | None) -> AsyncGenerator["Watchdog"]:
        """A watchdog during the block.

        Raises:
            SandboxError: it cannot be started.
        """
        watchdog = cls(folder, host_mounts)
        watchdog._process = await watchdog._start()
        try:
            yield watchdog
        finally:
            await watchdog._close()

    def renew(self, until: float) -> None:
        """Let the sandboxes live until this time, by CLOCK_BOOTTIME."""
        self._last_line = b"%f\n" % until
        self._send()

    async def keep_running(self) -> NoReturn:
        """Start another process whenever it ends."""
        while True:
            if self._process is not None:
                code = await self._process.wait()
                error = await read_start(self._process.stderr, MAX_ERROR_BYTES)
                logger.error(
                    "the watchdog ended with code %d; another is started: %s", code,
                    error.decode(errors="replace").strip(),
                )  # fmt: skip
                await self._process.close()
                self._process = None
            try:
                self._process = await self._start()
                self._send()
            except SandboxError as failure:
                logger.error("%s", failure)
                await asyncio.sleep(START_AGAIN_SECONDS)

    def _send(self) -> None:
        if self._process is not None and self._last_line:
            self._process.stdin.write(self._last_line)

    async def _start(self) -> Process:
        command = [sys.executable, "-I", "-m", "agentcontainer.sandbox.watchdog_process", str(self._folder)]
        passed = () if self._host_mounts is None else (self._host_mounts,)
        if self._host_mounts is not None:
            command = ["nsenter", f"--mount=/proc/self/fd/{self._host_mounts}", "--", *command]
        try:
            process = await Process.start(command, env=ENVIRONMENT, pass_fds=passed, owner=None)
        except OSError as error:
            raise SandboxError(f"The watchdog of the sandboxes was refused: {error.strerror}.") from error
        line = b""
        with contextlib.suppress(TimeoutError):
            line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        if line.decode(errors="replace").strip() != READY:
            process.kill()
            await process.wait()
            error = (await read_start(process.stderr, MAX_ERROR_BYTES)).decode(errors="replace").strip()
            await process.close()
            raise SandboxError(f"The watchdog of the sandboxes does not start: {error}")
        return process

    async def _close(self) -> None:
        if (process := self._process) is None:
            return
        process.stdin.close()  # it ends at the end of its input
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), END_SECONDS)
        process.kill()
        await process.wait()
        await process.close()
