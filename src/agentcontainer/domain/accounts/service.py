"""Accounts, their API keys, and the keys of their model providers."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from agentcontainer import db
from agentcontainer.db import Connection, Page, Pool, Record
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.ledger import service as ledger
from agentcontainer.errors import Conflict, NotFound, Unauthorized
from agentcontainer.ids import new_id

KEY_PREFIX = "ac_live_"

_ACCOUNT_OF_KEY = """
SELECT id, account_id, (last_used_at < now() - interval '1 minute') IS NOT FALSE AS is_stale
FROM api_keys WHERE key_hash = $1 AND revoked_at IS NULL
"""
_RECORD_USE = "UPDATE api_keys SET last_used_at = now() WHERE id = $1"
_KEYS = """
SELECT id, name, created_at, last_used_at FROM api_keys WHERE account_id = $1 AND revoked_at IS NULL
"""
_LOCK_KEYS = "SELECT id FROM api_keys WHERE account_id = $1 AND revoked_at IS NULL ORDER BY id FOR UPDATE"
_PUT_PROVIDER_KEY = """
INSERT INTO provider_keys (account_id, provider, ciphertext, last4) VALUES ($1, $2, $3, $4)
ON CONFLICT (account_id, provider)
DO UPDATE SET ciphertext = excluded.ciphertext, last4 = excluded.last4, created_at = now()
RETURNING provider, last4, created_at
"""


@dataclass(frozen=True)
class Account:
    """An account: it pays for tasks, and owns agents, tasks, files and keys."""

    id: str
    name: str
    email: str | None
    billing_mode: str
    balance_micro_usd: int
    created_at: datetime


@dataclass(frozen=True)
class ApiKey:
    """An API key as it is listed, without the key itself."""

    id: str
    name: str
    created_at: datetime
    last_used_at: datetime | None

    @classmethod
    def of(cls, row: Record) -> "ApiKey":
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class ProviderKey:
    """A provider key as it is listed, without the key itself."""

    provider: str
    last4: str
    created_at: datetime


async def create_account(
    pool: Pool, *, name: str, email: str | None = None, is_unlimited: bool = False, credit_micro_usd: int = 0
) -> tuple[str, str]:
    """Create an account with its first API key; returns (account id, API key). Only a hash of the key is stored."""
    account_id = new_id("acc")
    mode = "unlimited_grant" if is_unlimited else "standard"
    async with db.transaction(pool) as connection:
        await connection.execute(
            "INSERT INTO accounts (id, name, email, billing_mode) VALUES ($1, $2, $3, $4)",
            account_id,
            name,
            email,
            mode,
        )
        if credit_micro_usd:
            await ledger.credit(connection, account_id, credit_micro_usd)
        _, key = await _insert_key(connection, account_id, "default")
    return account_id, key


async def create_key(pool: Pool, account_id: str, name: str) -> tuple[str, str]:
    """Create a further API key; returns (key id, API key).

    Raises:
        NotFound: there is no such account.
    """
    async with db.transaction(pool) as connection:
        if not await connection.fetchval("SELECT true FROM accounts WHERE id = $1", account_id):
            raise NotFound(f"Account {account_id} does not exist.")
        return await _insert_key(connection, account_id, name)


async def list_keys(
    pool: Pool, account_id: str, *, after_id: str | None, limit: int, is_descending: bool
) -> Page[ApiKey]:
    """The account's API keys that are not revoked, by id from `after_id` on."""
    sign, direction = ("<", "DESC") if is_descending else (">", "ASC")
    query = f"{_KEYS} AND ($2::text IS NULL OR id {sign} $2)"
    return await db.fetch_page(
        pool, query, account_id, after_id, order=f"id {direction}", limit=limit, of=ApiKey.of
    )


async def get_key(connection: Connection | Pool, account_id: str, key_id: str) -> ApiKey:
    """An API key of the account.

    Raises:
        NotFound: it does not exist, is revoked, or is another account's.
    """
    row = await connection.fetchrow(f"{_KEYS} AND id = $2", account_id, key_id)
    if row is None:
        raise NotFound(f"API key {key_id} does not exist.")
    return ApiKey.of(row)


async def revoke_key(pool: Pool, account_id: str, key_id: str) -> None:
    """Revoke an API key: from now on requests with it are refused.

    Raises:
        NotFound: it does not exist, is revoked, or is another account's.
        Conflict: it is the account's last.
    """
    async with db.transaction(pool) as connection:
        # All keys are locked, so that two simultaneous requests cannot revoke the last two.
        valid_ids = [row["id"] for row in await connection.fetch(_LOCK_KEYS, account_id)]
        if key_id not in valid_ids:
            raise NotFound(f"API key {key_id} does not exist.")
        if len(valid_ids) == 1:
            raise Conflict("This is the account's last API key. Create another one before you revoke it.")
        await connection.execute("UPDATE api_keys SET revoked_at = now() WHERE id = $1", key_id)


async def authenticate(pool: Pool, key: str) -> tuple[str, str]:
    """Find the account of an API key; returns (key id, account id).

    Raises:
        Unauthorized: the key is unknown or revoked.
    """
    row = await pool.fetchrow(_ACCOUNT_OF_KEY, _hash(key))
    if row is None:
        raise Unauthorized("The API key is unknown or revoked. Send `Authorization: Bearer ac_live_…`.")
    if row["is_stale"]:
        await pool.execute(_RECORD_USE, row["id"])
    return row["id"], row["account_id"]


async def get(pool: Pool, account_id: str) -> Account:
    """The account with its balance."""
    row = await pool.fetchrow("SELECT * FROM accounts WHERE id = $1", account_id)
    if row is None:
        raise NotFound(f"Account {account_id} does not exist.")
    return Account(**{name: row[name] for name in Account.__dataclass_fields__})


async def put_provider_key(pool: Pool, vault: Vault, account_id: str, provider: str, key: str) -> ProviderKey:
    """Store the account's key for a provider, encrypted; replaces an earlier one."""
    sealed = vault.seal(key, f"{account_id}:{provider}")
    last4 = key[-4:] if len(key) >= 12 else ""  # never a large part of a short key
    row = await pool.fetchrow(_PUT_PROVIDER_KEY, account_id, provider, sealed, last4)
    assert row is not None
    return ProviderKey(row["provider"], row["last4"], row["created_at"])


async def list_provider_keys(pool: Pool, account_id: str) -> list[ProviderKey]:
    """The account's provider keys, without the keys themselves."""
    rows = await pool.fetch("SELECT * FROM provider_keys WHERE account_id = $1 ORDER BY provider", account_id)
    return [ProviderKey(row["provider"], row["last4"], row["created_at"]) for row in rows]


async def delete_provider_key(pool: Pool, account_id: str, provider: str) -> None:
    """Delete the account's key for a provider.

    Raises:
        NotFound: there is none.
    """
    query = "DELETE FROM provider_keys WHERE account_id = $1 AND provider = $2 RETURNING true"
    if not await pool.fetchval(query, account_id, provider):
        raise NotFound(f"There is no key for {provider}.")


async def open_provider_key(pool: Pool, vault: Vault, account_id: str, provider: str) -> str | None:
    """The account's key for a provider, decrypted, for the gateway only; None: there is none."""
    query = "SELECT ciphertext FROM provider_keys WHERE account_id = $1 AND provider = $2"
    ciphertext = await pool.fetchval(query, account_id, provider)
    return None if ciphertext is None else vault.open(ciphertext, f"{account_id}:{provider}")


async def _insert_key(connection: Connection, account_id: str, name: str) -> tuple[str, str]:
    key_id, key = new_id("key"), KEY_PREFIX + secrets.token_urlsafe(32)
    await connection.execute(
        "INSERT INTO api_keys (id, account_id, name, key_hash) VALUES ($1, $2, $3, $4)",
        key_id, account_id, name, _hash(key),
    )  # fmt: skip
    return key_id, key


def _hash(key: str) -> bytes:
    # A fast hash is enough: a key is 256 random bits, so nobody can guess it.
    return hashlib.sha256(key.encode(errors="replace")).digest()
