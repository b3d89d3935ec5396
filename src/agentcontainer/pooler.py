"""Finds out whether a database URL leads to a pooler that gives each transaction another session, as PgBouncer can."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from agentcontainer import db
from agentcontainer.errors import SettingsError
from agentcontainer.settings import Settings

logger = logging.getLogger(__name__)

ROUNDS = 3  # other clients of the pooler may disturb one
FREE_SECONDS = 2.0  # for a session that the pooler gave to another client
ANSWER_SECONDS = 10.0
_PID = "SELECT pg_backend_pid()"
_SERVER = "SELECT current_database()::text, pg_postmaster_start_time()::text"
_LIMITS = """
SELECT name FROM pg_settings WHERE name IN ('lock_timeout', 'idle_in_transaction_session_timeout') AND setting = '0'
ORDER BY name
"""

POOLED = (
    "AGENTCONTAINER_DATABASE_URL leads to a connection pooler in transaction mode, such as PgBouncer. Notifications "
    "and locks do not work through it. Set AGENTCONTAINER_DATABASE_DIRECT_URL to the URL of PostgreSQL itself as "
    "well, or use the pooler in session mode."
)
DIRECT_IS_POOLED = (
    "AGENTCONTAINER_DATABASE_DIRECT_URL leads to a connection pooler in transaction mode. Set it to the URL of "
    "PostgreSQL itself."
)
OTHER_DATABASE = (
    "AGENTCONTAINER_DATABASE_DIRECT_URL leads to another database than AGENTCONTAINER_DATABASE_URL. Set it to the "
    "database behind the pooler."
)


async def check(settings: Settings) -> None:
    """Check that the database can be reached, and that what needs a session of its own gets one.

    Raises:
        SettingsError: it would not; says which setting is wrong.
        OSError, TimeoutError, PostgresError: the database cannot be reached.
    """
    url, direct_url = settings.database_url, settings.database_direct_url
    assert url is not None
    if direct_url is None:
        if await is_transaction_pooled(url):
            raise SettingsError(POOLED)
        return
    if await is_transaction_pooled(direct_url):
        raise SettingsError(DIRECT_IS_POOLED)
    async with _connection(url) as pooled, _connection(direct_url) as direct:
        if await pooled.fetchrow(_SERVER) != await direct.fetchrow(_SERVER):
            raise SettingsError(OTHER_DATABASE)
        if unlimited := [row["name"] for row in await pooled.fetch(_LIMITS)]:
            logger.warning(
                "Sessions of the pooler of AGENTCONTAINER_DATABASE_URL have no %s: a host that loses power can lock "
                "rows for hours. Set a limit in the pooler's connect_query.", " and no ".join(unlimited),
            )  # fmt: skip


async def is_transaction_pooled(url: str) -> bool:
    """Whether one client gets several sessions of the server, or two clients the same one."""
    async with _connection(url) as first, _connection(url) as second:
        for _ in range(ROUNDS):
            before = {await first.fetchval(_PID), await first.fetchval(_PID)}
            await second.execute("BEGIN")
            other = await second.fetchval(_PID)
            asked = asyncio.create_task(first.fetchval(_PID))
            await asyncio.wait([asked], timeout=FREE_SECONDS)
            has_to_wait = not asked.done()  # for the pooler's only session, which the other client uses
            await second.execute("ROLLBACK")
            if before != {await asked} or other in before or has_to_wait:
                return True
    return False


@asynccontextmanager
async def _connection(url: str) -> AsyncGenerator[db.RawConnection]:
    connection = await db.connect(url, is_pooled=True, statement_cache_size=0, command_timeout=ANSWER_SECONDS)
    try:
        yield connection
    finally:
        connection.terminate()
