"""Tells a blob that is lost from an object store that is not there."""

import contextlib
from collections.abc import AsyncGenerator

from agentcontainer import db
from agentcontainer.domain.files.installation import has_our_installation_id
from agentcontainer.errors import NotFound, Unavailable
from agentcontainer.runner.services import Services
from agentcontainer.runner.workspace.checkpoint import CheckpointCorrupt


@contextlib.asynccontextmanager
async def missing_means_unavailable(services: Services) -> AsyncGenerator[None]:
    """Treat NotFound as Unavailable unless the store carries our installation id (an unmounted volume looks
    empty).

    Raises:
        Unavailable: the store does not carry it.
    """
    try:
        yield
    except (CheckpointCorrupt, NotFound):
        if not await db.retry_while_unavailable(
            lambda: has_our_installation_id(services.pool, services.blobs)
        ):
            raise Unavailable("The object store does not bear the mark of this database.") from None
        raise
