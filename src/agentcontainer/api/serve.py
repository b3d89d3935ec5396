"""The API process: the HTTP server and the background loops that run beside it."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import uvicorn

from agentcontainer import db
from agentcontainer.api.app import create_app
from agentcontainer.api.connections import CHECK_SECONDS, Connections, protocol_class
from agentcontainer.api.dashboard import upload_origins
from agentcontainer.api.hub import Hub
from agentcontainer.api.presence import Presence
from agentcontainer.api.webhook_sender import WebhookSender
from agentcontainer.api_url import is_every_address
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.agents import standard
from agentcontainer.domain.feed import store as feed
from agentcontainer.domain.feed.sequencer import number_forever
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.housekeeping.service import keep_house
from agentcontainer.domain.installation import service as installation
from agentcontainer.domain.installation import store as installation_store
from agentcontainer.domain.installation.service import Examined
from agentcontainer.domain.installation.watch import watch_forever
from agentcontainer.errors import SettingsError
from agentcontainer.migrations import schema
from agentcontainer.migrations.watch import Watch
from agentcontainer.periodic import background, repeat
from agentcontainer.settings import Settings
from agentcontainer.telemetry import otel
from agentcontainer.telemetry.server import serving

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 10
POOL_SIZE = 10
POOL_WAIT_SECONDS = 2.0  # for a free connection; then a request is answered with 503


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Requests then have `DRAIN_SECONDS` to finish; event streams end at once.

    The settings `database_url`, `storage_url` and `secret_key` must be set.

    Raises:
        SettingsError: the address is not available, or this version cannot use the database's schema, now or later.
    """
    database_url, session_url = settings.database_url, settings.session_url
    assert database_url is not None and session_url is not None
    assert settings.storage_url is not None
    assert settings.secret_key is not None
    if (fault := await schema.fault(session_url)) is not None:
        raise SettingsError(fault)
    vault = Vault(settings.secret_key.get_secret_value())
    connections = Connections()
    with _listening(settings.host, settings.port, connections.bounds.backlog) as listener:
        async with otel.tracing(settings, os.environ) as tracing, db.pool(
            database_url, max_size=settings.database_pool_size or POOL_SIZE, wait_seconds=POOL_WAIT_SECONDS,
            is_pooled=settings.is_database_pooled,
        ) as pool:  # fmt: skip
            blobs = Blobs(settings.storage_url)
            own_settings = settings
            settings = (await installation.join(pool, settings, vault, blobs)).settings
            if settings.public_url is None:
                await installation_store.put_settings(pool, {installation_store.API_URL: settings.api_url})
            await standard.install(pool)
            hub = Hub(pool, connections.bounds.streams)
            app = create_app(settings, pool, vault, blobs, hub, await upload_origins(settings, blobs))
            sender = WebhookSender(pool, vault, settings, tracing)
            presence = Presence(pool, listener.getsockname()[1], settings.runner_lost_after_seconds)
            config = uvicorn.Config(
                app, http=protocol_class(connections), ws="none", lifespan="off", log_config=None, access_log=False,
                server_header=False, proxy_headers=False, timeout_graceful_shutdown=DRAIN_SECONDS,
                backlog=connections.bounds.backlog,
            )  # fmt: skip
            server = _Server(config)

            def stop() -> None:
                server.should_exit = True
                hub.close()

            watch = Watch(pool, stop)
            async with (
                background(
                    keep_house(pool, blobs, settings),
                    presence.beat_forever(),
                    presence.report_forever(),
                    hub.run(session_url, {feed.WEBHOOK_CHANNEL: sender.wake}),
                    sender.run(),
                    number_forever(session_url, settings.task_url("")),
                    repeat("closing silent connections", connections.close_silent, CHECK_SECONDS),
                    watch.run(),
                    watch_forever(pool, own_settings, vault, blobs, "this API does not fit", _do_nothing),
                ),
                _stopped_by_signals(server, hub),
                serving(
                    settings.metrics_address,
                    app.state.services.exposition,
                    setting="AGENTCONTAINER_METRICS_ADDRESS",
                ),
            ):
                if settings.public_url is None and is_every_address(settings.host):
                    logger.warning(
                        "AGENTCONTAINER_PUBLIC_URL is not set: wake links begin with %s, which other machines cannot "
                        "open. Set it to the URL at which clients reach this API, such as http://192.0.2.10:%d",
                        settings.api_url, settings.port,
                    )  # fmt: skip
                logger.info("listening on %s", "{}:{}".format(*listener.getsockname()[:2]))
                await server.serve(sockets=[listener])
            watch.check()


async def _do_nothing(_: Examined) -> None:
    """An API that does not fit any more goes on: all of them would stop at once."""


class _Server(uvicorn.Server):
    """Installs no signal handlers: uvicorn would raise the signals again after a clean stop."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@contextmanager
def _listening(host: str, port: int, backlog: int) -> Generator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    is_dual = family == socket.AF_INET6 and is_every_address(host) and socket.has_dualstack_ipv6()
    try:
        listener = socket.create_server((host, port), family=family, backlog=backlog, dualstack_ipv6=is_dual)
    except OSError as error:
        raise SettingsError(
            f"AGENTCONTAINER_HOST, AGENTCONTAINER_PORT: cannot listen on {host}:{port}: {error.strerror}."
        ) from None
    with listener:
        # Accepted sockets inherit the option; asyncio sets it only on sockets that it creates itself. Without it the
        # second write of a response would wait 40 ms for the client's delayed acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listener


@asynccontextmanager
async def _stopped_by_signals(server: uvicorn.Server, hub: Hub) -> AsyncGenerator[None]:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.force_exit = server.should_exit  # the second signal does not wait
        server.should_exit = True
        hub.close()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
