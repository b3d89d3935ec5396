"""Filled databases for the tests of scale: made once as templates, copied for each run.

With SCALE_DIR, the server's data folder and with it the templates are kept there between runs.
"""

import hashlib
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from agentcontainer import db, settings
from agentcontainer.db import Pool
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.agents import standard
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.files.installation import INSTALLATION_ID_KEY
from agentcontainer.migrations.migrate import migrate
from agentcontainer.migrations.schema import HEAD
from agentcontainer.settings import Settings
from tests.conftest import url_of_database
from tests.scale import history

BUFFERS = """
SELECT sum(coalesce(heap_blks_hit, 0) + coalesce(heap_blks_read, 0) + coalesce(idx_blks_hit, 0)
    + coalesce(idx_blks_read, 0) + coalesce(toast_blks_hit, 0) + coalesce(toast_blks_read, 0)
    + coalesce(tidx_blks_hit, 0) + coalesce(tidx_blks_read, 0))::bigint
FROM pg_statio_user_tables
"""
SCANS = """
SELECT relname AS name, seq_scan AS scans FROM pg_stat_user_tables WHERE relname = ANY($1::text[])
UNION ALL SELECT indexrelname, idx_scan FROM pg_stat_user_indexes WHERE relname = ANY($1::text[])
"""


@dataclass(frozen=True)
class Measured:
    """What one call of a named query touched: buffers, and which indexes of the large tables; and how long it took."""

    buffers: int
    milliseconds: float
    indexes: list[str]
    whole_tables: list[str]
    """The large tables that it read from beginning to end."""


@dataclass
class Platform:
    """A filled database with what the product's functions need. `middle`: a finished task, older than half of the
    others. `conversation`: one with very many turns. `agent`: one with very many versions. `popular`: a file that very
    many ended tasks had as an input."""

    url: str
    account_id: str
    middle: str
    conversation: str
    turns: int
    agent: str
    popular: str
    pool: Pool
    settings: Settings
    vault: Vault
    blobs: Blobs
    measured: dict[str, Measured] = field(default_factory=dict[str, Measured])

    async def measure(self, name: str, call: Callable[["Platform"], Awaitable[Any]]) -> None:
        """Measure the seventh call: the first fill caches, and from the sixth on the server may keep one plan for all
        arguments."""
        for _ in range(6):
            await call(self)
        buffers, scans = await self._touched(), await self._scans()
        begin = time.perf_counter()
        await call(self)
        milliseconds = (time.perf_counter() - begin) * 1000
        buffers = await self._touched() - buffers
        after = await self._scans()
        used = sorted(name for name, count in after.items() if count > scans[name])
        self.measured[name] = Measured(
            buffers, milliseconds,
            [name for name in used if name not in history.TABLES], [name for name in used if name in history.TABLES],
        )  # fmt: skip

    async def _touched(self) -> int:
        await self.pool.fetchval("SELECT pg_stat_force_next_flush()")
        return await self.pool.fetchval(BUFFERS)

    async def _scans(self) -> dict[str, int]:
        rows = await self.pool.fetch(SCANS, list(history.TABLES))
        return {row["name"]: row["scans"] for row in rows}


@asynccontextmanager
async def opened(server_url: str, count: int, folder: Path) -> AsyncGenerator[Platform]:
    """A copy of the template with so many tasks. It is dropped at the end."""
    admin = await asyncpg.connect(server_url, timeout=30)
    name = f"scale_{count}"
    try:
        template = await _template(admin, server_url, count)
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY", timeout=600)
        async with AsyncExitStack() as stack:
            url = url_of_database(server_url, name)
            pool = await stack.enter_async_context(db.pool(url, max_size=1))
            yield await _platform(url, pool, folder / str(count))
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


async def _platform(url: str, pool: Pool, folder: Path) -> Platform:
    account_id = await pool.fetchval("SELECT id FROM accounts WHERE name = 'Test'")
    middle = await pool.fetchval(
        "SELECT id FROM tasks WHERE account_id = $1 AND status = 'finished' ORDER BY id "
        "OFFSET (SELECT count(*) FROM tasks) * 45 / 100 LIMIT 1",
        account_id,
    )
    await pool.execute("UPDATE runners SET heartbeat_at = now() + interval '1 day'")
    configured = settings.load(
        data_dir=Path("/tmp"), database_url=url, storage_url=f"file://{folder}", secret_key="k" * 32,
        file_quota_bytes=2**50,
    )  # fmt: skip
    blobs = Blobs(f"file://{folder}")
    installation_id: str = await pool.fetchval("SELECT id FROM installation")
    await blobs.put(INSTALLATION_ID_KEY, _chunk(installation_id.encode()), 1000)
    conversation, turns = await pool.fetchrow(
        "SELECT task_id, max(turn_number) FROM messages GROUP BY task_id ORDER BY 2 DESC LIMIT 1"
    )
    agent = await pool.fetchval(
        "SELECT agent_id FROM agent_versions GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
    )
    popular = await pool.fetchval("SELECT file_id FROM task_input_files LIMIT 1")
    return Platform(
        url, account_id, middle, conversation, turns, agent, popular, pool, configured, Vault("k" * 32), blobs
    )


async def _template(admin: asyncpg.Connection, server_url: str, count: int) -> str:
    """The name of the template, which is made if there is none of this schema and history."""
    version = hashlib.sha256(Path(history.__file__).read_bytes()).hexdigest()[:8]
    name = f"scale_template_{count}_{HEAD}_{version}"
    if await admin.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
        return name
    begin = time.monotonic()
    await admin.execute("DROP DATABASE IF EXISTS scale_new WITH (FORCE)")
    await admin.execute("CREATE DATABASE scale_new")
    url = url_of_database(server_url, "scale_new")
    await migrate(url)
    async with db.pool(url, max_size=1) as pool:
        await standard.install(pool)
        account_id, _ = await accounts.create_account(pool, name="Test", credit_micro_usd=10**15)
    await history.fill(url, account_id, count)
    await admin.execute(f"ALTER DATABASE scale_new RENAME TO {name}")
    print(f"\n{count} tasks were made in {time.monotonic() - begin:.0f} s")
    return name


def kept_folder() -> Path | None:
    """Where the server with the templates is kept between runs."""
    folder = os.environ.get("SCALE_DIR")
    return Path(folder) if folder else None


async def _chunk(content: bytes) -> AsyncIterator[bytes]:
    yield content
