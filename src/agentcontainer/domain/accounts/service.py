"""Creates and reads accounts, API keys and provider keys, and finds the account of an API key."""

from agentcontainer import db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.accounts import keys, store
from agentcontainer.domain.accounts.model import (
    SUSPENDED,
    Account,
    ApiKey,
    NewAccount,
    OpenProviderKey,
    OwnEndpoint,
    ProviderKey,
    SealedProviderKey,
)
from agentcontainer.domain.accounts.principal import Principal
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.audit import service as audit
from agentcontainer.domain.audit.model import COMMAND_LINE, Actor
from agentcontainer.domain.ledger import service as ledger
from agentcontainer.errors import Conflict, Forbidden, NotFound, Unauthorized, ValidationError
from agentcontainer.ids import new_id
from agentcontainer.providers import PROVIDERS

MAX_ENDPOINTS = 50


async def create_account(
    pool: Pool,
    *,
    name: str,
    email: str | None = None,
    is_unlimited: bool = False,
    credit_micro_usd: int = 0,
    is_operator: bool = False,
    by: Actor = COMMAND_LINE,
) -> tuple[str, str]:
    """Create an account with its first API key; returns (account id, API key). Only a hash of the key is stored."""
    account = NewAccount(
        new_id("acc"), name, email, "unlimited_grant" if is_unlimited else "standard", is_operator
    )
    async with db.transaction(pool) as connection:
        await store.insert(connection, account)
        if credit_micro_usd:
            await ledger.credit(connection, account.id, credit_micro_usd)
        _, key = await keys.insert(connection, account.id, "default")
        await audit.record(connection, by, "account.created", account.id, account_id=account.id)
    return account.id, key


async def get(pool: Pool | Connection, account_id: str) -> Account:
    """The account with its balance.

    Raises:
        NotFound: there is no such account.
    """
    account = await store.get(pool, account_id)
    if account is None:
        raise NotFound(f"Account {account_id} does not exist.")
    return account


create_key = keys.create
revoke_key = keys.revoke


async def get_key(connection: Connection | Pool, account_id: str, key_id: str) -> ApiKey:
    """An API key of the account.

    Raises:
        NotFound: it does not exist, is revoked, or is another account's.
    """
    key = await store.get_key(connection, account_id, key_id)
    if key is None:
        raise NotFound(f"API key {key_id} does not exist.")
    return key


async def authenticate(pool: Pool, key: str) -> Principal:
    """Who sends this API key. Records its use at most once a minute.

    Raises:
        Unauthorized: the key is unknown, revoked or expired.
        Forbidden: its account is suspended.
    """
    owner = await store.find_owner(pool, [keys.hash_of(key), keys.hash_of_limited(keys.hash_of(key))])
    if owner is None:
        raise Unauthorized("The API key is unknown or revoked. Send `Authorization: Bearer ac_live_…`.")
    if owner.is_expired:
        raise Unauthorized(f"The API key expired at {owner.grant.expires_at:%Y-%m-%d %H:%M:%S} UTC.")
    if owner.is_suspended:
        raise Forbidden(SUSPENDED)
    if owner.is_use_due:
        await store.record_use(pool, owner.key_id)
    return Principal(owner.account_id, "key", owner.key_id, owner.key_id, owner.grant, owner.is_operator)


async def put_provider_key(
    pool: Pool,
    vault: Vault,
    account_id: str,
    provider: str,
    key: str | None,
    endpoint: OwnEndpoint | None = None,
    *,
    by: Actor = COMMAND_LINE,
) -> ProviderKey:
    """Store the account's key for a provider, encrypted, or an endpoint of its own with or without a key.

    It replaces the whole earlier entry, so that a stored key is never sent to a new address.

    Raises:
        Conflict: the account has too many endpoints.
    """
    last4 = key[-4:] if key and len(key) >= 12 else ""  # four characters would be a large part of a short key
    ciphertext = vault.seal(key, key_context(account_id, provider, endpoint)) if key else None
    async with db.transaction(pool) as connection:
        if endpoint is not None:
            count = await store.count_endpoints(connection, account_id, without=provider)
            if count >= MAX_ENDPOINTS:
                raise Conflict(f"An account can have {MAX_ENDPOINTS} endpoints of its own. Delete one first.")
        sealed = SealedProviderKey(account_id, provider, ciphertext, last4, endpoint)
        stored = await store.put_provider_key(connection, sealed)
        await audit.record(connection, by, "provider_key.stored", provider, account_id=account_id)
        return stored


async def delete_provider_key(
    pool: Pool, account_id: str, provider: str, *, by: Actor = COMMAND_LINE
) -> None:
    """Delete the account's key for a provider.

    Raises:
        NotFound: there is none.
    """
    async with db.transaction(pool) as connection:
        if not await store.delete_provider_key(connection, account_id, provider):
            raise NotFound(f"There is no key for {provider}.")
        await audit.record(connection, by, "provider_key.deleted", provider, account_id=account_id)


async def open_provider_key(
    pool: Pool | Connection, vault: Vault, account_id: str, provider: str
) -> OpenProviderKey | None:
    """The account's key for a provider in plain text, for the gateway only. None: nothing is stored.

    Raises:
        SettingsError: the installation's secret key has changed since it was stored.
    """
    sealed = await store.sealed_provider_key(pool, account_id, provider)
    if sealed is None:
        return None
    if sealed.ciphertext is None:
        return OpenProviderKey(None, sealed.endpoint)
    key = vault.open(sealed.ciphertext, key_context(account_id, provider, sealed.endpoint))
    return OpenProviderKey(key, sealed.endpoint)


async def own_endpoint(
    connection: Connection, account_id: str, provider: str, field: str
) -> OwnEndpoint | None:
    """The account's own endpoint of this name; None: the name is a provider's of the platform.

    Raises:
        ValidationError: it is neither; names the `field` of the request.
    """
    if provider in PROVIDERS:
        return None
    sealed = await store.sealed_provider_key(connection, account_id, provider)
    return checked_endpoint(sealed.endpoint if sealed else None, provider, field)


def checked_endpoint(endpoint: OwnEndpoint | None, provider: str, field: str) -> OwnEndpoint | None:
    """The account's own endpoint of this name, as it was read; None: the name is a provider's of the platform.

    Raises:
        ValidationError: it is neither; names the `field` of the request.
    """
    if provider in PROVIDERS:
        return None
    if endpoint is None:
        raise ValidationError.at(
            field,
            f"must be one of {', '.join(PROVIDERS)}, or the name of an endpoint that was stored with "
            "PUT /api/v1/provider-keys/{name}",
        )
    return endpoint


def key_context(account_id: str, provider: str, endpoint: OwnEndpoint | None) -> str:
    """The context with which a provider key is encrypted."""
    # The address is part of it: a key cannot be decrypted for another address than the one it was stored with.
    return f"{account_id}:{provider}" + (f":{endpoint.base_url}" if endpoint else "")
