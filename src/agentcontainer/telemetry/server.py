"""The HTTP server on the metrics address of a process, apart from the API: metrics, and a runner's probes."""

import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from agentcontainer.errors import SettingsError
from agentcontainer.telemetry.exposition import CONTENT_TYPE, Exposition


@asynccontextmanager
async def serving(
    address: str | None,
    exposition: Exposition,
    *,
    setting: str,
    unready_reason: Callable[[], str | None] | None = None,
) -> AsyncGenerator[int | None]:
    """Serve `GET /metrics` at `address` (`host:port`) during the block; without an address, nothing. Yields the port.

    With `unready_reason` it also serves the probes: `/healthz` answers 200 while the process runs, and `/readyz` 503
    while there is a reason.

    Raises:
        SettingsError: the address cannot be used; names `setting`.
    """
    if address is None:
        yield None
        return
    app = web.Application()
    app.router.add_get("/metrics", _metrics(exposition))
    if unready_reason is not None:
        app.router.add_get("/healthz", _healthz)
        app.router.add_get("/readyz", _readyz(unready_reason))
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        host, _, port = address.rpartition(":")
        listener = _bound(host.strip("[]"), int(port), setting, address)
        await web.SockSite(runner, listener).start()
        yield listener.getsockname()[1]
    finally:
        await runner.cleanup()


def _bound(host: str, port: int, setting: str, address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise SettingsError(f"{setting}: cannot listen on {address}: {error.strerror or error}.") from None


def _metrics(exposition: Exposition):
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=await exposition.text(), headers={"Content-Type": CONTENT_TYPE})

    return answer


async def _healthz(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


def _readyz(unready_reason: Callable[[], str | None]):
    async def answer(_: web.Request) -> web.Response:
        reason = unready_reason()
        if reason is None:
            return web.json_response({"status": "ready"})
        return web.json_response({"status": "not_ready", "reason": reason}, status=503)

    return answer
