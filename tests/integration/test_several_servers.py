"""A URL that names several servers: a server whose host is gone does not delay a connection to another one."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from agentcontainer import db
from tests.acceptance.relay import Relay


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def url(database_url: str, silent_port: int) -> Iterator[str]:
    """Names a silent server first, and then this test's database."""
    parts = urlsplit(database_url)
    folder = Path(parse_qs(parts.query)["host"][0])
    [path] = [path for path in folder.glob(".s.PGSQL.*") if path.suffix != ".lock"]
    relay = Relay(path)
    hosts = f"127.0.0.1:{silent_port},127.0.0.1:{relay.listens}"
    yield f"postgresql://agentcontainer@{hosts}{parts.path}?target_session_attrs=read-write&sslmode=disable"
    relay.end()


async def test_a_silent_server_delays_nothing(url: str) -> None:
    began_at = time.monotonic()
    connection = await db.connect(url)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    async with db.pool(url) as pool:
        assert await pool.fetchval("SELECT 1") == 1
    assert time.monotonic() - began_at < 5


async def test_no_server_has_the_role(url: str, silent_port: int) -> None:
    standby = url.replace("read-write", "standby").replace(f"127.0.0.1:{silent_port}", "127.0.0.1:9")
    with pytest.raises((OSError, asyncpg.TargetServerAttributeNotMatched)):
        await db.connect(standby)
