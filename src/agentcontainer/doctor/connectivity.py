"""Checks of the services that this host must reach: the database server, the object store, the model providers."""

import asyncio
import os
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from agentcontainer.db import Pool
from agentcontainer.doctor.finding import Check, Finding
from agentcontainer.doctor.store import Store
from agentcontainer.domain.accounts import store as accounts
from agentcontainer.domain.accounts.service import open_provider_key
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files.recorded import RecordedBlobs
from agentcontainer.errors import AgentContainerError, NotFound, SettingsError
from agentcontainer.gateway.probe import probe_stored
from agentcontainer.ids import new_id
from agentcontainer.providers import PROVIDERS
from agentcontainer.proxies import Proxies
from agentcontainer.settings import Settings

MIN_POSTGRES = 14
CONNECT_SECONDS = 3.0
MAX_TESTED_KEYS = 50


@dataclass(frozen=True)
class Server:
    """The subject of the database server's checks."""

    pool: Pool


async def database(server: Server) -> AsyncGenerator[Finding]:
    """The server's version."""
    number = int(await server.pool.fetchval("SHOW server_version_num"))
    if number < MIN_POSTGRES * 10_000:
        where = f"version {number // 10_000}"
        yield Finding("outdated PostgreSQL", where, f"upgrade it to {MIN_POSTGRES} or newer")


async def storage(store: Store) -> AsyncGenerator[Finding]:
    """Whether a blob can be written, read and removed."""
    key = f"uploads/{new_id('probe')}"
    content = key.encode()

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    try:
        await RecordedBlobs(store.pool, store.blobs).put(key, chunks(), len(content))
        stored = b"".join([chunk async for chunk in store.blobs.stream(key)])
        await store.blobs.delete(key)
    except (AgentContainerError, OSError) as error:
        how = "check that its credentials may read, write and delete, and that it has free space"
        yield Finding("unusable object store", str(error), how)
        return
    try:
        await store.blobs.head(key)
        is_gone = False
    except NotFound:
        is_gone = True
    if stored != content or not is_gone:
        yield Finding("object store without read-after-write consistency", key, "use one that has it")


async def providers(settings: Settings) -> AsyncGenerator[Finding]:
    """Whether the providers' servers, or the proxies before them, accept connections. No request and no key is sent."""
    urls = {} if settings.offline_model == "all" else settings.base_urls
    proxies = Proxies.of(os.environ)
    through = {provider: proxies.for_url(url) for provider, url in urls.items()}
    faults = await asyncio.gather(*(_fault(through[provider] or url) for provider, url in urls.items()))
    for (provider, url), fault in zip(urls.items(), faults, strict=True):
        if fault is not None:
            route = " through the proxy" if through[provider] else ""
            where = f"{PROVIDERS[provider].title} at {urlsplit(url).netloc}{route}: {fault}"
            how = f"allow it, or set AGENTCONTAINER_{provider.upper()}_BASE_URL; ignore a provider that you do not use"
            yield Finding("unreachable provider", where, how, is_notice=True)


@dataclass(frozen=True)
class StoredKeys:
    """The subject of the check of what accounts have stored for their providers."""

    pool: Pool
    vault: Vault
    settings: Settings


async def provider_keys(stored: StoredKeys) -> AsyncGenerator[Finding]:
    """Whether each stored key and endpoint answers one request that costs nothing: the list of its models."""
    entries = await accounts.latest_provider_keys(stored.pool, MAX_TESTED_KEYS)
    faults = await asyncio.gather(*(_fault_of_key(stored, *entry) for entry in entries))
    for (account_id, provider), fault in zip(entries, faults, strict=True):
        if fault is not None:
            how = f"let the account test it: POST /api/v1/provider-keys/{provider}/test"
            yield Finding(
                "unusable provider key",
                f"{provider} of {account_id}: {fault.rstrip('.')}",
                how,
                is_notice=True,
            )


async def _fault_of_key(stored: StoredKeys, account_id: str, provider: str) -> str | None:
    try:
        key = await open_provider_key(stored.pool, stored.vault, account_id, provider)
    except SettingsError as error:
        return str(error)
    if key is None:
        return None  # deleted meanwhile
    return (await probe_stored(stored.settings, provider, key, None)).fault


KEY_CHECKS: tuple[Check[StoredKeys], ...] = (Check("provider keys", provider_keys),)
SERVER_CHECKS: tuple[Check[Server], ...] = (Check("database", database),)
STORAGE_CHECKS: tuple[Check[Store], ...] = (Check("storage", storage),)
PROVIDER_CHECKS: tuple[Check[Settings], ...] = (Check("providers", providers),)


async def _fault(url: str) -> str | None:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str | None] = loop.create_future()

    def set_result(fault: str | None) -> None:
        if not answer.done():
            answer.set_result(fault)

    def connect() -> None:
        try:
            socket.create_connection((parts.hostname or "", port), CONNECT_SECONDS).close()
            fault = None
        except OSError as error:
            fault = error.strerror or "no answer"
        if not loop.is_closed():
            loop.call_soon_threadsafe(set_result, fault)

    threading.Thread(
        target=connect, daemon=True
    ).start()  # not in a pool: name resolution may block the thread for minutes
    try:
        return await asyncio.wait_for(answer, CONNECT_SECONDS)
    except TimeoutError:
        return "no answer"
