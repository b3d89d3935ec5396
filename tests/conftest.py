"""Fixtures of all tests: a real PostgreSQL per test process, and a fresh migrated database per test."""

import asyncio
import gc
import secrets
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from hypothesis import settings

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.embedded.postgres import Postgres
from tests import data_folder

TEMPLATE = "template_migrated"
settings.register_profile("tests", deadline=None)  # a slow machine must not fail a test
settings.load_profile("tests")


# Collecting imports everything and keeps it: the garbage collector would search it again and again for nothing.
gc.disable()


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        data_folder.reserve()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        data_folder.release()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse duplicate test ids: pytest-xdist would silently run only one of the tests that share an id."""
    ids = Counter(item.nodeid for item in items)
    if shared := [id_ for id_, count in ids.items() if count > 1]:
        raise pytest.UsageError(f"These ids stand for several tests each: {shared}")


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A temporary folder under /tmp whose path is short enough for Unix sockets below it."""
    folder = Path(tempfile.mkdtemp(prefix="ac-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A running server for this test process. Tests use `database_url` instead."""
    folder = Path(tempfile.mkdtemp(prefix="ac-pg-", dir="/tmp"))
    folder.chmod(0o711)  # PgBouncer, which does not run as root, connects to the socket in it
    data_folder.fill(folder)
    server = Postgres(folder, service_uid=data_folder.SERVICE_UID, is_durable=False)
    try:
        yield asyncio.run(server.start())
    finally:
        asyncio.run(server.stop())
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def migrated_template(postgres_url: str) -> str:
    """The name of a database with the current schema and no rows."""

    server = postgres_url.replace(
        "@/agentcontainer?", "@/postgres?"
    )  # PostgreSQL refuses to copy a database that has connections
    asyncio.run(_execute(server, f"CREATE DATABASE {TEMPLATE} TEMPLATE agentcontainer STRATEGY FILE_COPY"))
    return TEMPLATE


@pytest.fixture
async def database_url(postgres_url: str, migrated_template: str) -> AsyncIterator[str]:
    """A migrated database for this test alone; it is dropped afterwards even if connections are open."""
    name = f"test_{secrets.token_hex(6)}"
    await _execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {migrated_template} STRATEGY FILE_COPY")
    yield url_of_database(postgres_url, name)
    await _execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def empty_database_url(postgres_url: str) -> AsyncIterator[str]:
    """A database without tables, for this test alone."""
    name = f"test_{secrets.token_hex(6)}"
    await _execute(postgres_url, f"CREATE DATABASE {name}")
    yield url_of_database(postgres_url, name)
    await _execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """The application's pool on this test's database."""
    async with db.pool(database_url) as opened:
        yield opened


def url_of_database(server_url: str, name: str) -> str:
    return server_url.replace("@/agentcontainer?", f"@/{name}?")


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
