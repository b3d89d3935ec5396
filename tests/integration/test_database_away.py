"""A database that is briefly unavailable is retried, whatever error it reports; a host that vanishes holds no lock."""

import asyncio
import contextlib
import secrets
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from agentcontainer import db
from agentcontainer.db import Pool, Timeouts
from agentcontainer.domain.accounts import service as accounts

LOCK = "SELECT FROM accounts WHERE id = $1 FOR UPDATE"


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


async def test_a_host_that_vanishes_in_a_transaction_does_not_keep_its_locks(
    pool: Pool, database_url: str
) -> None:
    account_id, _ = await accounts.create_account(pool, name="Test")
    vanished = await db.connect(database_url, timeouts=Timeouts(idle_in_transaction=1))
    try:
        transaction = vanished.transaction()
        await transaction.start()
        await vanished.execute(LOCK, account_id)  # its next statement never comes
        began_at = time.monotonic()
        await pool.execute(LOCK, account_id)
        assert time.monotonic() - began_at < 8
        with pytest.raises(db.UNREACHABLE):
            await vanished.execute("SELECT 1")
    finally:
        vanished.terminate()


async def test_a_wait_for_a_lock_is_bounded_and_retried(pool: Pool, database_url: str) -> None:
    account_id, _ = await accounts.create_account(pool, name="Test")
    refusals: list[Exception] = []
    async with db.pool(database_url, timeouts=Timeouts(lock=0.2)) as waiting:

        async def lock() -> None:
            try:
                await waiting.execute(LOCK, account_id)
            except Exception as error:
                refusals.append(error)
                raise

        async with db.transaction(pool) as holder:
            await holder.execute(LOCK, account_id)
            locking = asyncio.create_task(db.retry_while_unavailable(lock))
            while not refusals:
                await asyncio.sleep(0.01)
        await locking
    assert isinstance(refusals[0], asyncpg.LockNotAvailableError)


async def test_a_transaction_with_something_slow_in_it_may_pause(database_url: str) -> None:
    async with db.pool(database_url, timeouts=Timeouts(idle_in_transaction=0.3)) as pool:
        async with db.larger_transaction(pool) as transaction:
            await db.expect_pause(transaction.pool, 30)
            await asyncio.sleep(0.6)
            assert await transaction.connection.fetchval("SELECT 1") == 1
        await db.expect_pause(pool, 30)  # it has no transaction: nothing to do
        assert await pool.fetchval("SHOW idle_in_transaction_session_timeout") == "300ms"


@contextlib.asynccontextmanager
async def over_tcp(database_url: str) -> AsyncIterator[str]:
    """A URL that leads to the server, which listens on a Unix socket only, over TCP."""
    [folder], [port] = (parse_qs(urlsplit(database_url).query)[name] for name in ("host", "port"))
    target = Path(folder, f".s.PGSQL.{port}")

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_unix_connection(target)
        await asyncio.gather(pipe(reader, forth), pipe(back, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    own_port = server.sockets[0].getsockname()[1]
    parts = urlsplit(database_url)
    try:
        yield f"postgresql://{parts.username}@127.0.0.1:{own_port}{parts.path}"
    finally:
        server.close()


async def test_both_sides_of_a_connection_notice_that_the_other_has_vanished(database_url: str) -> None:
    async with over_tcp(database_url) as url:
        connection = await db.connect(url)
        try:
            shown = [await connection.fetchval(f"SHOW {name}") for name in (
                "idle_in_transaction_session_timeout", "lock_timeout",
            )]  # fmt: skip
            assert shown == ["10s", "20s"]
            transport: Any = getattr(connection, "_transport")  # noqa: B009 - asyncpg has no other way to the socket
            own: socket.socket = transport.get_extra_info("socket")
            assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
            options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            idle, interval, count = (own.getsockopt(socket.IPPROTO_TCP, option) for option in options)
            assert idle + interval * count <= 10
        finally:
            await connection.close()


def test_a_session_makes_the_server_detect_a_vanished_client() -> None:
    """Over a Unix socket, as in these tests, the server would show none of it."""
    settings = dict(part.removeprefix("SET ").split(" = ") for part in Timeouts().statement.split("; "))
    assert settings["tcp_user_timeout"] == "10000"
    probes = (settings[f"tcp_keepalives_{name}"] for name in ("idle", "interval", "count"))
    idle, interval, count = map(int, probes)
    assert idle + interval * count <= 10
