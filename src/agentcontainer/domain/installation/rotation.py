"""Encrypts all stored secrets again with the first secret key, in batches, while the platform works.

A row is changed only if it still has the ciphertext that was read, and a ciphertext of the first key is left as it is.
So the rotation can be ended at any time and run again.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from agentcontainer.db import Pool, Record
from agentcontainer.domain.accounts.service import key_context
from agentcontainer.domain.accounts.store import endpoint_of
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.installation import store
from agentcontainer.domain.installation.service import OTHER_KEY
from agentcontainer.domain.tasks import repositories
from agentcontainer.domain.webhooks import service as webhooks
from agentcontainer.errors import SettingsError

BATCH = 500  # rows
MAX_PASSES = 5
SEALED_COLUMNS = frozenset({
    ("provider_keys", "ciphertext"), ("tasks", "provider_key_ciphertext"), ("messages", "provider_key_ciphertext"),
    ("tasks", "input_repositories"), ("idempotency_keys", "response"), ("installation", "canary"),
    ("webhook_endpoints", "secret"), ("webhook_endpoints", "previous_secret"),
    ("callback_secrets", "secret"), ("callback_secrets", "previous_secret"),
})  # fmt: skip
"""(table, column) of everything that the secret key encrypts. A test compares them with the schema and the code."""

_PROVIDER_KEYS = """
SELECT * FROM provider_keys WHERE ciphertext IS NOT NULL AND (account_id, provider) > ($1, $2)
ORDER BY account_id, provider LIMIT $3
"""
_PUT_PROVIDER_KEY = """
UPDATE provider_keys SET ciphertext = $4 WHERE account_id = $1 AND provider = $2 AND ciphertext = $3
"""
_TASK_KEYS = """
SELECT id, provider_key_ciphertext AS ciphertext FROM tasks
WHERE provider_key_ciphertext IS NOT NULL AND id > $1 ORDER BY id LIMIT $2
"""
_PUT_TASK_KEY = "UPDATE tasks SET provider_key_ciphertext = $3 WHERE id = $1 AND provider_key_ciphertext = $2"
_MESSAGE_KEYS = """
SELECT id, task_id, provider_key_ciphertext AS ciphertext FROM messages
WHERE provider_key_ciphertext IS NOT NULL AND id > $1 ORDER BY id LIMIT $2
"""
_PUT_MESSAGE_KEY = (
    "UPDATE messages SET provider_key_ciphertext = $3 WHERE id = $1 AND provider_key_ciphertext = $2"
)
_REPOSITORIES = """
SELECT id, input_repositories FROM tasks
WHERE input_repositories @? '$[*].sealedToken' AND id > $1 ORDER BY id LIMIT $2
"""
_PUT_REPOSITORIES = "UPDATE tasks SET input_repositories = $3 WHERE id = $1 AND input_repositories = $2"
_WEBHOOK_SECRETS = """
SELECT id, secret, previous_secret FROM webhook_endpoints
WHERE (secret IS NOT NULL OR previous_secret IS NOT NULL) AND id > $1 ORDER BY id LIMIT $2
"""
_CALLBACK_SECRETS = """
SELECT account_id AS id, secret, previous_secret FROM callback_secrets
WHERE account_id > $1 ORDER BY account_id LIMIT $2
"""
_PUT_SECRETS = """
UPDATE {table} SET secret = $2, previous_secret = $3
WHERE {key} = $1 AND secret IS NOT DISTINCT FROM $4 AND previous_secret IS NOT DISTINCT FROM $5
"""
_PUT_WEBHOOK_SECRETS = _PUT_SECRETS.format(table="webhook_endpoints", key="id")
_PUT_CALLBACK_SECRETS = _PUT_SECRETS.format(table="callback_secrets", key="account_id")
_RESPONSES = """
SELECT account_id, key, response AS ciphertext FROM idempotency_keys WHERE (account_id, key) > ($1, $2)
ORDER BY account_id, key LIMIT $3
"""
_PUT_RESPONSE = """
UPDATE idempotency_keys SET response = $4 WHERE account_id = $1 AND key = $2 AND response = $3
"""


@dataclass
class Rotated:
    """How many secrets were encrypted again, and which could not be opened with any of the keys."""

    count: int = 0
    unreadable: list[str] = field(default_factory=list[str])


async def rotate(pool: Pool, vault: Vault) -> Rotated:
    """Encrypt every stored secret with the first key.

    Raises:
        SettingsError: none of the keys is the installation's.
    """
    row = await store.get(pool)
    if row.canary is None:
        raise SettingsError("No API or runner has started yet, so that there is nothing to encrypt again.")
    try:
        canary = vault.resealed(row.canary, row.canary_context)
    except SettingsError:
        raise SettingsError(OTHER_KEY) from None
    rotated, count = Rotated(), 0
    # A turn that begins moves a key from a message to its task, perhaps to a row that was read before.
    for _ in range(MAX_PASSES):
        rotated = await _one_pass(pool, vault)
        count += rotated.count
        if rotated.count == 0:
            break
    if canary is not None:
        await store.set_canary(pool, canary)  # last: from now on a process without the first key is refused
    return Rotated(count, rotated.unreadable)


async def _one_pass(pool: Pool, vault: Vault) -> Rotated:
    """Read all stored secrets once, and encrypt those again that the first key did not encrypt."""
    rotated = Rotated()
    await _provider_keys(pool, vault, rotated)
    await _keys_of_messages(pool, vault, rotated)
    await _keys_of_tasks(pool, vault, rotated)
    await _tokens(pool, vault, rotated)
    await _responses(pool, vault, rotated)
    await _signing_secrets(
        pool, vault, rotated, _WEBHOOK_SECRETS, _PUT_WEBHOOK_SECRETS, webhooks.secret_context
    )
    await _signing_secrets(
        pool, vault, rotated, _CALLBACK_SECRETS, _PUT_CALLBACK_SECRETS, webhooks.callback_context
    )
    return rotated


async def _provider_keys(pool: Pool, vault: Vault, rotated: Rotated) -> None:
    async for row in _rows(pool, _PROVIDER_KEYS, ("account_id", "provider")):
        context = key_context(row["account_id"], row["provider"], endpoint_of(row))
        name = f"the key of {row['account_id']} for {row['provider']}"
        if (new := _resealed(vault, row["ciphertext"], context, name, rotated)) is not None:
            await pool.execute(_PUT_PROVIDER_KEY, row["account_id"], row["provider"], row["ciphertext"], new)


async def _keys_of_tasks(pool: Pool, vault: Vault, rotated: Rotated) -> None:
    async for row in _rows(pool, _TASK_KEYS, ("id",)):
        new = _resealed(vault, row["ciphertext"], row["id"], f"the provider key of {row['id']}", rotated)
        if new is not None:
            await pool.execute(_PUT_TASK_KEY, row["id"], row["ciphertext"], new)


async def _keys_of_messages(pool: Pool, vault: Vault, rotated: Rotated) -> None:
    async for row in _rows(pool, _MESSAGE_KEYS, ("id",)):
        name = f"the provider key of message {row['id']}"
        if (new := _resealed(vault, row["ciphertext"], row["task_id"], name, rotated)) is not None:
            await pool.execute(_PUT_MESSAGE_KEY, row["id"], row["ciphertext"], new)


async def _tokens(pool: Pool, vault: Vault, rotated: Rotated) -> None:
    async for row in _rows(pool, _REPOSITORIES, ("id",)):
        try:
            new = repositories.resealed(row["input_repositories"], vault, row["id"])
        except SettingsError:
            rotated.unreadable.append(f"a repository token of {row['id']}")
            continue
        if new is not None:
            rotated.count += 1
            await pool.execute(_PUT_REPOSITORIES, row["id"], row["input_repositories"], new)


async def _responses(pool: Pool, vault: Vault, rotated: Rotated) -> None:
    async for row in _rows(pool, _RESPONSES, ("account_id", "key")):
        context = f"idempotency:{row['account_id']}:{row['key']}"
        name = f"the stored response to an Idempotency-Key of {row['account_id']}"
        if (new := _resealed(vault, row["ciphertext"], context, name, rotated)) is not None:
            await pool.execute(_PUT_RESPONSE, row["account_id"], row["key"], row["ciphertext"], new)


async def _signing_secrets(
    pool: Pool, vault: Vault, rotated: Rotated, query: str, put: str, context_of: Callable[[str], str]
) -> None:
    """Encrypt the secrets of webhooks or of callbacks again: the present one, and one that is being replaced."""
    async for row in _rows(pool, query, ("id",)):
        stored, context = (row["secret"], row["previous_secret"]), context_of(row["id"])
        name = f"a secret of {context}"
        new = [sealed and (_resealed(vault, sealed, context, name, rotated) or sealed) for sealed in stored]
        if new != list(stored):
            await pool.execute(put, row["id"], *new, *stored)


def _resealed(vault: Vault, ciphertext: bytes, context: str, name: str, rotated: Rotated) -> bytes | None:
    try:
        new = vault.resealed(ciphertext, context)
    except SettingsError:
        rotated.unreadable.append(name)
        return None
    rotated.count += new is not None
    return new


async def _rows(pool: Pool, query: str, key: Sequence[str]) -> AsyncGenerator[Record]:
    """The rows of `query`, which takes the last key and a limit, batch by batch."""
    last: tuple[str, ...] = ("",) * len(key)
    while rows := await pool.fetch(query, *last, BATCH):
        for row in rows:
            yield row
        last = tuple(rows[-1][name] for name in key)
