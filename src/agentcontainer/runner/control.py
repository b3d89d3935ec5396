"""What the agent may ask of the platform, over its sandbox's control socket: `finish`, `share` and `hibernate`.

The agent is hostile: a request is bounded, read strictly, and judged out here; the answer is text for the agent.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from aiohttp import web

from agentcontainer.domain.tasks.model import Output, OutputPolicy
from agentcontainer.domain.tasks.output_policy import Declared, refusals
from agentcontainer.errors import AgentContainerError
from agentcontainer.runner.control_requests import (
    Command,
    FinishRequest,
    HibernateRequest,
    ShareRequest,
    WakeLinkRequest,
    message_of,
    moment_of,
    parse,
)
from agentcontainer.runner.workspace.checkpoint import CheckpointFailed
from agentcontainer.runner.workspace.outputs import Refused
from agentcontainer.sandbox.http_socket import SandboxSocket

MAX_REQUEST_BYTES = 1024**2
MAX_CONNECTIONS = 16
REQUEST_SECONDS = 10.0
MIN_HIBERNATION = timedelta(seconds=1)

_UNFIT_IN_CONVERSATION = (
    "This is a conversation: your answer is what you say at the end of your turn. Use share FILE… to hand over "
    "files. The user ends the conversation."
)
_HIBERNATE_IN_CONVERSATION = (
    "Conversations cannot hibernate: end your turn instead; "
    "the user's next message finds everything as it is."
)
_UNFIT_ALONE = "share works in conversations; here files are handed over with finish."


def unfit(command: Command, is_conversation: bool) -> str | None:
    """Why this kind of task does not take the command; None: it does. A handed over conversation is none."""
    match command:
        case "finish":
            return _UNFIT_IN_CONVERSATION if is_conversation else None
        case "hibernate":
            return _HIBERNATE_IN_CONVERSATION if is_conversation else None
        case "share":
            return None if is_conversation else _UNFIT_ALONE


@dataclass(frozen=True)
class Finish:
    """An accepted `finish`: its outputs are stored, their rows are not yet."""

    completion: Literal["complete", "incomplete"]
    message: str
    outputs: list[Output]


@dataclass(frozen=True)
class Hibernate:
    """A `hibernate` that can be: the reason, and when the task wakes at the latest."""

    message: str
    until: datetime


class Control:
    """Serves one sandbox's control socket.

    `collect` stores the declared files (raises `Refused`); `on_finish` commits and says whether it was in time;
    `on_refusal` is told every refused `finish`. `share` stores the files, and makes them the user's, as one.
    `refusal` says why the task takes no such command at this moment: a conversation may be handed over meanwhile.
    `hibernate` saves (raises `CheckpointFailed`), commits, and says whether it was in time; `wake_link` makes a token,
    None when it cannot. The links lead to `public_url`, which may be empty.
    """

    def __init__(
        self,
        *,
        policy: OutputPolicy,
        max_files: int,
        max_hibernation: timedelta,
        public_url: str,
        collect: Callable[[str, list[Declared]], Awaitable[list[Output]]],
        on_finish: Callable[[Finish], Awaitable[bool]],
        on_refusal: Callable[[str], None],
        share: Callable[[str, list[Declared]], Awaitable[list[Output]]],
        refusal: Callable[[Command], str | None],
        hibernate: Callable[[Hibernate], Awaitable[bool]],
        wake_link: Callable[[], Awaitable[str | None]],
    ) -> None:
        self._policy = policy
        self._max_files = max_files
        self._max_hibernation = max_hibernation
        self._public_url = public_url
        self._collect = collect
        self._on_finish = on_finish
        self._on_refusal = on_refusal
        self._share_files = share
        self._refusal = refusal
        self._on_hibernate = hibernate
        self._new_wake_link = wake_link
        self._one_at_a_time = asyncio.Lock()
        self._socket = SandboxSocket(self._answer, MAX_CONNECTIONS, lingering_seconds=1)

    async def start(self, socket: Path) -> None:
        """Listen."""
        await self._socket.open(socket)

    async def close(self) -> None:
        """Stop listening and drop what is open."""
        await self._socket.close()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        match (request.method, request.path):
            case ("POST", "/finish"):
                return await self._finish(request)
            case ("POST", "/share"):
                return await self._share(request)
            case ("POST", "/hibernate"):
                return await self._hibernate(request)
            case ("POST", "/wake-link"):
                return await self._wake_link(request)
            case _:
                return _answer(404, "There are only POST /finish, /share, /hibernate and /wake-link.")

    async def _finish(self, request: web.BaseRequest) -> web.Response:
        try:
            body = await _read(request)
        except Refused as refusal:
            return self._refuse(str(refusal), _mend("finish", refusal))
        if reason := self._refusal("finish"):
            return self._refuse(reason, reason)
        if self._one_at_a_time.locked():
            return _busy("finish")
        async with self._one_at_a_time:
            try:
                finish = await self._judge(body)
            except Refused as refusal:
                return self._refuse(str(refusal), _mend("finish", refusal))
            except AgentContainerError as error:
                return _answer(422, f"The platform could not store the files: {error} Run finish again.")
            if not await self._on_finish(finish):
                return _answer(422, "The task has already ended.")
            return _answer(200, "Accepted. The task is finished.")

    async def _share(self, request: web.BaseRequest) -> web.Response:
        try:
            body = await _read(request)
            async with self._one_at_a_time:  # a model may call it several times at once
                if reason := self._refusal("share"):
                    return _answer(422, reason)
                asked = parse(ShareRequest, body, "share")
                if not asked.files:
                    raise Refused("files: none is named.")
                self._check_count(len(asked.files))
                shared = await self._share_files(asked.cwd, [Declared(path) for path in asked.files])
        except Refused as refusal:
            return _answer(422, _mend("share", refusal))
        except AgentContainerError as error:
            return _answer(422, f"The platform could not store the files: {error} Run share again.")
        names = ", ".join(output.filename for output in shared)
        return _answer(200, f"Shared: {names}. The user can download them now.")

    async def _hibernate(self, request: web.BaseRequest) -> web.Response:
        try:
            body = await _read(request)
            if reason := self._refusal("hibernate"):
                return _answer(422, reason)
            if self._one_at_a_time.locked():
                return _busy("hibernate")
            async with self._one_at_a_time:
                if not await self._on_hibernate(self._deadline(parse(HibernateRequest, body, "hibernate"))):
                    return _answer(422, "The task has already ended.")
                return _answer(200, "Accepted. The task hibernates.")
        except Refused as refusal:
            return _answer(422, _mend("hibernate", refusal))
        except CheckpointFailed as error:
            return _answer(422, f"{error} The task goes on; try again or finish.")

    async def _wake_link(self, request: web.BaseRequest) -> web.Response:
        try:
            body = await _read(request)
            async with self._one_at_a_time:
                if reason := self._refusal("hibernate"):
                    return _answer(422, reason)
                parse(WakeLinkRequest, body, "hibernate")
                token = await self._new_wake_link()
        except Refused as refusal:
            return _answer(422, _mend("hibernate", refusal))
        if token is None:
            return _answer(422, "There is no wake link: the task has too many, or has ended.")
        hint = "" if self._public_url else "\n(Put the address of the platform's API before it.)"
        return _answer(200, f"{self._public_url}/wake/{token}{hint}")

    def _deadline(self, asked: HibernateRequest) -> Hibernate:
        message = message_of(asked.message, 'say what you wait for, e.g. --message "Waiting for the review."')
        if (asked.forSeconds is None) == (asked.until is None):
            raise Refused("Either --for or --until is needed.")
        now = datetime.now(UTC)
        until = moment_of(asked.until) if asked.until is not None else None
        seconds = (asked.forSeconds or 0) if until is None else (until - now).total_seconds()
        if seconds < MIN_HIBERNATION.total_seconds():
            raise Refused("The deadline must be at least 1 second ahead.")
        if seconds > self._max_hibernation.total_seconds():
            raise Refused(f"The deadline can be at most {self._max_hibernation.days} days ahead.")
        return Hibernate(message, until or now + timedelta(seconds=seconds))

    async def _judge(self, body: bytes) -> Finish:
        asked = parse(FinishRequest, body, "finish")
        message = message_of(
            asked.message, 'say in a few sentences what was done, e.g. --message "Report written."'
        )
        declared = [Declared(path) for path in asked.files] + [
            Declared(o.path, o.name) for o in asked.outputs
        ]
        self._check_count(len(declared))
        if faults := refusals(self._policy, declared):
            raise Refused("\n".join(faults))
        return Finish(asked.completion, message, await self._collect(asked.cwd, declared))

    def _check_count(self, files: int) -> None:
        if files > self._max_files:
            raise Refused(
                f"{files} files are declared; at most {self._max_files}. Pack them into an archive."
            )

    def _refuse(self, fault: str, message: str) -> web.Response:
        self._on_refusal(fault)
        return _answer(422, message)


def _mend(command: Command, refusal: Refused) -> str:
    return f"{command} was not accepted:\n{refusal}\nMend this and run {command} again."


async def _read(request: web.BaseRequest) -> bytes:
    """The body, within its bounds. Raises: Refused."""
    if set(map(str.lower, request.headers.getall("Content-Encoding", []))) - {"identity"}:
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


def _busy(command: Command) -> web.Response:
    return _answer(422, f"Another request is being checked; wait for its answer, then run {command} again.")


def _answer(status: int, message: str) -> web.Response:
    body = json.dumps({"accepted": status == 200, "message": message})
    return web.Response(status=status, text=body, content_type="application/json")
