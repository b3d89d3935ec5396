"""SQL on accounts, API keys and provider keys.

The balance changes in ledger/store.py only.
"""

from collections.abc import Sequence

from agentcontainer import db
from agentcontainer.db import Connection, Page, Pool, Record
from agentcontainer.domain.accounts.model import (
    Account,
    ApiKey,
    KeyOwner,
    NewAccount,
    NewApiKey,
    OwnEndpoint,
    ProviderKey,
    SealedProviderKey,
)
from agentcontainer.domain.accounts.principal import Grant, Limits
from agentcontainer.domain.models.catalogue import Rates

_INSERT = "INSERT INTO accounts (id, name, email, billing_mode, is_operator) VALUES ($1, $2, $3, $4, $5)"
GRANT_COLUMNS = (
    "role", "agent_ids", "expires_at", "max_cost_micro_usd_per_day", "max_tasks_per_day", "max_priority",
)  # fmt: skip
_GRANT = ", ".join(GRANT_COLUMNS)
_INSERT_KEY = f"""
INSERT INTO api_keys (id, account_id, name, key_hash, last4, {_GRANT})
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""
_OWNER = f"""
SELECT k.id, k.account_id, (k.last_used_at < now() - interval '1 minute') IS NOT FALSE AS is_use_due,
    k.expires_at <= now() IS TRUE AS is_expired, a.is_operator, a.suspended_at IS NOT NULL AS is_suspended,
    {", ".join(f"k.{name}" for name in GRANT_COLUMNS)}
FROM api_keys k JOIN accounts a ON a.id = k.account_id
WHERE k.key_hash = ANY($1::bytea[]) AND k.revoked_at IS NULL
"""
_KEYS = f"""
SELECT id, name, created_at, last_used_at, last4, {_GRANT} FROM api_keys WHERE account_id = $1 AND revoked_at IS NULL
"""
_IS_VALID = """
SELECT EXISTS (SELECT FROM api_keys WHERE account_id = $1 AND id = $2 AND revoked_at IS NULL
    AND (expires_at IS NULL OR expires_at > now()))
"""
_LOCK_KEY = f"""
SELECT id, name, created_at, last_used_at, last4, {_GRANT} FROM api_keys WHERE id = $1 AND revoked_at IS NULL FOR SHARE
"""
_SET_KEY = """
UPDATE api_keys SET name = $2, key_hash = coalesce($3, key_hash), role = $4, agent_ids = $5, expires_at = $6,
    max_cost_micro_usd_per_day = $7, max_tasks_per_day = $8, max_priority = $9 WHERE id = $1
"""
_PUT_PROVIDER_KEY = """
INSERT INTO provider_keys (account_id, provider, ciphertext, last4, base_url, api, input_usd, output_usd,
                           cache_read_usd, cache_write_usd)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (account_id, provider)
DO UPDATE SET ciphertext = excluded.ciphertext, last4 = excluded.last4, base_url = excluded.base_url,
    api = excluded.api, input_usd = excluded.input_usd, output_usd = excluded.output_usd,
    cache_read_usd = excluded.cache_read_usd, cache_write_usd = excluded.cache_write_usd, created_at = now()
RETURNING *
"""
_DELETE_PROVIDER_KEY = "DELETE FROM provider_keys WHERE account_id = $1 AND provider = $2 RETURNING true"


async def insert(connection: Connection, account: NewAccount) -> None:
    await connection.execute(
        _INSERT, account.id, account.name, account.email, account.billing_mode, account.is_operator
    )


async def get(connection: Connection | Pool, account_id: str) -> Account | None:
    """The account. None: it does not exist, or is deleted."""
    row = await connection.fetchrow("SELECT * FROM accounts WHERE id = $1 AND deleted_at IS NULL", account_id)
    return Account(**{name: row[name] for name in Account.__dataclass_fields__}) if row else None


async def insert_key(connection: Connection, key: NewApiKey) -> None:
    await connection.execute(
        _INSERT_KEY, key.id, key.account_id, key.name, key.key_hash, key.last4, *_columns(key.grant)
    )


async def list_keys(
    pool: Pool,
    account_id: str,
    *,
    only_id: str | None = None,
    after_id: str | None,
    limit: int,
    is_descending: bool,
) -> Page[ApiKey]:
    """The account's API keys that are not revoked, by id from `after_id` on. `only_id`: only this one."""
    sign, direction = ("<", "DESC") if is_descending else (">", "ASC")
    query = f"{_KEYS} AND ($2::text IS NULL OR id {sign} $2) AND ($3::text IS NULL OR id = $3)"
    return await db.fetch_page(
        pool, query, account_id, after_id, only_id, order=f"id {direction}", limit=limit, of=_api_key
    )


async def get_key(connection: Connection | Pool, account_id: str, key_id: str) -> ApiKey | None:
    """An API key of the account that is not revoked. None: there is no such key."""
    row = await connection.fetchrow(f"{_KEYS} AND id = $2", account_id, key_id)
    return _api_key(row) if row else None


async def lock_keys(connection: Connection, account_id: str) -> dict[str, ApiKey]:
    """Lock all API keys of the account that are not revoked; returns them by id."""
    rows = await connection.fetch(f"{_KEYS} ORDER BY id FOR UPDATE", account_id)
    return {row["id"]: _api_key(row) for row in rows}


async def is_key_valid(pool: Pool, account_id: str, key_id: str) -> bool:
    """Whether the key is neither revoked nor expired."""
    return await pool.fetchval(_IS_VALID, account_id, key_id)


async def lock_key(connection: Connection, key_id: str) -> ApiKey | None:
    """A key that is not revoked, locked until the transaction ends. None: there is no such key."""
    row = await connection.fetchrow(_LOCK_KEY, key_id)
    return _api_key(row) if row else None


async def key_hash(connection: Connection, key_id: str) -> bytes:
    """What is stored of the key."""
    return await connection.fetchval("SELECT key_hash FROM api_keys WHERE id = $1", key_id)


async def set_key(
    connection: Connection, key_id: str, name: str, grant: Grant, new_hash: bytes | None
) -> None:
    """Change a key. `new_hash` None: it stays."""
    await connection.execute(_SET_KEY, key_id, name, new_hash, *_columns(grant))


async def set_revoked(connection: Connection, key_id: str) -> None:
    await connection.execute("UPDATE api_keys SET revoked_at = now() WHERE id = $1", key_id)


async def find_owner(pool: Pool, key_hashes: Sequence[bytes]) -> KeyOwner | None:
    """Whose API key has one of these hashes. None: it is unknown or revoked."""
    row = await pool.fetchrow(_OWNER, list(key_hashes))
    if row is None:
        return None
    return KeyOwner(
        row["id"], row["account_id"], row["is_use_due"], row["is_expired"], row["is_operator"],
        row["is_suspended"], grant_of(row),
    )  # fmt: skip


async def record_use(pool: Pool, key_id: str) -> None:
    await pool.execute("UPDATE api_keys SET last_used_at = now() WHERE id = $1", key_id)


async def put_provider_key(pool: Pool | Connection, key: SealedProviderKey) -> ProviderKey:
    """Store the key and its endpoint; they replace the whole earlier row."""
    endpoint = key.endpoint
    rates = endpoint.rates if endpoint else None
    prices = (rates.input, rates.output, rates.cache_read, rates.cache_write) if rates else (None,) * 4
    row = await pool.fetchrow(
        _PUT_PROVIDER_KEY, key.account_id, key.provider, key.ciphertext, key.last4,
        endpoint.base_url if endpoint else None, endpoint.protocol if endpoint else None, *prices,
    )  # fmt: skip
    assert row is not None
    return _provider_key(row)


async def list_provider_keys(pool: Pool | Connection, account_id: str) -> list[ProviderKey]:
    """The account's provider keys, by provider."""
    query = "SELECT * FROM provider_keys WHERE account_id = $1 ORDER BY provider"
    return [_provider_key(row) for row in await pool.fetch(query, account_id)]


async def delete_provider_key(pool: Connection | Pool, account_id: str, provider: str) -> bool:
    """Delete the key. False: there is none."""
    return bool(await pool.fetchval(_DELETE_PROVIDER_KEY, account_id, provider))


async def latest_provider_keys(pool: Pool | Connection, limit: int) -> list[tuple[str, str]]:
    """The account and provider of the keys and endpoints that were stored last, of all accounts."""
    query = "SELECT account_id, provider FROM provider_keys ORDER BY created_at DESC LIMIT $1"
    return [(row["account_id"], row["provider"]) for row in await pool.fetch(query, limit)]


async def count_endpoints(connection: Connection, account_id: str, *, without: str) -> int:
    """How many endpoints of its own the account has, not counting this one."""
    query = (
        "SELECT count(*) FROM provider_keys WHERE account_id = $1 AND base_url IS NOT NULL AND provider <> $2"
    )
    return await connection.fetchval(query, account_id, without)


async def sealed_provider_key(
    pool: Pool | Connection, account_id: str, provider: str
) -> SealedProviderKey | None:
    """The account's key for a provider, encrypted, with its endpoint. None: there is none."""
    query = "SELECT * FROM provider_keys WHERE account_id = $1 AND provider = $2"
    row = await pool.fetchrow(query, account_id, provider)
    if row is None:
        return None
    return SealedProviderKey(account_id, provider, row["ciphertext"], row["last4"], endpoint_of(row))


def _api_key(row: Record) -> ApiKey:
    return ApiKey(row["id"], row["name"], row["created_at"], row["last_used_at"], row["last4"], grant_of(row))


def grant_of(row: Record) -> Grant:
    """The grant in the columns of an API key."""
    limits = Limits(row["max_cost_micro_usd_per_day"], row["max_tasks_per_day"], row["max_priority"])
    agent_ids = row["agent_ids"]
    return Grant(row["role"], None if agent_ids is None else frozenset(agent_ids), limits, row["expires_at"])


def _columns(grant: Grant) -> tuple[object, ...]:
    """The values of the columns in `_GRANT`."""
    agent_ids = None if grant.agent_ids is None else sorted(grant.agent_ids)
    limits = grant.limits
    return (
        grant.role, agent_ids, grant.expires_at, limits.cost_micro_usd_per_day, limits.tasks_per_day,
        limits.max_priority,
    )  # fmt: skip


def _provider_key(row: Record) -> ProviderKey:
    return ProviderKey(row["provider"], row["last4"], row["created_at"], endpoint_of(row))


def endpoint_of(row: Record) -> OwnEndpoint | None:
    """The endpoint of a row of `provider_keys`. None: it has none."""
    if row["base_url"] is None:
        return None
    prices = [row[f"{kind}_usd"] for kind in ("input", "output", "cache_read", "cache_write")]
    return OwnEndpoint(row["base_url"], row["api"], None if prices[0] is None else Rates(*prices))
