"""Waits for an object store that is away, such as a folder that is not mounted, and tells it from a missing blob."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

from agentcontainer import db
from agentcontainer.domain.files.installation import has_our_installation_id
from agentcontainer.errors import NotFound, Unavailable
from agentcontainer.runner.services import Services
from agentcontainer.runner.workspace.checkpoint import CheckpointCorrupt

RETRY_SECONDS = 2.0

T = TypeVar("T")
logger = logging.getLogger(__name__)


async def retry_while_away(
    action: Callable[[], Awaitable[T]],
    seconds: float,
    name: str,
    undo: Callable[[], Awaitable[None]] | None = None,
) -> T:
    """Call `action`, and repeat it while the object store is unavailable, for at most `seconds`.

    `name` is that of the task or attempt, for the log. `undo` is called before each repetition.

    Raises:
        Unavailable: the store was unavailable for so long. Also what `action` raises.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await action()
        except Unavailable as error:
            if time.monotonic() > deadline:
                raise
            logger.warning("%s: waiting for the object store: %s", name, error)
            if undo is not None:
                await undo()
        await asyncio.sleep(RETRY_SECONDS)


@contextlib.asynccontextmanager
async def missing_means_unavailable(services: Services) -> AsyncGenerator[None]:
    """If a blob is missing during the block, raise Unavailable instead, unless the store has our installation id.

    Raises:
        Unavailable: the store does not have it.
    """
    try:
        yield
    except (CheckpointCorrupt, NotFound):
        if not await db.retry_while_unavailable(
            lambda: has_our_installation_id(services.pool, services.blobs)
        ):
            raise Unavailable(
                "The object store does not have the installation id of this database."
            ) from None
        raise
