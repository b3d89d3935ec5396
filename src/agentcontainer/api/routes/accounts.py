"""The account that asks, and its keys for model providers."""

from typing import Annotated, Literal, get_args

from fastapi import Depends, Path
from pydantic import Field
from starlette.responses import Response

from agentcontainer.api.http import paging
from agentcontainer.api.http.auth import AccountId
from agentcontainer.api.http.body import JsonBody
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.query import Query
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.wire import Incoming, Outgoing, Provider, ProviderApiKey, Timestamp, Usd, usd
from agentcontainer.db import Page
from agentcontainer.domain.accounts import service
from agentcontainer.domain.checkpoints import service as checkpoints
from agentcontainer.domain.files import quota
from agentcontainer.errors import ValidationError

router = authenticated()


class Storage(Outgoing):
    """Stored bytes, and how many may be."""

    used_bytes: int
    quota_bytes: int
    is_enforced: bool


class Account(Outgoing):
    """The account of the API key."""

    id: str
    name: str
    email: str | None
    credit_balance: Annotated[Usd, Field(description="Prepaid US dollars, less what is held for live tasks.")]
    billing_mode: Literal["standard", "unlimited_grant"]
    file_storage: Storage
    checkpoint_storage: Storage
    created_at: Timestamp


class ProviderKey(Outgoing):
    """What may be read of a stored provider key."""

    provider: Provider
    last4: Annotated[str, Field(description="Its last four characters; empty for a short key.")]
    created_at: Timestamp


class ProviderKeyPage(Outgoing):
    """The account's provider keys."""

    data: list[ProviderKey]
    page_info: PageInfo


class ProviderKeyInput(Incoming):
    """A key to store."""

    api_key: Annotated[ProviderApiKey, Field(repr=False)]


async def _named_provider(provider: Annotated[str, Path()]) -> str:
    if provider not in get_args(Provider):
        raise ValidationError.at("provider", f"must be one of {', '.join(get_args(Provider))}")
    return provider


NamedProvider = Annotated[str, Depends(_named_provider)]


@router.get("/account")
async def get_account(account_id: AccountId, services: Provided) -> Account:
    """The account of the API key, its balance and its use of storage."""
    account = await service.get(services.pool, account_id)
    settings = services.settings
    stored_bytes = await quota.used_bytes(services.pool, account_id)
    saved_bytes = await checkpoints.used_bytes(services.pool, account_id)
    return Account(
        id=account.id,
        name=account.name,
        email=account.email,
        credit_balance=usd(account.balance_micro_usd),
        billing_mode="unlimited_grant" if account.billing_mode == "unlimited_grant" else "standard",
        file_storage=_storage(stored_bytes, settings.file_quota_bytes),
        checkpoint_storage=_storage(saved_bytes, settings.checkpoint_quota_bytes),
        created_at=account.created_at,
    )


@router.get("/provider-keys")
async def list_provider_keys(
    account_id: AccountId, services: Provided, query: Annotated[PageQuery, Depends(Query(PageQuery))]
) -> ProviderKeyPage:
    """The providers the account has a key for, by name."""
    keys = await service.list_provider_keys(services.pool, account_id)
    after = paging.position("provider-keys", query)
    if query.order == "desc":
        rest = [key for key in reversed(keys) if after is None or key.provider < after]
    else:
        rest = [key for key in keys if after is None or key.provider > after]
    page = Page(rest[: query.limit], len(rest) > query.limit)
    info = paging.page_info("provider-keys", page, lambda key: key.provider)
    return ProviderKeyPage(data=[_wire(key) for key in page.rows], page_info=info)


@router.put("/provider-keys/{provider}")
async def put_provider_key(
    provider: NamedProvider,
    account_id: AccountId,
    services: Provided,
    body: Annotated[ProviderKeyInput, Depends(JsonBody(ProviderKeyInput))],
) -> ProviderKey:
    """Store the account's own key for a provider, encrypted; replaces an earlier one."""
    key = await service.put_provider_key(services.pool, services.vault, account_id, provider, body.api_key)
    return _wire(key)


@router.delete("/provider-keys/{provider}", status_code=204, response_class=Response)
async def delete_provider_key(provider: NamedProvider, account_id: AccountId, services: Provided) -> None:
    """Forget the account's key for a provider."""
    await service.delete_provider_key(services.pool, account_id, provider)


def _storage(used_bytes: int, quota_bytes: int) -> Storage:
    return Storage(used_bytes=used_bytes, quota_bytes=quota_bytes, is_enforced=quota_bytes > 0)


def _wire(key: service.ProviderKey) -> ProviderKey:
    return ProviderKey.model_validate(
        {"provider": key.provider, "last4": key.last4, "created_at": key.created_at}
    )
