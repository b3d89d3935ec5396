"""Makes, changes and revokes API keys, so that no key makes itself or another one stronger than itself."""

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agentcontainer import db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.accounts import store
from agentcontainer.domain.accounts.model import ApiKey, NewApiKey
from agentcontainer.domain.accounts.principal import FULL, Grant, Limits, Principal, Role
from agentcontainer.domain.audit import service as audit
from agentcontainer.domain.audit.model import COMMAND_LINE, Actor
from agentcontainer.domain.unset import UNSET, Unset
from agentcontainer.errors import Conflict, Forbidden, NotFound, Unauthorized, ValidationError
from agentcontainer.ids import new_id

KEY_PREFIX = "ac_live_"
MAX_LIFE = timedelta(days=3660)

_AGENTS = "SELECT id FROM agents WHERE id = ANY($1::text[]) AND (account_id = $2 OR account_id IS NULL)"


@dataclass(frozen=True)
class KeyChange:
    """What a client changes in a key. None removes a bound; UNSET leaves it."""

    name: str | Unset = UNSET
    role: Role | Unset = UNSET
    agent_ids: frozenset[str] | Unset | None = UNSET
    limits: Limits | Unset = UNSET
    expires_at: datetime | Unset | None = UNSET

    def applied_to(self, grant: Grant) -> Grant:
        """The grant after the change."""
        return Grant(
            grant.role if self.role is UNSET else self.role,
            grant.agent_ids if self.agent_ids is UNSET else self.agent_ids,
            grant.limits if self.limits is UNSET else self.limits,
            grant.expires_at if self.expires_at is UNSET else self.expires_at,
        )


async def create(
    pool: Pool,
    account_id: str,
    name: str,
    grant: Grant = FULL,
    *,
    caller: Principal | None = None,
    by: Actor = COMMAND_LINE,
) -> tuple[str, str]:
    """Create an API key; returns (key id, API key). It expires no later than the caller's key.

    Raises:
        NotFound: there is no such account.
        ValidationError: an agent does not exist, or the expiry is not in the future; names the field.
        Forbidden: the key could do more than the caller's.
    """
    async with db.transaction(pool) as connection:
        if await store.get(connection, account_id) is None:
            raise NotFound(f"Account {account_id} does not exist.")
        if caller is not None:
            own = await lock_own(connection, caller)
            if grant.expires_at is None:
                grant = replace(grant, expires_at=own.expires_at)
            _check_within(grant, own)
        await _check(connection, account_id, grant)
        key_id, key = await insert(connection, account_id, name, grant)
        await audit.record(connection, by, "api_key.created", key_id, account_id=account_id)
        return key_id, key


async def change(
    pool: Pool,
    account_id: str,
    key_id: str,
    change: KeyChange,
    *,
    caller: Principal | None = None,
    by: Actor = COMMAND_LINE,
) -> ApiKey:
    """Change an API key.

    Raises:
        NotFound: it does not exist, is revoked, or is another account's.
        ValidationError: an agent does not exist, or the expiry is not in the future; names the field.
        Forbidden: it is the caller's own key, or could do more than that.
        Conflict: no key of the account could do everything any more.
    """
    async with db.transaction(pool) as connection:
        keys = await store.lock_keys(connection, account_id)
        key = keys.get(key_id)
        if key is None:
            raise _no_key(key_id)
        after = change.applied_to(key.grant)
        if caller is not None:
            own = await lock_own(connection, caller)
            if key_id == caller.key_id:
                raise Forbidden("A key cannot change itself. Use another key of the account.")
            # Also a key that can do more must not be changed: it could be made to last longer, for example.
            _check_within(after, own)
        if after != key.grant:
            await _check(connection, account_id, after, before=key.grant)
        if after != FULL:
            _check_not_last(list(keys.values()), key)
        name = key.name if change.name is UNSET else change.name
        if (after, name) != (key.grant, key.name):
            stored = await store.key_hash(connection, key_id) if key.grant == FULL and after != FULL else None
            await store.set_key(connection, key_id, name, after, stored and hash_of_limited(stored))
            await audit.record(connection, by, "api_key.changed", key_id, account_id=account_id)
        return replace(key, name=name, grant=after)


async def revoke(pool: Pool, account_id: str, key_id: str, *, by: Actor = COMMAND_LINE) -> None:
    """Revoke an API key for good.

    Raises:
        NotFound: it does not exist, is revoked, or is another account's.
        Conflict: it is the last key of the account that can do everything.
    """
    async with db.transaction(pool) as connection:
        # All keys are locked, so that two simultaneous requests cannot revoke the last two.
        keys = await store.lock_keys(connection, account_id)
        if key_id not in keys:
            raise _no_key(key_id)
        _check_not_last(list(keys.values()), keys[key_id])
        await store.set_revoked(connection, key_id)
        await audit.record(connection, by, "api_key.revoked", key_id, account_id=account_id)


async def insert(connection: Connection, account_id: str, name: str, grant: Grant = FULL) -> tuple[str, str]:
    """Insert a new key; returns (key id, API key)."""
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    return await insert_hashed(connection, account_id, name, hash_of(key), key[-4:], grant), key


async def insert_hashed(
    connection: Connection, account_id: str, name: str, key_hash: bytes, last4: str, grant: Grant
) -> str:
    """Insert an API key of which only the hash is known here; returns its id."""
    stored = key_hash if grant == FULL else hash_of_limited(key_hash)
    new = NewApiKey(new_id("key"), account_id, name, stored, last4, grant)
    await store.insert_key(connection, new)
    return new.id


def hash_of(key: str) -> bytes:
    """The hash of an API key, or of another secret of 256 random bits."""
    # A fast hash is enough: a key has 256 random bits, so nobody can guess it.
    return hashlib.sha256(key.encode(errors="replace")).digest()


def hash_of_limited(key_hash: bytes) -> bytes:
    """What is stored of any other key. Older versions do not find it; they would let the key do everything.

    docs/decisions/0033-older-processes-refuse-limited-keys.md gives the reason.
    """
    return hashlib.sha256(b"limited:" + key_hash).digest()


async def lock_own(connection: Connection, caller: Principal) -> Grant:
    """What the caller's key may do now. It is not revoked or changed during this transaction.

    Raises:
        Unauthorized: it was revoked since the request was authenticated.
        Forbidden: it may do less since then.
    """
    if caller.key_id is None:
        return caller.grant
    key = await store.lock_key(connection, caller.key_id)
    if key is None:
        raise Unauthorized("The API key was revoked.")
    if not caller.grant.is_within(key.grant):
        raise Forbidden("What this API key may do has changed. Send the request again.")
    return caller.grant


def _check_within(grant: Grant, own: Grant) -> None:
    if not grant.is_within(own):
        raise Forbidden(
            "A key cannot make or change one that can do more than itself: in its role, agents, limits or expiry."
        )


async def _check(connection: Connection, account_id: str, grant: Grant, before: Grant | None = None) -> None:
    named = sorted(grant.agent_ids or ())
    if grant.agent_ids is not None and (before is None or grant.agent_ids != before.agent_ids):
        known = {row["id"] for row in await connection.fetch(_AGENTS, named, account_id)}
        for agent_id in named:
            if agent_id not in known:
                raise ValidationError.at("agentIds", f"agent {agent_id} does not exist")
    if grant.expires_at is None or (before is not None and grant.expires_at == before.expires_at):
        return
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    if not now < grant.expires_at < now + MAX_LIFE:
        raise ValidationError.at("expiresAt", f"must be in the future, within {MAX_LIFE.days} days")


def _check_not_last(keys: list[ApiKey], key: ApiKey) -> None:
    """Check that another key stays which can do everything, and for as long.

    Raises:
        Conflict: there is none.
    """
    lasting = Grant(expires_at=key.grant.expires_at)
    if not lasting.is_within(key.grant):  # it cannot do everything itself
        return
    if not any(lasting.is_within(other.grant) for other in keys if other.id != key.id):
        raise Conflict(
            "This is the account's last API key that can do everything. Create another one before you revoke or "
            "change it."
        )


def _no_key(key_id: str) -> NotFound:
    return NotFound(f"API key {key_id} does not exist.")
