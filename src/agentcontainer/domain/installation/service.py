"""Proves that a process belongs to the installation: its secret key, object store, shared settings and clock.

docs/decisions/0025-a-process-proves-that-it-belongs.md gives the reasons.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

from agentcontainer import db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.accounts import store as accounts
from agentcontainer.domain.accounts.service import open_provider_key
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files.blobs import Blobs, StoreRefused
from agentcontainer.domain.files.installation import (
    INSTALLATION_ID_KEY,
    has_our_files,
    has_our_installation_id,
)
from agentcontainer.domain.installation import clock, shared, store
from agentcontainer.domain.installation.clock import Skew
from agentcontainer.domain.installation.shared import Change
from agentcontainer.errors import SettingsError, Unavailable
from agentcontainer.settings import Settings

TRIED_KEYS = 5  # stored provider keys that show whether a secret key is the installation's
OTHER_KEY = (
    "AGENTCONTAINER_SECRET_KEY is not the secret key of this installation: it does not open what the installation has "
    "encrypted. Set the installation's key. If that is lost, run `agentcontainer admin adopt-settings "
    "--new-secret-key`; accounts must then store their provider keys again."
)
UNMARKED_STORE = (
    "AGENTCONTAINER_STORAGE_URL is not the object store of this installation, or it is not mounted: its blob "
    f"`{INSTALLATION_ID_KEY}` is missing. Set the installation's store. If its content was moved to this one or is "
    "lost, run `agentcontainer admin adopt-settings --new-store`."
)
FOREIGN_STORE = (
    "AGENTCONTAINER_STORAGE_URL is the object store of another installation: its blob "
    f"`{INSTALLATION_ID_KEY}` has another id than the database. Set this installation's store, or its database."
)
REFUSED_STORE = (
    "AGENTCONTAINER_STORAGE_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY: the object store refuses the access. Check "
    "the credentials, the bucket and its policy."
)


@dataclass(frozen=True)
class Fault:
    """Why a process does not belong, or cannot work now."""

    sentence: str
    may_pass: bool = False
    """Whether it may pass without a change of settings, so that it is no reason to refuse a start."""


@dataclass(frozen=True)
class Examined:
    """What was found out about a process. It belongs if there are no faults."""

    faults: list[Fault]
    skew: Skew

    @property
    def sentence(self) -> str | None:
        """All faults in one line; None: there are none."""
        return " ".join(fault.sentence for fault in self.faults) or None


@dataclass(frozen=True)
class Joined:
    """The settings of a process, completed by those that the installation has in common, and what may not fit yet."""

    settings: Settings
    examined: Examined


async def join(pool: Pool, settings: Settings, vault: Vault, blobs: Blobs) -> Joined:
    """Prove that this process belongs. The first process of an installation stores what the others must match.

    A store that cannot be reached now is not a reason to refuse: `examine` is called again while the process runs.

    Raises:
        SettingsError: something does not fit; names the setting.
    """
    async with db.transaction(pool) as connection:
        row = await store.get(connection, is_locking=True)
        if row.canary is None and await _opens_stored_keys(connection, vault):
            await store.set_canary(connection, vault.seal(row.id, row.canary_context))
        await store.add_settings(connection, shared.texts(settings))
    await mark_first_store(pool, blobs)
    examined = await examine(pool, settings, vault, blobs)
    if faults := [fault.sentence for fault in examined.faults if not fault.may_pass]:
        raise SettingsError(" ".join(faults))
    return Joined(shared.completed(settings, await store.settings(pool)), examined)


async def examine(pool: Pool, settings: Settings, vault: Vault | None, blobs: Blobs | None) -> Examined:
    """Compare this process with what the database says. What is None is not examined. Nothing but the time of a
    store's mark is written.

    Raises:
        PostgresError, OSError: the database cannot be used now.
    """
    row = await store.get(pool)
    faults = [Fault(sentence) for sentence in shared.mismatches(settings, await store.settings(pool))]
    if vault is not None and not _opens_canary(row, vault):
        faults.append(Fault(OTHER_KEY))
    if blobs is not None and (fault := await _store_fault(pool, row, blobs)) is not None:
        faults.append(fault)
    skew = await clock.measure(pool)
    if skew.fault is not None:
        faults.append(Fault(skew.fault))
    return Examined(faults, skew)


async def mark_first_store(pool: Pool, blobs: Blobs) -> None:
    """Write the installation's id into its first store, if that has the installation's files or there are none. Does
    nothing while the store cannot be reached."""
    with suppress(Unavailable):
        if await has_our_installation_id(pool, blobs) is not None:
            return
        async with db.transaction(pool) as connection:
            row = await store.get(connection, is_locking=True)
            if row.store_marked_at is None and await has_our_files(pool, blobs):
                await _mark(connection, row, blobs)


async def adopt_settings(pool: Pool, settings: Settings, *, are_all: bool = False) -> list[Change]:
    """Make the shared settings that were set for this process those of the installation. With `are_all` also those
    that have their default here."""
    chosen = shared.texts(settings) if are_all else shared.explicit(settings)
    async with db.transaction(pool) as connection:
        await store.get(connection, is_locking=True)
        before = await store.settings(connection)
        await store.put_settings(connection, chosen)
        removed = [name for name in shared.SHARED if are_all and name in before and name not in chosen]
        await store.remove_settings(connection, removed)
    after = chosen | dict.fromkeys(removed, "")
    return [Change(name, before.get(name), text) for name, text in after.items() if before.get(name) != text]


async def adopt_secret_key(pool: Connection | Pool, vault: Vault) -> None:
    """Make this secret key the installation's. What was encrypted with another one stays unreadable."""
    row = await store.get(pool)
    await store.set_canary(pool, vault.seal(row.id, row.canary_context))


async def adopt_store(pool: Pool, blobs: Blobs) -> None:
    """Make this object store the installation's.

    Raises:
        SettingsError: it is another installation's.
        Unavailable: it cannot be reached.
    """
    if await has_our_installation_id(pool, blobs) is False:
        raise SettingsError(FOREIGN_STORE)
    await _mark(pool, await store.get(pool), blobs)


async def _opens_stored_keys(connection: Connection, vault: Vault) -> bool:
    """Whether the vault opens one of the latest stored provider keys, or none is stored. For installations that are
    older than the canary."""
    entries = await accounts.latest_provider_keys(connection, TRIED_KEYS)
    are_encrypted = False
    for account_id, provider in entries:
        try:
            key = await open_provider_key(connection, vault, account_id, provider)
        except SettingsError:
            are_encrypted = True
            continue
        if key is not None and key.key is not None:
            return True
    return not are_encrypted


def _opens_canary(row: store.Installation, vault: Vault) -> bool:
    if row.canary is None:
        return False
    try:
        return vault.open(row.canary, row.canary_context) == row.id
    except SettingsError:
        return False


async def _mark(connection: Connection | Pool, row: store.Installation, blobs: Blobs) -> None:
    await blobs.put(INSTALLATION_ID_KEY, _chunk(row.id.encode()), len(row.id))
    await store.set_store_marked(connection)


async def _store_fault(pool: Pool, row: store.Installation, blobs: Blobs) -> Fault | None:
    try:
        is_ours = await has_our_installation_id(pool, blobs)
    except StoreRefused:
        return Fault(REFUSED_STORE)
    except Unavailable as error:
        return Fault(f"AGENTCONTAINER_STORAGE_URL cannot be used now: {error}", may_pass=True)
    if is_ours is None:
        return Fault(UNMARKED_STORE)
    if not is_ours:
        return Fault(FOREIGN_STORE)
    if row.store_marked_at is None:
        await store.set_store_marked(pool)
    return None


async def _chunk(content: bytes) -> AsyncIterator[bytes]:
    yield content
