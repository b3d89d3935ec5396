"""The response that streams a log as `text/event-stream`."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import cast

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agentcontainer.api.hub import FAILURES, Follower, Hub
from agentcontainer.api.logs import Log
from agentcontainer.api.sse_frames import KEEP_ALIVE, RETRY
from agentcontainer.errors import Forbidden, Unauthorized
from agentcontainer.telemetry import metrics

logger = logging.getLogger(__name__)

MEDIA_TYPE = "text/event-stream"
KEEP_ALIVE_SECONDS = 15.0  # between comments; the API key is checked at the same interval
SEND_SECONDS = 30.0  # a client that accepts no data for so long is disconnected
SEND_BUFFER_BYTES = 128 * 1024  # the kernel's buffer for one connection


class EventStream(Response):
    """The entries after `position`, then new ones as they come, with the deltas of what the agent is saying.

    It ends when the task ends, the API key is revoked or its rights change, this process stops, or the database has
    been away for 10 s. A client reconnects with `Last-Event-ID`. The comments between entries do not depend on the
    database.
    """

    def __init__(self, hub: Hub, log: Log, position: int, check_key: Callable[[], Awaitable[object]]) -> None:
        # A stream changes the limits of its connection, so the connection must not be reused.
        headers = {
            "X-Accel-Buffering": "no",
            "Connection": "close",
            "Content-Type": f"{MEDIA_TYPE}; charset=utf-8",
        }
        super().__init__(None, 200, headers)
        del self.headers["content-length"]
        self._hub = hub
        self._log = log
        self._position = position
        self._check_key = check_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = cast("asyncio.Transport | None", scope["state"].get("transport"))
        if transport is not None:
            _limit_buffers(transport)
        cut = transport.abort if transport is not None else lambda: None
        log = self._log
        with self._hub.follow(log, self._position, cut, is_live=log.has_deltas) as follower:
            disconnected = asyncio.create_task(until_disconnected(receive))
            disconnected.add_done_callback(lambda _: follower.stop())
            metrics.EVENT_STREAMS.inc()
            try:
                await send(
                    {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
                )
                await self._send_all(send, follower)
            except _Stalled:
                logger.info("%s: closed a stream whose client did not read", log.id)
                cut()
                # Returning before the server knows of the disconnection would be logged as an incomplete response.
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(disconnected), 1)
            finally:
                metrics.EVENT_STREAMS.dec()
                disconnected.cancel()

    async def _send_all(self, send: Send, follower: Follower) -> None:
        clock = asyncio.get_running_loop().time
        await _send(send, RETRY)
        beat = clock() + KEEP_ALIVE_SECONDS
        checking: asyncio.Task[None] | None = None
        try:
            while not follower.is_stopped:
                if body := await follower.next(beat):
                    await _send(send, body)
                elif follower.is_stopped:
                    break
                if clock() >= beat:
                    await _send(send, KEEP_ALIVE)
                    beat = clock() + KEEP_ALIVE_SECONDS
                    if checking is None or checking.done():
                        checking = asyncio.create_task(self._stop_if_revoked(follower))
        finally:
            if checking is not None:
                checking.cancel()
        await _send(send, b"", is_last=True)

    async def _stop_if_revoked(self, follower: Follower) -> None:
        try:
            await self._check_key()
        except (Unauthorized, Forbidden):
            follower.stop()
        except FAILURES:
            logger.warning("%s: the key of a stream could not be checked", self._log.id)


async def until_disconnected(receive: Receive) -> None:
    """Wait until the client closes the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


class _Stalled(Exception):
    """The client accepts no data."""


async def _send(send: Send, body: bytes, *, is_last: bool = False) -> None:
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await send({"type": "http.response.body", "body": body, "more_body": not is_last})
    except TimeoutError:
        raise _Stalled from None


def _limit_buffers(transport: asyncio.Transport) -> None:
    """Buffer little data for a client that does not read, and not for long, in this process and in the kernel."""
    transport.set_write_buffer_limits(high=0)  # `send` waits until the kernel has the previous chunk
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    # Also detects a client whose host vanished: keep-alive comments alone would be sent for 15 minutes.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(SEND_SECONDS * 1000))
