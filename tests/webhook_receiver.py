"""A receiver of webhooks on this machine, which answers as a test says and remembers what it got."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Answer = Callable[["Received"], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Received:
    """A request. `number` counts those with the same `webhook-id`, from 1."""

    id: str
    number: int
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> dict[str, Any]:
        return json.loads(self.body)


async def accept(_: Received) -> web.StreamResponse:
    return web.Response(text="thanks")


def answering(status: int, text: str = "", **headers: str) -> Answer:
    async def answer(_: Received) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=text, headers=named)

    return answer


@dataclass
class Receiver:
    """`answer` may be replaced at any time."""

    answer: Answer = accept
    received: list[Received] = field(default_factory=list[Received])
    url: str = ""
    in_flight: int = 0
    most_in_flight: int = 0

    def by_id(self) -> dict[str, list[Received]]:
        """The requests of each `webhook-id`."""
        grouped: dict[str, list[Received]] = {}
        for each in self.received:
            grouped.setdefault(each.id, []).append(each)
        return grouped

    async def until(self, count: int, seconds: float = 30) -> list[Received]:
        """The requests, once there are so many."""
        async with asyncio.timeout(seconds):
            while len(self.received) < count:
                await asyncio.sleep(0.01)
        return self.received

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Remember a request, and answer it."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        message_id, body = headers.get("webhook-id", ""), await request.read()
        number = sum(each.id == message_id for each in self.received) + 1 if len(self.received) < 1000 else 0
        received = Received(message_id, number, headers, body)
        self.received.append(received)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self.answer(received)
        finally:
            self.in_flight -= 1


@asynccontextmanager
async def receiver(answer: Answer = accept, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Receiver]:
    """Run a receiver during the block, over https with `tls`."""
    own = Receiver(answer)
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", own.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        [address] = runner.addresses
        own.url = f"http{'s' if tls else ''}://127.0.0.1:{address[1]}/hook?source=ac"
        yield own
    finally:
        await runner.cleanup()
