"""What the agent may ask of the platform, over its sandbox's control socket: `finish`.

The agent is hostile: a request is bounded, read strictly, and judged out here; the answer is text for the agent.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pydantic
from aiohttp import web

from agentcontainer.domain.tasks.model import Output, OutputPolicy
from agentcontainer.domain.tasks.outputs import Declared, refusals
from agentcontainer.errors import AgentContainerError
from agentcontainer.gateway.socket import SandboxSocket
from agentcontainer.runner.collect import Refused

MAX_REQUEST_BYTES = 1024**2
MAX_CONNECTIONS = 16
REQUEST_SECONDS = 10.0
MAX_MESSAGE_CHARACTERS = 20_000


class _NamedPath(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)
    name: str
    path: str


class _FinishRequest(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)
    completion: Literal["complete", "incomplete"]
    message: str
    files: list[str] = []
    outputs: list[_NamedPath] = []
    cwd: str


@dataclass(frozen=True)
class Finish:
    """An accepted `finish`: its outputs are stored, their rows are not yet."""

    completion: Literal["complete", "incomplete"]
    message: str
    outputs: list[Output]


class Control:
    """Serves one sandbox's control socket.

    `collect` stores the declared files (raises `Refused`); `on_finish` commits and says whether it was in time;
    `on_refusal` is told every refusal.
    """

    def __init__(
        self,
        policy: OutputPolicy,
        max_files: int,
        collect: Callable[[str, list[Declared]], Awaitable[list[Output]]],
        on_finish: Callable[[Finish], Awaitable[bool]],
        on_refusal: Callable[[str], None],
    ) -> None:
        self._policy = policy
        self._max_files = max_files
        self._collect = collect
        self._on_finish = on_finish
        self._on_refusal = on_refusal
        self._one_at_a_time = asyncio.Lock()
        http = web.Server(
            self._answer, handler_cancellation=True, access_log=None, auto_decompress=False, lingering_time=1
        )
        self._socket = SandboxSocket(http, MAX_CONNECTIONS)

    async def start(self, socket: Path) -> None:
        """Listen."""
        await self._socket.open(socket)

    async def close(self) -> None:
        """Stop listening and drop what is open."""
        await self._socket.close()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if (request.method, request.path) != ("POST", "/finish"):
            return _answer(404, "There is only POST /finish.")
        try:
            body = await _read(request)
        except Refused as refusal:
            return self._refuse(str(refusal))
        if self._one_at_a_time.locked():
            return _answer(422, "Another finish is being checked; wait for its answer.")
        async with self._one_at_a_time:
            try:
                finish = await self._judge(body)
            except Refused as refusal:
                return self._refuse(str(refusal))
            except AgentContainerError as error:
                return _answer(422, f"The platform could not store the files: {error} Run finish again.")
            if not await self._on_finish(finish):
                return _answer(422, "The task has already ended.")
            return _answer(200, "Accepted. The task is finished.")

    async def _judge(self, body: bytes) -> Finish:
        try:
            asked = _FinishRequest.model_validate_json(body)
        except pydantic.ValidationError as error:
            fault = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(part) for part in fault["loc"]) or "request"
            raise Refused(f"{place}: {fault['msg']}. See finish --help.") from None
        message = asked.message.replace("\0", "").strip()
        if not message:
            raise Refused(
                '--message is empty: say in a few sentences what was done, e.g. --message "Report written."'
            )
        if len(message) > MAX_MESSAGE_CHARACTERS:
            raise Refused(f"--message has {len(message)} characters; at most {MAX_MESSAGE_CHARACTERS}.")
        declared = [Declared(path) for path in asked.files] + [
            Declared(o.path, o.name) for o in asked.outputs
        ]
        if len(declared) > self._max_files:
            raise Refused(
                f"{len(declared)} files are declared; at most {self._max_files}. Pack them into an archive."
            )
        if faults := refusals(self._policy, declared):
            raise Refused("\n".join(faults))
        return Finish(asked.completion, message, await self._collect(asked.cwd, declared))

    def _refuse(self, message: str) -> web.Response:
        self._on_refusal(message)
        return _answer(422, f"finish was not accepted:\n{message}\nMend this and run finish again.")


async def _read(request: web.BaseRequest) -> bytes:
    """The body, within its bounds. Raises: Refused."""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise Refused("The request is compressed; send it as it is.")
    body = bytearray()
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MAX_REQUEST_BYTES:
                    raise Refused("The request is too large: fewer files or a shorter message.")
    except (TimeoutError, web.RequestPayloadError, ConnectionError):
        raise Refused("The request did not arrive whole.") from None
    return bytes(body)


def _answer(status: int, message: str) -> web.Response:
    body = json.dumps({"accepted": status == 200, "message": message})
    return web.Response(status=status, text=body, content_type="application/json")
