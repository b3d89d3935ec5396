"""The HTTP server on a sandbox's control socket, which receives the agent's commands: `finish`, `share`, `hibernate`.

The agent is hostile, so requests are bounded in number, size and time, and parsed strictly. `Commands` carries them
out. Every answer is a text for the agent.
"""

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from aiohttp import web

from agentcontainer.domain.tasks.model import Output
from agentcontainer.errors import AgentContainerError
from agentcontainer.runner.control_requests import (
    Command,
    Finish,
    Hibernate,
    Share,
    WakeLinkRequest,
    finish_of,
    hibernate_of,
    parse,
    share_of,
)
from agentcontainer.runner.workspace.checkpoint import CheckpointFailed
from agentcontainer.runner.workspace.outputs import Refused
from agentcontainer.sandbox.http_socket import SandboxSocket

MAX_REQUEST_BYTES = 1024**2
MAX_CONNECTIONS = 16
REQUEST_SECONDS = 10.0
_ROUTES: dict[str, Command] = {
    "/finish": "finish", "/share": "share", "/hibernate": "hibernate", "/wake-link": "hibernate",
}  # fmt: skip
_WAITS_FOR_OTHERS = ("/share", "/wake-link")  # a model may send several at once; others are refused as busy


class Commands(Protocol):
    """Carries out the agent's commands. `Control` runs one command at a time."""

    def refusal(self, command: Command) -> str | None:
        """Why the agent may not use this command now; None if it may."""
        ...

    def log_refused_finish(self, reason: str) -> None:
        """Log that a `finish` was refused, for this reason."""
        ...

    async def finish(self, finish: Finish) -> bool:
        """End the task; False if it has ended already.

        Raises:
            Refused: the agent has to correct the outputs. AgentContainerError: a file could not be stored.
        """
        ...

    async def share(self, share: Share) -> list[Output]:
        """Make files available to the user. Raises as `finish` does."""
        ...

    async def hibernate(self, hibernate: Hibernate) -> bool:
        """Hibernate the task; False if it has ended already.

        Raises:
            CheckpointFailed: the workspace cannot be saved.
        """
        ...

    async def now(self) -> datetime:
        """The time of the clock that wakes tasks."""
        ...

    async def wake_link(self) -> str | None:
        """Create a wake link; returns its URL. None: the task has too many, or has ended."""
        ...


class Control:
    """Serves one sandbox's control socket."""

    def __init__(self, commands: Commands, *, max_files: int, max_hibernation: timedelta) -> None:
        self._commands = commands
        self._max_files = max_files
        self._max_hibernation = max_hibernation
        self._one_at_a_time = asyncio.Lock()
        self._socket = SandboxSocket(self._answer, MAX_CONNECTIONS, lingering_seconds=1)

    @property
    def is_busy(self) -> bool:
        """Whether a command of the agent is being carried out."""
        return self._one_at_a_time.locked()

    async def start(self, socket: Path) -> None:
        """Listen on the Unix socket at this path."""
        await self._socket.open(socket)

    async def close(self) -> None:
        """Stop listening and close all connections."""
        await self._socket.close()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        command = _ROUTES.get(request.path) if request.method == "POST" else None
        if command is None:
            return _response(404, "There are only POST /finish, /share, /hibernate and /wake-link.")
        try:
            body = await _read(request)
            self._check_accepts(command)
            if self._one_at_a_time.locked() and request.path not in _WAITS_FOR_OTHERS:
                return _busy(command)
            async with self._one_at_a_time:
                self._check_accepts(command)  # again: a handoff may have happened while this request waited
                return await self._run(request.path, body)
        except _NotAccepted as refusal:
            return self._refused(command, str(refusal), str(refusal))
        except Refused as refusal:
            return self._refused(
                command,
                str(refusal),
                f"{command} was not accepted:\n{refusal}\nCorrect this and run {command} again.",
            )
        except CheckpointFailed as error:
            return _response(422, f"{error} The task goes on. Run hibernate again, or finish.")
        except AgentContainerError as error:
            return _response(422, f"The platform could not store the files: {error} Run {command} again.")

    async def _run(self, path: str, body: bytes) -> web.Response:
        match path:
            case "/finish":
                is_ended = await self._commands.finish(finish_of(body, self._max_files))
                return _accepted("The task is finished.") if is_ended else _too_late()
            case "/share":
                shared = await self._commands.share(share_of(body, self._max_files))
                names = ", ".join(output.filename for output in shared)
                return _response(200, f"Shared: {names}. The user can download them now.")
            case "/hibernate":
                hibernate = hibernate_of(body, self._max_hibernation, await self._commands.now())
                is_asleep = await self._commands.hibernate(hibernate)
                return _accepted("The task hibernates.") if is_asleep else _too_late()
            case _:
                parse(WakeLinkRequest, body, "hibernate")
                if (url := await self._commands.wake_link()) is None:
                    return _response(422, "No wake link was created: the task has too many, or has ended.")
                return _response(200, url)

    def _check_accepts(self, command: Command) -> None:
        if reason := self._commands.refusal(command):
            raise _NotAccepted(reason)

    def _refused(self, command: Command, reason: str, answer: str) -> web.Response:
        if command == "finish":
            self._commands.log_refused_finish(reason)
        return _response(422, answer)


class _NotAccepted(Refused):
    """The agent may not use this command in the task's present mode, so it cannot correct the request."""


async def _read(request: web.BaseRequest) -> bytes:
    """Read the request's body, within limits of size and time. Raises: Refused."""
    if set(map(str.lower, request.headers.getall("Content-Encoding", []))) - {"identity"}:
        raise Refused("The request is compressed. Send it uncompressed.")
    body = bytearray()
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MAX_REQUEST_BYTES:
                    raise Refused("The request is too large. Declare fewer files, or shorten the message.")
    except (TimeoutError, web.RequestPayloadError, ConnectionError):
        raise Refused("The request did not arrive completely.") from None
    return bytes(body)


def _busy(command: Command) -> web.Response:
    return _response(422, f"Another request is being checked; wait for its answer, then run {command} again.")


def _accepted(consequence: str) -> web.Response:
    return _response(200, f"Accepted. {consequence}")


def _too_late() -> web.Response:
    return _response(422, "The task has already ended.")


def _response(status: int, message: str) -> web.Response:
    body = json.dumps({"accepted": status == 200, "message": message})
    return web.Response(status=status, text=body, content_type="application/json")
