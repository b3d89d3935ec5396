"""A process proves that it belongs: its secret key, object store, shared settings and clock."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agentcontainer import db, settings
from agentcontainer.db import Pool
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.installation import service, store
from agentcontainer.domain.installation.service import Joined
from agentcontainer.domain.tasks import runners
from agentcontainer.errors import SettingsError
from agentcontainer.sandbox.uid_scope import UidScope, _outside, uid_scope
from agentcontainer.settings import Settings
from tests.shifted_clock import shift_clock

KEY, OTHER_KEY = "k" * 32, "o" * 32


class Process:
    """What a process of an installation starts with."""

    def __init__(
        self, pool: Pool, folder: Path, *, key: str = KEY, storage_url: str = "", **values: Any
    ) -> None:
        self.pool = pool
        self.settings = settings.load(secret_key=key, data_dir=folder, **values)
        self.vault = Vault(key)
        self.blobs = Blobs(storage_url or (folder / "blobs").as_uri())

    async def join(self) -> Joined:
        return await service.join(self.pool, self.settings, self.vault, self.blobs)

    async def faults(self) -> list[str]:
        examined = await service.examine(self.pool, self.settings, self.vault, self.blobs)
        return [fault.sentence for fault in examined.faults]


@pytest.fixture
async def first(pool: Pool, short_dir: Path) -> Process:
    """The first process of the installation; it has started."""
    process = Process(pool, short_dir, runner_lost_after_seconds=9, public_url="https://agents.example.com")
    await process.join()
    return process


async def joined_settings(process: Process) -> Settings:
    return (await process.join()).settings


async def test_a_process_gets_the_shared_settings_that_it_does_not_set(
    first: Process, pool: Pool, short_dir: Path
) -> None:
    completed = await joined_settings(Process(pool, short_dir))
    assert completed.runner_lost_after_seconds == 9
    assert completed.api_url == "https://agents.example.com"
    assert await store.public_url(pool) == "https://agents.example.com"


async def test_prices_of_a_file_are_those_of_all_processes(pool: Pool, short_dir: Path) -> None:
    prices = short_dir / "prices.json"
    prices.write_text(json.dumps({"anthropic": {"claude-sonnet-4-6": {"input": 1.25, "output": 5}}}))
    own = await joined_settings(Process(pool, short_dir, model_prices_file=str(prices)))
    completed = await joined_settings(Process(pool, short_dir))
    assert own.model_prices_file is not None and completed.model_prices_file is not None
    assert completed.model_prices_file.prices == own.model_prices_file.prices
    prices.write_text(json.dumps({"anthropic": {"claude-sonnet-4-6": {"input": 2, "output": 5}}}))
    with pytest.raises(SettingsError, match="AGENTCONTAINER_MODEL_PRICES_FILE is a file with the digest"):
        await Process(pool, short_dir, model_prices_file=str(prices)).join()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (
            "runner_lost_after_seconds",
            "7",
            "AGENTCONTAINER_RUNNER_LOST_AFTER_SECONDS is 7 here, but 9 in this",
        ),
        ("hold_usd", "0.75", "AGENTCONTAINER_HOLD_USD is 0.75 here, but 0.5 in this installation"),
        ("container_usd_per_minute", "1", "AGENTCONTAINER_CONTAINER_USD_PER_MINUTE is 1 here, but 0.05 in"),
        (
            "public_url",
            "http://127.0.0.1:1",
            "AGENTCONTAINER_PUBLIC_URL is http://127.0.0.1:1 here, but https://ag",
        ),
    ],
)
async def test_another_value_of_a_shared_setting_is_refused_until_it_is_adopted(
    first: Process, pool: Pool, short_dir: Path, name: str, value: str, sentence: str
) -> None:
    process = Process(pool, short_dir, **{name: value})
    with pytest.raises(SettingsError, match=sentence):
        await process.join()
    [change] = await service.adopt_settings(pool, process.settings)
    assert (change.name, change.after) == (name, value)
    await process.join()
    assert bool(await first.faults()) == (name in ("runner_lost_after_seconds", "public_url"))


async def test_adopting_all_settings_restores_defaults(first: Process, pool: Pool, short_dir: Path) -> None:
    process = Process(pool, short_dir)
    changes = {
        change.name: change.after
        for change in await service.adopt_settings(pool, process.settings, are_all=True)
    }
    assert changes == {"runner_lost_after_seconds": "10", "public_url": ""}
    assert await store.public_url(pool) is None


async def test_another_secret_key_is_refused_until_it_is_adopted(
    first: Process, pool: Pool, short_dir: Path
) -> None:
    process = Process(pool, short_dir, key=OTHER_KEY)
    with pytest.raises(
        SettingsError, match="AGENTCONTAINER_SECRET_KEY is not the secret key of this installation"
    ):
        await process.join()
    await service.adopt_secret_key(pool, process.vault)
    await process.join()
    assert len(await first.faults()) == 1


async def test_the_secret_key_of_an_installation_without_a_canary_opens_its_provider_keys(
    pool: Pool, short_dir: Path
) -> None:
    account_id, _ = await accounts.create_account(pool, name="Old")
    await accounts.put_provider_key(pool, Vault(KEY), account_id, "anthropic", "sk-ant-0123456789")
    with pytest.raises(SettingsError, match="AGENTCONTAINER_SECRET_KEY"):
        await Process(pool, short_dir, key=OTHER_KEY).join()
    await Process(pool, short_dir).join()


async def test_a_store_without_the_installations_id_is_refused_until_it_is_adopted(
    first: Process, pool: Pool, short_dir: Path
) -> None:
    process = Process(pool, short_dir, storage_url=f"file://{short_dir}/other")
    with pytest.raises(SettingsError, match="AGENTCONTAINER_STORAGE_URL is not the object store of this"):
        await process.join()
    assert not (short_dir / "other/installation").exists()
    await service.adopt_store(pool, process.blobs)
    await process.join()


async def test_a_store_of_another_installation_is_refused(pool: Pool, short_dir: Path) -> None:
    (short_dir / "blobs").mkdir()
    (short_dir / "blobs/installation").write_text("another id")
    with pytest.raises(SettingsError, match="is the object store of another installation"):
        await Process(pool, short_dir).join()


async def test_of_two_first_processes_with_different_stores_one_joins(pool: Pool, short_dir: Path) -> None:
    processes = [Process(pool, short_dir, storage_url=f"file://{short_dir}/{name}") for name in "ab"]
    ends = await asyncio.gather(*(process.join() for process in processes), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["Joined", "SettingsError"], ends


async def test_a_store_whose_id_disappears_is_noticed(first: Process, short_dir: Path) -> None:
    mark = short_dir / "blobs/installation"
    content = mark.read_bytes()
    mark.unlink()
    [fault] = await first.faults()
    assert "AGENTCONTAINER_STORAGE_URL" in fault
    mark.write_bytes(content)
    assert await first.faults() == []


@pytest.fixture
async def refusing_s3() -> AsyncIterator[str]:
    """An S3 server that refuses all credentials; its storage URL."""

    async def refuse(_: web.Request) -> web.Response:
        text = "<Error><Code>InvalidAccessKeyId</Code><Message>No such key.</Message></Error>"
        return web.Response(status=403, text=text, content_type="application/xml")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", refuse)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield f"s3://bucket/prefix?endpoint=http://127.0.0.1:{port}&region=eu-central-1"
    await runner.cleanup()


async def test_refused_credentials_of_the_store_are_named(
    pool: Pool, short_dir: Path, refusing_s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(SettingsError, match=r"AWS_ACCESS_KEY_ID.*refuses the access"):
        await Process(pool, short_dir, storage_url=refusing_s3).join()


async def test_a_clock_that_differs_by_more_than_five_seconds_is_refused_with_the_figure(
    database_url: str, pool: Pool, short_dir: Path
) -> None:
    await shift_clock(pool, 61)
    async with db.pool(database_url) as shifted:
        with pytest.raises(
            SettingsError, match=r"is 61\.[01] s behind that of the database server; 5 s are allowed"
        ):
            await Process(shifted, short_dir).join()


async def test_a_runner_on_the_same_kernel_with_the_same_uids_but_other_locks_is_found(pool: Pool) -> None:
    silence = timedelta(seconds=10)
    await runners.register(pool, "rnr_host", "any", "host-a", 1)
    await runners.record_host(pool, "rnr_host", 0, UidScope("boot", 700_000, "1:1"))
    for scope, host in (
        (UidScope("boot", 700_999, "1:2"), "host-a"),  # a container of that host
        (UidScope("boot", 701_000, "1:2"), None),
        (UidScope("boot", 700_000, "1:1"), None),  # it shares the locks
        (UidScope("other", 700_000, "1:2"), None),
    ):
        assert await runners.host_with_same_uids(pool, scope, silence) == host, scope
    await runners.stop(pool, ["rnr_host"])
    assert await runners.host_with_same_uids(pool, UidScope("boot", 700_000, "1:2"), silence) is None


def test_the_uids_are_those_outside_of_the_user_namespace() -> None:
    assert uid_scope(700_000, Path("/run/lock/agentcontainer")) is None or os.geteuid() == 0
    assert _outside(700_000, "0 0 4294967295\n") == 700_000
    assert _outside(700_000, "0 1000 1\n1 200000 1000000\n") == 899_999
