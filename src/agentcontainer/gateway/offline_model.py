"""Runs the scripted model as a process of its own, which serves the provider `offline`.

The process reads what agents send, which is hostile. So it runs outside the runner, without root rights and without
the runner's environment. The runner opens the listening socket, so that the address stays the same when the process
is restarted; requests wait in the socket's queue meanwhile.
"""

import asyncio
import os
import socket
import sys

from agentcontainer.periodic import repeat

OFFLINE_KEY = "offline-script-needs-no-key"
_QUEUE = 256
_PAUSE_SECONDS = 1.0  # before a restart
_INHERITED = ("LANG", "LC_ALL", "PATH", "PYTHONHOME", "PYTHONPATH")


class _Ended(Exception):
    """The process has ended, and `close` was not called."""


class OfflineModel:
    """The offline model of one runner. It is started at the first use and runs until `close`."""

    def __init__(self, uid: int | None = None) -> None:
        """`uid`: the user that the process runs as, if this process is root's."""
        self._uid = uid if os.geteuid() == 0 else None
        self._socket: socket.socket | None = None
        self._restarting: asyncio.Task[None] | None = None

    async def url(self) -> str:
        """The base URL at which it answers, in each protocol. Starts the process if it does not run."""
        if self._socket is None:
            self._socket = socket.create_server(("127.0.0.1", 0), backlog=_QUEUE)
            self._restarting = asyncio.create_task(self._keep_running(self._socket.fileno()))
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    async def close(self) -> None:
        """Stop the process; idempotent."""
        if self._restarting is not None:
            self._restarting.cancel()
            await asyncio.gather(self._restarting, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()
        self._socket = self._restarting = None

    async def _keep_running(self, descriptor: int) -> None:
        await repeat("the offline model", lambda: self._run(descriptor), _PAUSE_SECONDS, (OSError, _Ended))

    async def _run(self, descriptor: int) -> None:
        command = [
            sys.executable,
            "-P",
            "-m",
            "agentcontainer.gateway.scripted",
            "--descriptor",
            str(descriptor),
        ]
        if self._uid is not None:
            command += ["--uid", str(self._uid)]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=(descriptor,),
            env={name: os.environ[name] for name in _INHERITED if name in os.environ},
            start_new_session=True,
        )
        try:
            raise _Ended(f"its process ended with {await process.wait()}")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
