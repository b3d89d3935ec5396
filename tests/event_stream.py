"""A `text/event-stream` client over a plain socket, which can stop reading and disconnect at any byte."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Frame:
    """One frame of the stream; a comment has `comment` only."""

    id: int | None = None
    event: str | None = None
    data: Any = None
    comment: str | None = None
    retry: str | None = None


class Stream:
    """A response whose head has been read."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        self._reader = reader
        self._writer = writer
        self._port: int = writer.get_extra_info("sockname")[1]
        self._frames = self._parse()
        status, *lines = head.decode().strip().split("\r\n")
        self.status = int(status.split()[1])
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        self.is_whole = False  # the server sent the final chunk

    @property
    def port(self) -> int:
        """The client's port, to find the connection on the server's side."""
        return self._port

    @classmethod
    async def open(
        cls,
        base_url: str,
        path: str,
        key: str | None = None,
        last_event_id: int | None = None,
        receive_buffer: int | None = None,
        **headers: str,
    ) -> "Stream":
        url = urlsplit(base_url)
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, (url.hostname or "", url.port or 80))
        except BaseException:
            connection.close()
            raise
        reader, writer = await asyncio.open_connection(sock=connection, limit=receive_buffer or 2**16)
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        if last_event_id is not None:
            headers["Last-Event-ID"] = str(last_event_id)
        headers.setdefault("Host", "x")
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        try:
            return cls(reader, writer, await reader.readuntil(b"\r\n\r\n"))
        except BaseException:
            writer.transport.abort()
            raise

    async def body(self) -> bytes:
        """The body of a response with a Content-Length."""
        return await self._reader.readexactly(int(self.headers.get("content-length", "0")))

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks until the server ends the body or the connection; only the former sets `is_whole`."""
        try:
            while size := int(await self._reader.readline() or b"x", 16):
                yield (await self._reader.readexactly(size + 2))[:-2]
            self.is_whole = await self._reader.readline() == b"\r\n"
        except (ValueError, OSError, asyncio.IncompleteReadError):
            return

    def frames(self) -> AsyncIterator[Frame]:
        """The frames that were not read yet."""
        return self._frames

    async def _parse(self) -> AsyncIterator[Frame]:
        rest = b""
        async for chunk in self.chunks():
            *frames, rest = (rest + chunk).split(b"\n\n")
            for frame in frames:
                yield _parsed(frame.decode())

    async def events(self) -> AsyncIterator[Frame]:
        """The frames that are events, deltas included."""
        async for frame in self.frames():
            if frame.event is not None:
                yield frame

    async def some(self, count: int) -> list[Frame]:
        """The next `count` events."""
        frames: list[Frame] = []
        async for frame in self.events():
            frames.append(frame)
            if len(frames) == count:
                break
        return frames

    async def rest(self) -> list[Frame]:
        """All events until the stream ends."""
        return [frame async for frame in self.events()]

    def cut(self) -> None:
        """Abort the connection."""
        self._writer.transport.abort()

    async def __aenter__(self) -> "Stream":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        await asyncio.sleep(0)


def _parsed(text: str) -> Frame:
    fields: dict[str, str] = {}
    for line in text.split("\n"):
        name, _, value = line.partition(":")
        assert name not in fields, text
        fields[name] = value.removeprefix(" ")
    assert set(fields) <= {"id", "event", "data", "retry", ""}, text
    return Frame(
        id=int(fields["id"]) if "id" in fields else None,
        event=fields.get("event"),
        data=json.loads(fields["data"]) if "data" in fields else None,
        comment=fields.get(""),
        retry=fields.get("retry"),
    )
