"""The object that endpoints share: `create_app` receives it, and each request gets it as a dependency."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from agentcontainer.api.http.rate_limit import RateLimit
from agentcontainer.api.hub import Hub
from agentcontainer.db import Pool
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.images.lookup import Lookup
from agentcontainer.settings import Settings
from agentcontainer.telemetry.exposition import Exposition

PROVIDER_TESTS_PER_MINUTE = 10  # of one account
FAILED_LOGINS_PER_MINUTE = 10  # of one address
CLI_LOGINS_PER_MINUTE = 10  # that one address may begin
WEBHOOK_TESTS_PER_MINUTE = 10  # of one account


@dataclass(frozen=True)
class Services:
    """Settings, database, vault, object store, rate limits, event hub, image lookup and metrics."""

    settings: Settings
    pool: Pool
    vault: Vault
    blobs: Blobs
    rate_limit: RateLimit
    hub: Hub
    images: Lookup
    exposition: Exposition
    failed_logins: RateLimit = field(
        default_factory=lambda: RateLimit(
            FAILED_LOGINS_PER_MINUTE, allowance="After failed logins, your address may send"
        )
    )
    """By the network of the client's address. A valid credential is never refused."""
    cli_logins: RateLimit = field(
        default_factory=lambda: RateLimit(
            CLI_LOGINS_PER_MINUTE, allowance="To log command lines in, your address may send"
        )
    )
    provider_tests: RateLimit = field(
        default_factory=lambda: RateLimit(
            PROVIDER_TESTS_PER_MINUTE, allowance="To test provider keys, this account may send"
        )
    )
    webhook_tests: RateLimit = field(
        default_factory=lambda: RateLimit(
            WEBHOOK_TESTS_PER_MINUTE, allowance="To test webhooks, this account may send"
        )
    )


async def provided(request: Request) -> Services:
    """The application's services, or this request's own: with an Idempotency-Key its pool is one transaction."""
    return getattr(request.state, "services", request.app.state.services)


Provided = Annotated[Services, Depends(provided)]
