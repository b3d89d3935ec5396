"""The routes of the account's API keys."""

from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, Field
from starlette.responses import Response

from agentcontainer.api.http import paging
from agentcontainer.api.http.access import Agents, Level, access, administers
from agentcontainer.api.http.auth import AccountId, Acting
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.schemas.ids import KeyId
from agentcontainer.api.wire import LINE_PATTERN, Incoming, Outgoing, Timestamp, check_line
from agentcontainer.domain.accounts import service, store

router = authenticated("Account")


class ApiKeyRequest(Incoming):
    """A new API key."""

    name: Annotated[
        str,
        Field(
            min_length=1, max_length=100, json_schema_extra={"pattern": LINE_PATTERN},
            description="What the key is for. Two keys may have the same name.",
        ),
        AfterValidator(check_line),
    ]  # fmt: skip


class NewApiKey(Outgoing):
    """A new API key, shown in full this once."""

    id: str
    name: str
    key: Annotated[str, Field(description="`ac_live_…`. Keep it: only its hash is stored.")]
    created_at: Timestamp


class ApiKey(Outgoing):
    """An API key, without the key itself."""

    id: str
    name: str
    created_at: Timestamp
    last_used_at: Annotated[Timestamp | None, Field(description="To the minute.")]


class ApiKeyPage(Outgoing):
    """A page of API keys."""

    data: list[ApiKey]
    page_info: PageInfo


@router.get("/api-keys")
@access(Level.READS, Agents.FILTERED)
async def list_api_keys(
    account_id: AccountId, services: Provided, query: Annotated[PageQuery, Query()]
) -> ApiKeyPage:
    """List the account's API keys, without revoked ones."""
    page = await store.list_keys(
        services.pool,
        account_id,
        after_id=paging.position("api-keys", query),
        limit=query.limit,
        is_descending=query.order == "desc",
    )
    info = paging.page_info("api-keys", page, lambda key: key.id)
    return ApiKeyPage(data=[ApiKey.of(key) for key in page.rows], page_info=info)


@router.post("/api-keys", status_code=201)
@administers
async def create_api_key(
    account_id: AccountId, actor: Acting, services: Provided, body: ApiKeyRequest
) -> NewApiKey:
    """Create another API key. It may do everything that the account may."""
    key_id, key = await service.create_key(services.pool, account_id, body.name, by=actor)
    return NewApiKey.of(await service.get_key(services.pool, account_id, key_id), key=key)


@router.delete("/api-keys/{keyId}", status_code=204, response_class=Response, responses={409: {}})
@administers
async def revoke_api_key(key_id: KeyId, account_id: AccountId, actor: Acting, services: Provided) -> None:
    """Revoke an API key at once.

    409 for the account's last key: without a key nobody can use the account again.
    """
    await service.revoke_key(services.pool, account_id, key_id, by=actor)
