"""What lies elsewhere and must be reached: the database's server, the object store, the models' providers."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from agentcontainer.db import Pool
from agentcontainer.doctor.finding import Check, Finding
from agentcontainer.doctor.store import Store
from agentcontainer.errors import AgentContainerError, NotFound
from agentcontainer.gateway.upstreams import PROVIDER_NAMES
from agentcontainer.ids import new_id
from agentcontainer.settings import Settings

MIN_POSTGRES = 14
MAX_SKEW_SECONDS = 5.0
CONNECT_SECONDS = 3.0


@dataclass(frozen=True)
class Server:
    """The database's server."""

    pool: Pool


async def database(server: Server) -> AsyncGenerator[Finding]:
    """Its version, and its clock beside ours: leases and deadlines are by both."""
    number = int(await server.pool.fetchval("SHOW server_version_num"))
    if number < MIN_POSTGRES * 10_000:
        where = f"version {number // 10_000}"
        yield Finding("PostgreSQL that is too old", where, f"upgrade it to {MIN_POSTGRES} or newer")
    before = time.time()
    theirs = float(await server.pool.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
    skew = max(before - theirs, theirs - time.time())
    if skew > MAX_SKEW_SECONDS:
        where = f"this host's and the database's differ by {skew:.0f} s"
        yield Finding("clock that is wrong", where, "run an NTP client on both")


async def storage(store: Store) -> AsyncGenerator[Finding]:
    """Whether a blob can be written, read and removed."""
    key = f"uploads/{new_id('probe')}"  # where the sweep finds it, should we die now
    content = key.encode()

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    try:
        await store.blobs.put(key, chunks(), len(content))
        got = b"".join([chunk async for chunk in store.blobs.stream(key)])
        await store.blobs.delete(key)
    except (AgentContainerError, OSError) as error:
        how = "see that its credentials may read, write and delete, and that it has room"
        yield Finding("object store that cannot be used", str(error), how)
        return
    try:
        await store.blobs.head(key)
        is_gone = False
    except NotFound:
        is_gone = True
    if got != content or not is_gone:
        yield Finding(
            "object store that does not keep its word", key, "use one that reads what was just written"
        )


async def providers(settings: Settings) -> AsyncGenerator[Finding]:
    """Whether the providers' servers take connections. No key is sent, and nothing asked."""
    urls = settings.base_urls
    faults = await asyncio.gather(*(_fault(url) for url in urls.values()))
    for (provider, url), fault in zip(urls.items(), faults, strict=True):
        if fault is not None:
            where = f"{PROVIDER_NAMES[provider]} at {urlsplit(url).netloc}: {fault}"
            how = f"allow it, or set AGENTCONTAINER_{provider.upper()}_BASE_URL; unused ones do not matter"
            yield Finding("provider that cannot be reached", where, how, is_notice=True)


SERVER_CHECKS: tuple[Check[Server], ...] = (Check("database", database),)
STORAGE_CHECKS: tuple[Check[Store], ...] = (Check("storage", storage),)
PROVIDER_CHECKS: tuple[Check[Settings], ...] = (Check("providers", providers),)


async def _fault(url: str) -> str | None:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str | None] = loop.create_future()

    def tell(fault: str | None) -> None:
        if not answer.done():
            answer.set_result(fault)

    def connect() -> None:
        try:
            socket.create_connection((parts.hostname or "", port), CONNECT_SECONDS).close()
            fault = None
        except OSError as error:
            fault = error.strerror or "it does not answer"
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, fault)

    threading.Thread(target=connect, daemon=True).start()  # no pool: a resolver may keep it for minutes
    try:
        return await asyncio.wait_for(answer, CONNECT_SECONDS)
    except TimeoutError:
        return "it does not answer"
