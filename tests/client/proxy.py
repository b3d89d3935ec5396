"""A proxy between client and API that cuts, drops, buffers and delays, as the networks of users do."""

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress

import aiohttp
from aiohttp import web

HOP_HEADERS = {"transfer-encoding", "connection", "keep-alive", "content-length", "host"}


class Proxy:
    """An HTTP proxy in front of `target`. Its faults are attributes, which a test sets.

    `drop_every`: of so many responses, one is dropped after the API has answered. `cut_after`: gives, for each
    response body, the bytes after which the connection breaks; None: it does not. `is_buffering`: a body is forwarded
    when it is whole. `cuts`: how often a body was cut.
    """

    def __init__(self, target: str, seed: int = 1) -> None:
        self.target = target
        self.drop_every: int | None = None
        self.cut_after: Callable[[random.Random, str], int | None] = lambda _random, _path: None
        self.cut_request_after: int | None = None
        self.is_buffering = False
        self.cuts = 0
        self.dropped = 0
        self.url = ""
        self._responses = 0
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "Proxy":
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _start(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None)
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=connector, auto_decompress=False)
        app = web.Application(client_max_size=2**40)
        app.router.add_route("*", "/{path:.*}", self._forward)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        await self._session.close()
        await self._runner.cleanup()

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_HEADERS}
        if request.content_length is not None:
            headers["Content-Length"] = str(request.content_length)
        headers["Host"] = request.headers["Host"]  # uploads are signed for it
        body = self._body(request) if request.can_read_body else None
        with suppress(aiohttp.ClientError, ConnectionError):
            async with self._session.request(
                request.method,
                self.target + request.path_qs,
                data=body,
                headers=headers,
                allow_redirects=False,
            ) as answer:
                return await self._answer(request, answer)
        self._break(request)
        raise asyncio.CancelledError

    async def _answer(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        self._responses += 1
        if self.drop_every is not None and self._responses % self.drop_every == 0:
            await answer.read()
            self.dropped += 1
            self._break(request)
            raise asyncio.CancelledError
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_HEADERS}
        if "Content-Length" in answer.headers:
            kept["Content-Length"] = answer.headers["Content-Length"]
        response = web.StreamResponse(status=answer.status, headers=kept)
        if self.is_buffering:
            body = await answer.read()
            await response.prepare(request)
            await response.write(body)
            return response
        await response.prepare(request)
        left = self.cut_after(self._random, request.path)
        async for chunk in answer.content.iter_any():
            if left is not None and len(chunk) >= left:
                await response.write(chunk[:left])
                self.cuts += 1
                self._break(request)
                raise asyncio.CancelledError
            left = None if left is None else left - len(chunk)
            await response.write(chunk)
        return response

    async def _body(self, request: web.Request):  # type: ignore[no-untyped-def]
        sent = 0
        async for chunk in request.content.iter_any():
            sent += len(chunk)
            if self.cut_request_after is not None and sent > self.cut_request_after:
                self.cut_request_after = None
                self.cuts += 1
                self._break(request)
                raise ConnectionError
            yield chunk

    def _break(self, request: web.Request) -> None:
        if request.transport is not None:
            request.transport.abort()
