"""Starts and ends a sandbox's internet access, for the runner.

A process of its own (egress/) makes and serves it.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from agentcontainer.errors import SandboxError
from agentcontainer.sandbox.contract import Internet, RefusedHost
from agentcontainer.sandbox.process import Process
from agentcontainer.sandbox.procfs import marker

START_SECONDS = 30.0
END_SECONDS = 2.0
MAX_LINE_BYTES = 4096
# Run as root. If only root may open /dev/net/tun, a copy that everybody may open is made, in a mount
# namespace of the process: slirp4netns, which needs it, does not run as root.
TUN = """
[ -z "$(find /dev/net/tun -perm -o=rw)" ] || exec "$@"
mount -n -t tmpfs -o size=64k,mode=755,nosuid,noexec agentcontainer /dev/net
mknod -m 666 /dev/net/tun c 10 200
exec "$@"
"""

Message = dict[str, str | int | None]


class Network:
    """A network namespace with internet access. Closing it ends the access of everything in it."""

    def __init__(
        self, process: Process, pid: int, descriptors: Message, on_refused: Callable[[RefusedHost], None]
    ) -> None:
        self._process = process
        self._folder = Path("/proc", str(pid), "fd")
        self._descriptors = descriptors
        self._listening = asyncio.create_task(self._listen(on_refused))

    @classmethod
    async def start(
        cls,
        internet: Internet,
        sandbox_id: str,
        uid: int | None,
        join_files: Sequence[Path],
        env: dict[str, str],
    ) -> "Network":
        """A network for this sandbox, served by a process that runs as `uid` and is in the sandbox's control
        groups.

        Raises:
            SandboxError: the host cannot make one; nothing of it is left.
        """
        command = [sys.executable, "-I", "-m", "agentcontainer.sandbox.egress", marker(sandbox_id)]
        if uid is not None and internet.allow is None:
            command = [
                "unshare",
                "--mount",
                "--propagation",
                "private",
                "--",
                "sh",
                "-euc",
                TUN,
                "sh",
                *command,
            ]
        config = {
            "uid": uid,
            "join": [str(path) for path in join_files],
            "allow": None if internet.allow is None else list(internet.allow),
            "is_private_allowed": internet.is_private_allowed,
        }
        process = await Process.start(command, env=env, pass_fds=(), owner=None)
        try:
            process.stdin.write(json.dumps(config).encode() + b"\n")
            line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
            message = _read(line)
            if message is None or "net" not in message:
                raise SandboxError(f"The sandbox has no internet access: {await _reason(process, message)}")
            return cls(process, process.pid, message, internet.on_refused)
        except BaseException as error:
            await _end(process)
            if isinstance(error, TimeoutError | ConnectionError):
                raise SandboxError("The sandbox's network was not ready in time.") from error
            raise

    def path(self, kind: str) -> Path:
        """The file by which the namespace (`user` or `net`) can be joined."""
        return self._folder / str(self._descriptors[kind])

    async def ended(self) -> None:
        """Wait until the serving process ends."""
        await self._process.wait()

    async def close(self) -> None:
        """End the serving process. Idempotent."""
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        await _end(self._process)

    async def _listen(self, on_refused: Callable[[RefusedHost], None]) -> None:
        with contextlib.suppress(ValueError):  # a line that is too long
            while line := await self._process.stdout.readline():
                match _read(line):
                    case {"host": str(host), "port": int() | None as port, "rule": str(rule)}:
                        on_refused(RefusedHost(host, port, rule))
                    case _:
                        pass


async def _end(process: Process) -> None:
    """Close its input, at which it ends itself and its children; kill it if it does not."""
    process.stdin.close()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), END_SECONDS)
    process.kill()
    await process.wait()
    await process.close()


async def _reason(process: Process, message: Message | None) -> str:
    if message is not None and "error" in message:
        return str(message["error"])
    with contextlib.suppress(TimeoutError):
        text = (await asyncio.wait_for(process.stderr.read(MAX_LINE_BYTES), END_SECONDS)).decode(
            errors="replace"
        )
        return text.strip().splitlines()[-1] if text.strip() else "its process ended."
    return "its process does not answer."


def _read(line: bytes) -> Message | None:
    """The JSON object in a line; None: there is none."""
    with contextlib.suppress(ValueError):
        value = json.loads(line)
        if isinstance(value, dict):
            return cast("Message", value)
    return None
