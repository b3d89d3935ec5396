"""What the routes work with, handed to `create_app` and from there to each route."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from agentcontainer.api.hub import Hub
from agentcontainer.api.rate_limit import RateLimit
from agentcontainer.db import Pool
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.settings import Settings


@dataclass(frozen=True)
class Services:
    """The settings, the three stores, who may ask how often, and who follows which task."""

    settings: Settings
    pool: Pool
    vault: Vault
    blobs: Blobs
    rate_limit: RateLimit
    hub: Hub


async def provided(request: Request) -> Services:
    """The application's services, or those this request was given instead."""
    return getattr(request.state, "services", request.app.state.services)


Provided = Annotated[Services, Depends(provided)]
