"""Checks that the object store and the database agree."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from agentcontainer.db import Pool
from agentcontainer.doctor.finding import Check, Finding
from agentcontainer.domain.checkpoints import service as checkpoints
from agentcontainer.domain.checkpoints import store as checkpoint_store
from agentcontainer.domain.files import cleanup
from agentcontainer.domain.files.blobs import Blobs

# Younger objects may still be in use, or the API's own periodic clean-up removes them.
MIN_AGE = cleanup.MIN_AGE + 2 * timedelta(seconds=cleanup.INTERVAL_SECONDS)


@dataclass(frozen=True)
class Store:
    """The subject of the object store's checks. The store must have the database's installation id."""

    pool: Pool
    blobs: Blobs
    min_age: timedelta = MIN_AGE


async def orphans(store: Store) -> AsyncGenerator[Finding]:
    """Blobs without a row in the database."""
    async for keys in cleanup.orphans(store.pool, store.blobs, store.min_age):
        for key in keys:
            fix = partial(cleanup.remove_orphan, store.pool, store.blobs, key)
            yield Finding("blob without a row in the database", key, "delete it from the object store", fix)


async def staged(store: Store) -> AsyncGenerator[Finding]:
    """Uploads into the store that were interrupted."""

    async def remove() -> None:
        await store.blobs.remove_staged(store.min_age)

    for path in await store.blobs.staged(store.min_age):
        yield Finding("incomplete blob", path, "remove it", remove)


async def left_over_checkpoints(store: Store) -> AsyncGenerator[Finding]:
    """Checkpoints that no task will be restored from."""
    min_age = max(store.min_age, checkpoints.MIN_AGE)

    async def drop() -> None:
        await checkpoints.clean_up(store.pool, store.blobs, min_age)

    async for blob in checkpoint_store.unused(store.pool, min_age):
        where = f"{blob.id} ({blob.key})"
        yield Finding("checkpoint that no task needs", where, "delete its blob, then its row", drop)


async def lost(store: Store) -> AsyncGenerator[Finding]:
    """Files and checkpoints whose blob is missing."""
    async for row_id, key in cleanup.lost(store.pool, store.blobs):
        how = f"restore {key} from a backup, or delete the file through the API if nobody needs it"
        yield Finding("row whose blob is missing", row_id, how)


STORE_CHECKS: tuple[Check[Store], ...] = (
    Check("blobs without rows", orphans),
    Check("half-written blobs", staged),
    Check("checkpoints", left_over_checkpoints),
    Check("rows without blobs", lost),
)
