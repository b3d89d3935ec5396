"""Creates, changes and deletes webhook endpoints, and keeps their secrets and those of callbacks."""

from collections.abc import Sequence
from dataclasses import dataclass

from agentcontainer.db import Connection, Pool
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.unset import UNSET, Unset
from agentcontainer.domain.webhooks import signing, store
from agentcontainer.domain.webhooks.model import (
    MAX_ENDPOINTS,
    CallbackSecret,
    Endpoint,
    NewEndpoint,
)
from agentcontainer.errors import Conflict, NotFound
from agentcontainer.ids import new_id

UNREADABLE_SECRET = "Its secret cannot be decrypted here. Rotate it."  # noqa: S105 - a message


@dataclass(frozen=True)
class Change:
    """What a client changes in an endpoint."""

    url: str | Unset = UNSET
    events: Sequence[str] | Unset = UNSET
    description: str | Unset | None = UNSET
    is_enabled: bool | Unset = UNSET


async def create(
    connection: Connection,
    vault: Vault,
    account_id: str,
    url: str,
    events: Sequence[str],
    description: str | None,
    secret: str | None,
) -> tuple[Endpoint, str]:
    """Create an endpoint; returns it with its secret. `secret` None: a new one.

    Raises:
        Conflict: the account has `MAX_ENDPOINTS`.
    """
    await store.lock_account(connection, account_id)
    if await store.count(connection, account_id) >= MAX_ENDPOINTS:
        raise Conflict(f"An account can have {MAX_ENDPOINTS} webhooks. Delete one first.")
    endpoint_id, secret = new_id("whk"), secret or signing.new_secret()
    sealed = vault.seal(secret, secret_context(endpoint_id))
    new = NewEndpoint(endpoint_id, account_id, url, events, description, sealed)
    return await store.insert(connection, new), secret


async def get(connection: Connection | Pool, account_id: str, endpoint_id: str) -> Endpoint:
    """An endpoint of the account, also the callback URL of a task.

    Raises:
        NotFound: it does not exist, or is another account's.
    """
    endpoint = await store.get(connection, account_id, endpoint_id)
    if endpoint is None:
        raise _not_found(endpoint_id)
    return endpoint


async def lock_own(connection: Connection, account_id: str, endpoint_id: str) -> Endpoint:
    """An endpoint that the account may change, its row locked.

    Raises:
        NotFound: it does not exist, is another account's, or is the callback URL of a task.
    """
    endpoint = await store.lock(connection, account_id, endpoint_id)
    if endpoint is None or endpoint.task_id is not None:
        raise _not_found(endpoint_id)
    return endpoint


async def update(connection: Connection, account_id: str, endpoint_id: str, change: Change) -> Endpoint:
    """Change an endpoint. While it is disabled, it gets no events, and what is pending for it has failed.

    Raises:
        NotFound: as `lock_own`.
    """
    endpoint = await lock_own(connection, account_id, endpoint_id)
    url = endpoint.url if isinstance(change.url, Unset) else change.url
    events = endpoint.events if isinstance(change.events, Unset) else change.events
    description = endpoint.description if isinstance(change.description, Unset) else change.description
    is_enabled = endpoint.disabled_at is None
    if change.is_enabled is False and is_enabled:
        await store.disable(connection, endpoint_id, "client")
    elif change.is_enabled is True and not is_enabled:
        await store.enable(connection, endpoint_id)
    return await store.update(connection, endpoint_id, url, events, description)


async def rotate(
    connection: Connection,
    vault: Vault,
    account_id: str,
    endpoint_id: str,
    secret: str | None,
    overlap_seconds: int,
) -> tuple[Endpoint, str]:
    """Give an endpoint a new secret; returns both. During the overlap requests have two signatures.

    Raises:
        NotFound: as `lock_own`.
    """
    await lock_own(connection, account_id, endpoint_id)
    secret = secret or signing.new_secret()
    sealed = vault.seal(secret, secret_context(endpoint_id))
    return await store.rotate(connection, endpoint_id, sealed, overlap_seconds), secret


async def callback_secret(
    connection: Connection | Pool, vault: Vault, account_id: str
) -> tuple[CallbackSecret, str]:
    """The secret that signs requests to callback URLs of the account's tasks. It is made when it is first needed."""
    found = await store.callback_secret(connection, account_id)
    if found is None:
        sealed = vault.seal(signing.new_secret(), callback_context(account_id))
        await store.insert_callback_secret(connection, account_id, sealed)
        found = await store.callback_secret(connection, account_id)  # another process may have been faster
        assert found is not None
    return found, vault.open(found.secret, callback_context(account_id))


async def signing_secrets(pool: Pool, vault: Vault, endpoint: Endpoint) -> Sequence[str]:
    """What signs requests to this endpoint now: one secret, or two while a rotation overlaps.

    Raises:
        NotFound: the endpoint was deleted meanwhile.
        SettingsError: this installation cannot decrypt them.
    """
    sealed = await store.sealed_secrets(pool, endpoint)
    if endpoint.task_id is not None:
        if not sealed:
            return [(await callback_secret(pool, vault, endpoint.account_id))[1]]
        return [vault.open(each, callback_context(endpoint.account_id)) for each in sealed]
    if not sealed:
        raise _not_found(endpoint.id)
    return [vault.open(each, secret_context(endpoint.id)) for each in sealed]


async def rotate_callback_secret(
    connection: Connection, vault: Vault, account_id: str, secret: str | None, overlap_seconds: int
) -> tuple[CallbackSecret, str]:
    """Replace the secret of callbacks; returns the new one. During the overlap requests have two signatures."""
    await callback_secret(connection, vault, account_id)
    secret = secret or signing.new_secret()
    sealed = vault.seal(secret, callback_context(account_id))
    return await store.rotate_callback_secret(connection, account_id, sealed, overlap_seconds), secret


def secret_context(endpoint_id: str) -> str:
    """The context with which the secret of an endpoint is encrypted."""
    return f"webhook:{endpoint_id}"


def callback_context(account_id: str) -> str:
    """The context with which the secret of an account's callbacks is encrypted."""
    return f"callback:{account_id}"


def _not_found(endpoint_id: str) -> NotFound:
    return NotFound(f"Webhook {endpoint_id} does not exist.")
