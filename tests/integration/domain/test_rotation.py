"""The secret key is rotated: all that is stored is encrypted again, while others write."""

import asyncio
import itertools

import pytest

from agentcontainer.db import Pool
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.hibernation import wake_links
from agentcontainer.domain.installation import rotation, service, store
from agentcontainer.domain.installation.rotation import rotate
from agentcontainer.domain.tasks import repositories
from agentcontainer.domain.tasks.repositories import Repository
from agentcontainer.errors import SettingsError

from .conftest import MakeTask

OLD, NEW, BOTH = Vault("o" * 32), Vault("n" * 32), Vault(f"{'n' * 32}\n{'o' * 32}\n")
REPOSITORY = Repository("https://git.example/a.git", None, None, "token")


async def test_all_stored_secrets_are_opened_by_the_new_key_alone_afterwards(
    pool: Pool, account_id: str, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "BATCH", 2)
    await service.adopt_secret_key(pool, OLD)
    await accounts.put_provider_key(pool, OLD, account_id, "anthropic", "sk-ant-0123456789")
    task_ids = [await make_task("running") for _ in range(5)]
    for task_id in task_ids:
        stored = [repositories.to_json(one) for one in repositories.seal([REPOSITORY], OLD, task_id)]
        await pool.execute(
            "UPDATE tasks SET provider_key_ciphertext = $2, input_repositories = $3 WHERE id = $1",
            task_id, OLD.seal("sk-own", task_id), stored,
        )  # fmt: skip
        await pool.execute(
            "INSERT INTO messages (id, task_id, sequence, turn_number, role, status, content, provider_key_ciphertext) "
            "VALUES ($1, $2, 1, 1, 'user', 'queued', 'Hello', $3)",
            f"msg_{task_id}", task_id, OLD.seal("sk-message", task_id),
        )  # fmt: skip
    context = f"idempotency:{account_id}:key"
    await pool.execute(
        "INSERT INTO idempotency_keys (account_id, key, fingerprint, status, response) VALUES ($1, 'key', '', 200, $2)",
        account_id, OLD.seal("{}", context),
    )  # fmt: skip

    rotated = await rotate(pool, BOTH)
    assert (rotated.count, rotated.unreadable) == (17, [])
    key = await accounts.open_provider_key(pool, NEW, account_id, "anthropic")
    assert key is not None and key.key == "sk-ant-0123456789"
    for row in await pool.fetch("SELECT id, provider_key_ciphertext, input_repositories FROM tasks"):
        assert NEW.open(row["provider_key_ciphertext"], row["id"]) == "sk-own"
        tokens = [repositories.from_json(entry) for entry in row["input_repositories"]]
        assert repositories.unseal(tokens, NEW, row["id"]) == [REPOSITORY]
    for row in await pool.fetch("SELECT task_id, provider_key_ciphertext FROM messages"):
        assert NEW.open(row["provider_key_ciphertext"], row["task_id"]) == "sk-message"
    assert NEW.open(await pool.fetchval("SELECT response FROM idempotency_keys"), context) == "{}"
    installation = await store.get(pool)
    assert installation.canary is not None
    assert NEW.open(installation.canary, installation.canary_context) == installation.id
    assert (await rotate(pool, BOTH)).count == 0


async def test_each_column_of_bytes_is_rotated_unless_it_is_a_hash(pool: Pool) -> None:
    rows = await pool.fetch(
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = 'public' AND data_type = 'bytea'"
    )
    in_json = {("tasks", "input_repositories")}
    hashes = {tuple(row) for row in rows if row["column_name"].endswith("_hash")}
    assert {tuple(row) for row in rows} - hashes == rotation.SEALED_COLUMNS - in_json, (
        "If the secret key encrypts the column, add it to domain/installation/rotation.py, which must encrypt it again."
    )


async def test_keys_that_are_stored_meanwhile_are_neither_lost_nor_left_with_the_old_key(
    pool: Pool, account_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "BATCH", 3)
    await service.adopt_secret_key(pool, OLD)
    accounts_with_keys = [(await accounts.create_account(pool, name="Test"))[0] for _ in range(20)]
    for each in accounts_with_keys:
        await accounts.put_provider_key(pool, OLD, each, "openai", "sk-0")
    latest = dict.fromkeys(accounts_with_keys, "sk-0")
    is_rotated = asyncio.Event()

    async def write() -> None:
        for number, each in enumerate(itertools.cycle(accounts_with_keys)):
            if is_rotated.is_set():
                return
            latest[each] = f"sk-{number}"
            await accounts.put_provider_key(pool, BOTH, each, "openai", latest[each])

    writing = asyncio.create_task(write())
    rotated = await rotate(pool, BOTH)
    is_rotated.set()
    await writing
    assert rotated.unreadable == []
    for each in accounts_with_keys:
        key = await accounts.open_provider_key(pool, NEW, each, "openai")
        assert key is not None and key.key == latest[each]


async def test_a_secret_that_no_key_opens_is_named_and_left_alone(pool: Pool, account_id: str) -> None:
    await service.adopt_secret_key(pool, OLD)
    await accounts.put_provider_key(pool, Vault("x" * 32), account_id, "openai", "sk-0123456789")
    rotated = await rotate(pool, BOTH)
    assert rotated.unreadable == [f"the key of {account_id} for openai"]


async def test_a_key_that_is_not_of_the_installation_rotates_nothing(pool: Pool, account_id: str) -> None:
    await service.adopt_secret_key(pool, OLD)
    with pytest.raises(SettingsError, match="is not the secret key of this installation"):
        await rotate(pool, NEW)


def test_links_that_were_signed_with_an_older_key_hold() -> None:
    link_id, _, signature = wake_links.token_of(OLD, "wkl_1").partition("-")
    assert BOTH.is_signed(signature, "wake", link_id)
    assert not NEW.is_signed(signature, "wake", link_id)
    assert NEW.is_signed(BOTH.sign("wake", link_id), "wake", link_id)
