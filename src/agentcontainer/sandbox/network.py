"""A sandbox's way to the internet, as its driver holds it. A process of its own makes and serves it: egress/."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from agentcontainer.errors import SandboxError
from agentcontainer.sandbox.contract import Internet
from agentcontainer.sandbox.process import Process
from agentcontainer.sandbox.procfs import marker

START_SECONDS = 30.0
END_SECONDS = 2.0
MAX_LINE_BYTES = 4096
# Run by root: /dev/net/tun may be root's alone, and what uses it has given up root. The copy is in a mount namespace
# of the process.
TUN = """
[ -z "$(find /dev/net/tun -perm -o=rw)" ] || exec "$@"
mount -n -t tmpfs -o size=64k,mode=755,nosuid,noexec agentcontainer /dev/net
mknod -m 666 /dev/net/tun c 10 200
exec "$@"
"""

Told = dict[str, Any]


class Network:
    """A namespace with a way out. It is gone, for whatever is in it, when closed."""

    def __init__(
        self, process: Process, pid: int, descriptors: Told, on_refused: Callable[[Told], None]
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
        """A network for the sandbox of this id, served as `uid` and counted in its groups.

        Raises:
            SandboxError: the host cannot give one; nothing of it is left.
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
        }
        process = await Process.start(command, env=env, pass_fds=(), owner=None)
        try:
            process.stdin.write(json.dumps(config).encode() + b"\n")
            line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
            said = _read(line)
            if said is None or "net" not in said:
                raise SandboxError(f"The sandbox has no internet access: {await _reason(process, said)}")
            return cls(process, process.pid, said, internet.on_refused)
        except BaseException as error:
            await _end(process)
            if isinstance(error, TimeoutError | ConnectionError):
                raise SandboxError("The sandbox's network did not stand in time.") from error
            raise

    def path(self, kind: str) -> Path:
        """Where the namespace (`user` or `net`) can be joined."""
        return self._folder / str(self._descriptors[kind])

    async def ended(self) -> None:
        """Returns when it serves no longer."""
        await self._process.wait()

    async def close(self) -> None:
        """Ends it; again is a no-op."""
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        await _end(self._process)

    async def _listen(self, on_refused: Callable[[Told], None]) -> None:
        with contextlib.suppress(ValueError):  # a line without an end
            while line := await self._process.stdout.readline():
                if (refused := _read(line)) is not None:
                    on_refused(refused)


async def _end(process: Process) -> None:
    """By the end of its input, so that it ends its own children; by force where it does not listen."""
    process.stdin.close()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), END_SECONDS)
    process.kill()
    await process.wait()
    await process.close()


async def _reason(process: Process, said: Told | None) -> str:
    if said is not None and "error" in said:
        return str(said["error"])
    with contextlib.suppress(TimeoutError):
        text = (await asyncio.wait_for(process.stderr.read(MAX_LINE_BYTES), END_SECONDS)).decode(
            errors="replace"
        )
        return text.strip().splitlines()[-1] if text.strip() else "its process ended."
    return "its process does not answer."


def _read(line: bytes) -> Told | None:
    """A line of JSON with an object in it."""
    with contextlib.suppress(ValueError):
        value = json.loads(line)
        if isinstance(value, dict):
            return cast("Told", value)
    return None
