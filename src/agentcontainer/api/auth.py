"""Who is asking: the account of the API key in `Authorization: Bearer …`."""

import re
from typing import Annotated

from fastapi import Depends, Request
from fastapi.routing import APIRoute

from agentcontainer.api.services import Provided
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.errors import Unauthorized

_BEARER = re.compile(r"bearer +([!-~]{1,200})", re.IGNORECASE)


async def authenticate(request: Request, services: Provided) -> str:
    """The id of the account that asks; asked again for the same request, the same answer.

    Raises:
        Unauthorized: no key, not a key, or an unknown or revoked one.
        RateLimited: the key asks too often.
    """
    if hasattr(request.state, "account_id"):
        return request.state.account_id
    headers = request.headers.getlist("authorization")
    found = _BEARER.fullmatch(headers[0].strip()) if len(headers) == 1 else None
    if found is None:
        raise Unauthorized("An API key is needed. Send `Authorization: Bearer ac_live_…`.")
    key_id, account_id = await accounts.authenticate(services.pool, found[1])
    services.rate_limit.take(key_id)
    request.state.account_id = account_id  # also for the access log
    return account_id


def is_authenticated(route: APIRoute) -> bool:
    """Whether the route stands behind an API key."""
    return any(part.call is authenticate for part in route.dependant.dependencies)


AccountId = Annotated[str, Depends(authenticate)]
