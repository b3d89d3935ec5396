"""The account's API keys: create, list, revoke."""

from typing import Annotated

from fastapi import Depends, Path
from pydantic import AfterValidator, Field
from starlette.responses import Response

from agentcontainer.api.http import paging
from agentcontainer.api.http.auth import AccountId
from agentcontainer.api.http.body import JsonBody
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.query import Query
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.wire import LINE_SCHEMA, Incoming, Outgoing, Timestamp, check_line
from agentcontainer.domain.accounts import service

router = authenticated()


class ApiKeyRequest(Incoming):
    """A new key."""

    name: Annotated[
        str,
        Field(
            min_length=1, max_length=100, json_schema_extra=LINE_SCHEMA,
            description="What it is for; two keys may have one name.",
        ),
        AfterValidator(check_line),
    ]  # fmt: skip


class NewApiKey(Outgoing):
    """The key in full, this once."""

    id: str
    name: str
    key: Annotated[str, Field(description="`ac_live_…`: keep it, it is stored as a hash only.")]
    created_at: Timestamp


class ApiKey(Outgoing):
    """What may be read of a key later."""

    id: str
    name: str
    created_at: Timestamp
    last_used_at: Annotated[Timestamp | None, Field(description="To the minute.")]


class ApiKeyPage(Outgoing):
    """A page of API keys."""

    data: list[ApiKey]
    page_info: PageInfo


@router.get("/api-keys")
async def list_api_keys(
    account_id: AccountId, services: Provided, query: Annotated[PageQuery, Depends(Query(PageQuery))]
) -> ApiKeyPage:
    """The account's API keys, without the revoked ones."""
    page = await service.list_keys(
        services.pool,
        account_id,
        after_id=paging.position("api-keys", query),
        limit=query.limit,
        is_descending=query.order == "desc",
    )
    info = paging.page_info("api-keys", page, lambda key: key.id)
    return ApiKeyPage(data=[_wire(key) for key in page.rows], page_info=info)


@router.post("/api-keys", status_code=201)
async def create_api_key(
    account_id: AccountId,
    services: Provided,
    body: Annotated[ApiKeyRequest, Depends(JsonBody(ApiKeyRequest))],
) -> NewApiKey:
    """A further API key, which may do all that this account may."""
    key_id, key = await service.create_key(services.pool, account_id, body.name)
    made = await service.get_key(services.pool, account_id, key_id)
    return NewApiKey(id=key_id, name=made.name, key=key, created_at=made.created_at)


@router.delete("/api-keys/{keyId}", status_code=204, response_class=Response, responses={409: {}})
async def revoke_api_key(
    key_id: Annotated[str, Path(alias="keyId")], account_id: AccountId, services: Provided
) -> None:
    """Revoke a key at once, also the one in use. The last one stays: without it nobody could get in again."""
    await service.revoke_key(services.pool, account_id, key_id)


def _wire(key: service.ApiKey) -> ApiKey:
    return ApiKey(id=key.id, name=key.name, created_at=key.created_at, last_used_at=key.last_used_at)
