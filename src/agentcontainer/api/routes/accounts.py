"""The routes of the account and of its keys for model providers."""

from typing import Annotated, Literal

from fastapi import Path, Query
from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypeAliasType

from agentcontainer.api.http import paging
from agentcontainer.api.http.auth import AccountId
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.wire import Incoming, Outgoing, Provider, ProviderApiKey, Timestamp, Usd, usd
from agentcontainer.db import Page
from agentcontainer.domain.accounts import service, store
from agentcontainer.domain.checkpoints import store as checkpoints
from agentcontainer.domain.files import quota
from agentcontainer.errors import ValidationError
from agentcontainer.providers import PROVIDERS

BillingMode = TypeAliasType("BillingMode", Literal["standard", "unlimited_grant"])

router = authenticated("Account")


class Storage(Outgoing):
    """Stored bytes and their quota."""

    used_bytes: int
    quota_bytes: int
    is_enforced: Annotated[bool, Field(description="False: there is no quota.")]


class Account(Outgoing):
    """The account of the API key."""

    id: str
    name: str
    email: str | None
    credit_balance: Annotated[Usd, Field(description="Prepaid US dollars, less what is held for live tasks.")]
    billing_mode: BillingMode
    file_storage: Storage
    checkpoint_storage: Storage
    created_at: Timestamp


class ProviderKey(Outgoing):
    """A stored provider key, without the key itself."""

    provider: Provider
    last4: Annotated[str, Field(description="The key's last four characters; empty for a short key.")]
    created_at: Timestamp


class ProviderKeyPage(Outgoing):
    """A page of provider keys."""

    data: list[ProviderKey]
    page_info: PageInfo


class ProviderKeyInput(Incoming):
    """A provider key to store."""

    api_key: Annotated[ProviderApiKey, Field(repr=False)]


NamedProvider = Annotated[Provider, Path()]


@router.get("/account")
async def get_account(account_id: AccountId, services: Provided) -> Account:
    """Get the account of the API key, with its balance and its use of storage."""
    account = await service.get(services.pool, account_id)
    settings = services.settings
    file_bytes = await quota.used_bytes(services.pool, account_id)
    checkpoint_bytes = await checkpoints.used_bytes(services.pool, account_id)
    return Account.of(
        account,
        credit_balance=usd(account.balance_micro_usd),
        file_storage=_storage(file_bytes, settings.file_quota_bytes),
        checkpoint_storage=_storage(checkpoint_bytes, settings.checkpoint_quota_bytes),
    )


@router.get("/provider-keys")
async def list_provider_keys(
    account_id: AccountId, services: Provided, query: Annotated[PageQuery, Query()]
) -> ProviderKeyPage:
    """List the account's provider keys, by provider."""
    keys = await store.list_provider_keys(services.pool, account_id)
    after = paging.position("provider-keys", query)
    if query.order == "desc":
        rest = [key for key in reversed(keys) if after is None or key.provider < after]
    else:
        rest = [key for key in keys if after is None or key.provider > after]
    page = Page(rest[: query.limit], len(rest) > query.limit)
    info = paging.page_info("provider-keys", page, lambda key: key.provider)
    return ProviderKeyPage(data=[ProviderKey.of(key) for key in page.rows], page_info=info)


@router.put("/provider-keys/{provider}")
async def put_provider_key(
    provider: NamedProvider, account_id: AccountId, services: Provided, body: ProviderKeyInput
) -> ProviderKey:
    """Store the account's own key for a provider, encrypted. It replaces an earlier one."""
    if PROVIDERS[provider].is_offline:
        raise ValidationError.at("provider", "offline takes no key: it is an offline script, no AI")
    key = await service.put_provider_key(services.pool, services.vault, account_id, provider, body.api_key)
    return ProviderKey.of(key)


@router.delete("/provider-keys/{provider}", status_code=204, response_class=Response)
async def delete_provider_key(provider: NamedProvider, account_id: AccountId, services: Provided) -> None:
    """Delete the account's key for a provider."""
    await service.delete_provider_key(services.pool, account_id, provider)


def _storage(used_bytes: int, quota_bytes: int) -> Storage:
    return Storage(used_bytes=used_bytes, quota_bytes=quota_bytes, is_enforced=quota_bytes > 0)
