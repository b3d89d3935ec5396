"""Checks that the processes of this host belong to the installation in the database."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from agentcontainer.db import Pool
from agentcontainer.doctor.finding import Check, Finding
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.installation import store
from agentcontainer.domain.installation.service import examine
from agentcontainer.settings import Settings


@dataclass(frozen=True)
class Belonging:
    """What an API or runner of this host would start with. `vault`: None without a secret key. `blobs`: None if there
    is no object store."""

    pool: Pool
    settings: Settings
    vault: Vault | None
    blobs: Blobs | None


async def belonging(subject: Belonging) -> AsyncGenerator[Finding]:
    """The secret key, object store, shared settings and clock, as an API and a runner check them at their start. Before
    the first one has started, there is no secret key and no store to compare with."""
    row = await store.get(subject.pool)
    vault = None if row.canary is None else subject.vault
    blobs = None if row.store_marked_at is None else subject.blobs
    examined = await examine(subject.pool, subject.settings, vault, blobs)
    for fault in examined.faults:
        how = "do what the sentence says; until then no API or runner starts here"
        yield Finding("not of this installation", fault.sentence.rstrip("."), how)


BELONGING_CHECKS: tuple[Check[Belonging], ...] = (Check("belonging", belonging),)
