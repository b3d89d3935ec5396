"""Distinguishes a missing blob from an object store that is unavailable, such as a folder that is not mounted."""

import contextlib
from collections.abc import AsyncGenerator

from agentcontainer import db
from agentcontainer.domain.files.installation import has_our_installation_id
from agentcontainer.errors import NotFound, Unavailable
from agentcontainer.runner.services import Services
from agentcontainer.runner.workspace.checkpoint import CheckpointCorrupt


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
