"""A database that is briefly unavailable is retried, whatever error it reports."""

import asyncio
import secrets

import asyncpg

from agentcontainer import db
from agentcontainer.db import Pool


async def test_a_database_at_its_connection_limit_is_retried(pool: Pool, database_url: str) -> None:
    role = f"one_{secrets.token_hex(6)}"
    await pool.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 1")
    try:
        url = database_url.replace("//agentcontainer@", f"//{role}@")
        only = await asyncpg.connect(url)
        waiting = asyncio.create_task(db.retry_while_unavailable(lambda: asyncpg.connect(url)))
        await asyncio.sleep(0.2)
        await only.close()
        await (await waiting).close()
    finally:
        await pool.execute(f"DROP ROLE {role}")
