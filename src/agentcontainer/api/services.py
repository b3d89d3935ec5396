"""What the routes work with, handed to `create_app` and from there to each route."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from agentcontainer.db import Pool
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.settings import Settings


@dataclass(frozen=True)
class Services:
    """The settings and the three stores."""

    settings: Settings
    pool: Pool
    vault: Vault
    blobs: Blobs


async def _of_app(request: Request) -> Services:
    return request.app.state.services


Provided = Annotated[Services, Depends(_of_app)]
