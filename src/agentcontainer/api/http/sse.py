"""A task's log as `text/event-stream`, for as long as the task lives and the client reads."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import cast

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agentcontainer.api.hub import FAILURES, Follower, Hub
from agentcontainer.api.sse_frames import KEEP_ALIVE, RETRY
from agentcontainer.domain.tasks.model import Task
from agentcontainer.errors import Unauthorized

logger = logging.getLogger(__name__)

MEDIA_TYPE = "text/event-stream"
KEEP_ALIVE_SECONDS = 15.0  # and that often we look whether the key still opens the door
SEND_SECONDS = 30.0  # a client that takes nothing for so long is cut
SEND_BUFFER = 128 * 1024  # of the kernel: what lies there for a client that has stopped reading


class EventStream(Response):
    """The log after `position`, then what is added to it, and what the agent is just saying.

    It ends with the task, with its API key and with this process. A client goes on elsewhere by `Last-Event-ID`.
    """

    def __init__(
        self, hub: Hub, task: Task, position: int, check_key: Callable[[], Awaitable[object]]
    ) -> None:
        # Streams change the limits of their connection, so no other request may follow on it.
        headers = {
            "X-Accel-Buffering": "no",
            "Connection": "close",
            "Content-Type": f"{MEDIA_TYPE}; charset=utf-8",
        }
        super().__init__(None, 200, headers)
        del self.headers["content-length"]
        self._hub = hub
        self._task = task
        self._position = position
        self._check_key = check_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = cast("asyncio.Transport | None", scope["state"].get("transport"))
        if transport is not None:
            _bound(transport)
        cut = transport.abort if transport is not None else lambda: None
        task, hub = self._task, self._hub
        with hub.follow(task.account_id, task.id, task.last_event_sequence, self._position, cut) as follower:
            leaving = asyncio.create_task(until_disconnected(receive))
            leaving.add_done_callback(lambda _: follower.stop())
            try:
                await send(
                    {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
                )
                await self._send_all(send, follower)
            except _Stalled:
                logger.info("%s: cut a stream whose client did not read", task.id)
                cut()
                with suppress(
                    TimeoutError
                ):  # else the server takes this for a response that we forgot to end
                    await asyncio.wait_for(asyncio.shield(leaving), 1)
            finally:
                leaving.cancel()

    async def _send_all(self, send: Send, follower: Follower) -> None:
        clock = asyncio.get_running_loop().time
        await _send(send, RETRY)
        beat = clock() + KEEP_ALIVE_SECONDS
        while not follower.is_stopped:
            if body := await follower.next(beat):
                await _send(send, body)
            elif follower.is_stopped:
                break
            if clock() >= beat:
                if not await self._may_go_on():
                    break
                await _send(send, KEEP_ALIVE)
                beat = clock() + KEEP_ALIVE_SECONDS
        await _send(send, b"", is_last=True)

    async def _may_go_on(self) -> bool:
        try:
            await self._check_key()
        except Unauthorized:
            return False
        except FAILURES:
            logger.warning("%s: the key of a stream could not be checked", self._task.id)
        return True


async def until_disconnected(receive: Receive) -> None:
    """Until the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


class _Stalled(Exception):
    """The client does not take what we send."""


async def _send(send: Send, body: bytes, *, is_last: bool = False) -> None:
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await send({"type": "http.response.body", "body": body, "more_body": not is_last})
    except TimeoutError:
        raise _Stalled from None


def _bound(transport: asyncio.Transport) -> None:
    """Let little pile up for a client that does not read, here and in the kernel, and not for long."""
    transport.set_write_buffer_limits(high=0)  # `send` waits until the kernel has all of the chunk before
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    # Also of a client that vanished without a word, to whom comments alone would be sent for a quarter of an hour.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(SEND_SECONDS * 1000))
