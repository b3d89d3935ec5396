"""Whether the process lives, and whether it can serve."""

import asyncio
from typing import Literal

from fastapi import Request

from agentcontainer.api.http.routing import unauthenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.wire import Outgoing
from agentcontainer.errors import Unavailable
from agentcontainer.migrations.schema import is_current

READY_TIMEOUT_SECONDS = 3

router = unauthenticated()


class Health(Outgoing):
    """The process lives."""

    status: Literal["ok"] = "ok"


class Readiness(Outgoing):
    """The process can serve."""

    status: Literal["ready"] = "ready"


@router.get("/healthz")
async def health() -> Health:
    """Whether the process lives. Asks nothing else."""
    return Health()


@router.get("/readyz", responses={503: {}})
async def ready(request: Request, services: Provided) -> Readiness:
    """Whether the database can be reached and has this version's schema."""
    async with asyncio.timeout(READY_TIMEOUT_SECONDS):
        await services.pool.fetchval("SELECT 1")
        # Once current is current: the schema moves on only with a newer version beside us.
        state = request.app.state
        if not getattr(state, "is_migrated", False):
            assert services.settings.database_url is not None
            state.is_migrated = await is_current(services.settings.database_url)
    if not state.is_migrated:
        raise Unavailable("The database has not this version's schema: run `agentcontainer migrate`.")
    return Readiness()
