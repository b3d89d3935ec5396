"""What the routes work with, handed to `create_app` and from there to each route."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from agentcontainer.api.http.rate_limit import RateLimit
from agentcontainer.api.hub import Hub
from agentcontainer.db import Pool
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.images.lookup import Lookup
from agentcontainer.settings import Settings


@dataclass(frozen=True)
class Services:
    """The settings, the three stores, who may ask how often, who follows which task, and what images are."""

    settings: Settings
    pool: Pool
    vault: Vault
    blobs: Blobs
    rate_limit: RateLimit
    hub: Hub
    images: Lookup


async def provided(request: Request) -> Services:
    """The application's services, or those this request was given instead."""
    return getattr(request.state, "services", request.app.state.services)


Provided = Annotated[Services, Depends(provided)]
