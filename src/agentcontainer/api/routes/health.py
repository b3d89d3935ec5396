"""The routes of health checks: whether the process runs, and whether it can serve requests."""

import asyncio
from typing import Literal

from fastapi import Request

from agentcontainer.api.http.access import public
from agentcontainer.api.http.routing import unauthenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.wire import Outgoing
from agentcontainer.errors import Unavailable
from agentcontainer.migrations import schema

READY_TIMEOUT_SECONDS = 3

router = unauthenticated("System")


class Health(Outgoing):
    """The process runs."""

    status: Literal["ok"] = "ok"


class Readiness(Outgoing):
    """The process can serve requests."""

    status: Literal["ready"] = "ready"


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
@public
async def check_health() -> Health:
    """Check that the process runs. Nothing else is checked."""
    return Health()


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses={503: {}})
@public
async def check_readiness(request: Request, services: Provided) -> Readiness:
    """Check that the database can be reached and has a schema that this version can use."""
    async with asyncio.timeout(READY_TIMEOUT_SECONDS):
        state = request.app.state
        if getattr(
            state, "is_migrated", False
        ):  # after that, only a newer version's migration changes the schema
            fault = await schema.fault_in_use(services.pool)
        else:
            await services.pool.fetchval("SELECT 1")  # the check below has a connection of its own
            assert services.settings.session_url is not None
            fault = await schema.fault(services.settings.session_url)
            state.is_migrated = fault is None
    if fault is not None:
        raise Unavailable(fault)
    return Readiness()
