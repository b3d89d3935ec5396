"""The routes of the account's API keys."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from agentcontainer.api.http import paging
from agentcontainer.api.http.access import Agents, Level, access, administers
from agentcontainer.api.http.auth import AccountId, Acting, Caller
from agentcontainer.api.http.idempotency import replayed_unless
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided, Services
from agentcontainer.api.schemas.api_keys import ApiKey, ApiKeyChange, ApiKeyRequest, NewApiKey
from agentcontainer.api.schemas.ids import KeyId
from agentcontainer.api.wire import Outgoing
from agentcontainer.db import Pool
from agentcontainer.domain.accounts import keys, service, store
from agentcontainer.errors import ValidationError

router = authenticated("Account")


class ApiKeyPage(Outgoing):
    """A page of API keys."""

    data: list[ApiKey]
    page_info: PageInfo


@router.get("/api-keys")
@access(Level.READS, Agents.FILTERED)
async def list_api_keys(
    caller: Caller, services: Provided, query: Annotated[PageQuery, Query()]
) -> ApiKeyPage:
    """List the account's API keys, without revoked ones.

    A key that is bound to agents sees only itself.
    """
    page = await store.list_keys(
        services.pool,
        caller.account_id,
        only_id=None if caller.agent_ids is None else caller.key_id,
        after_id=paging.position("api-keys", query),
        limit=query.limit,
        is_descending=query.order == "desc",
    )
    info = paging.page_info("api-keys", page, lambda key: key.id)
    return ApiKeyPage(data=[ApiKey.of(key) for key in page.rows], page_info=info)


async def _is_gone(_services: Services, pool: Pool, account_id: str, response: str) -> bool:
    """Whether the key in a stored response was revoked or has expired."""
    return not await store.is_key_valid(pool, account_id, NewApiKey.id_in(response))


@router.post("/api-keys", status_code=201, responses={410: {}})
@administers
@replayed_unless(_is_gone)
async def create_api_key(caller: Caller, actor: Acting, services: Provided, body: ApiKeyRequest) -> NewApiKey:
    """Create another API key. Without bounds it may do everything that your own key may."""
    key_id, key = await keys.create(
        services.pool, caller.account_id, body.name, body.grant(), caller=caller, by=actor
    )
    return NewApiKey.of_key(await service.get_key(services.pool, caller.account_id, key_id), key)


@router.patch("/api-keys/{keyId}", responses={409: {}})
@administers
async def change_api_key(
    key_id: KeyId, caller: Caller, actor: Acting, services: Provided, body: ApiKeyChange
) -> ApiKey:
    """Change the name, role, agents, limits or expiry of another API key, at once.

    409 if no key could do everything any more. 403 for your own key, and for what would be more than your own may do.
    """
    if not body.model_fields_set:
        raise ValidationError.at("body", "must say what to change")
    changed = await keys.change(
        services.pool, caller.account_id, key_id, body.change(), caller=caller, by=actor
    )
    return ApiKey.of(changed)


@router.delete("/api-keys/{keyId}", status_code=204, response_class=Response, responses={409: {}})
@administers
async def revoke_api_key(key_id: KeyId, account_id: AccountId, actor: Acting, services: Provided) -> None:
    """Revoke an API key at once.

    409 for the last key that can do everything: without it nobody can use the account again.
    """
    await service.revoke_key(services.pool, account_id, key_id, by=actor)
