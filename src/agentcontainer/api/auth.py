"""Who is asking: the account of the API key in `Authorization: Bearer …`."""

import re
from typing import Annotated

from fastapi import Depends, Request

from agentcontainer.api.services import Provided
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.errors import Unauthorized

_BEARER = re.compile(r"bearer +([!-~]{1,200})", re.IGNORECASE)


async def authenticate(request: Request, services: Provided) -> str:
    """The id of the account that asks.

    Raises:
        Unauthorized: no key, not a key, or an unknown or revoked one.
    """
    headers = request.headers.getlist("authorization")
    found = _BEARER.fullmatch(headers[0].strip()) if len(headers) == 1 else None
    if found is None:
        raise Unauthorized("An API key is needed. Send `Authorization: Bearer ac_live_…`.")
    account_id = await accounts.authenticate(services.pool, found[1])
    request.state.account_id = account_id  # for the access log
    return account_id


AccountId = Annotated[str, Depends(authenticate)]
