"""The clone proxy connects to one host, at public addresses only, and stops at its byte limit."""

import asyncio
import ipaddress
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentcontainer.runner.workspace.clone_proxy import CloneProxy
from agentcontainer.sandbox.addresses import is_public
from agentcontainer.sandbox.destinations import Destinations

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
# Longer than the greeting that its first two bytes announce, so that the proxy need not wait for more.
HTTP_REQUEST = b"GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: git/2.50\r\nAccept: */*\r\n\r\n"


@pytest.mark.parametrize("address", ["8.8.8.8", "140.82.121.3", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_are_recognised(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "168.63.129.16", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.0.8", "198.18.0.1", "203.0.113.1",
        "::1", "::", "fe80::1",
        "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::1", "100::1",
    ],
)  # fmt: skip
def test_non_public_addresses_are_recognised(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """The port of an echo server on loopback."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(4096):
            writer.write(chunk)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def connect(path: Path, host: str, port: int) -> tuple[int, Streams]:
    """The clone proxy's reply to a SOCKS5 request with a host name."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"\5\1\0")
    assert await reader.readexactly(2) == b"\5\0"
    writer.write(b"\5\1\0\3" + bytes([len(host)]) + host.encode() + struct.pack("!H", port))
    return (await reader.readexactly(10))[1], (reader, writer)


async def answer(path: Path, host: str, port: int) -> int:
    code, (_, writer) = await connect(path, host, port)
    writer.close()
    await writer.wait_closed()
    return code


async def test_only_the_named_host_and_port_are_let_through(short_dir: Path, echo: int) -> None:
    clone_proxy = CloneProxy(
        "localhost", echo, max_bytes=1000, destinations=Destinations(is_private_allowed=True)
    )
    await clone_proxy.start(short_dir / "s")
    for host, port in (("127.0.0.1", echo), ("example.org", echo), ("localhost", echo + 1)):
        assert await answer(short_dir / "s", host, port) != 0
        assert "another host" in (clone_proxy.refusal or "")
    code, (reader, writer) = await connect(short_dir / "s", "LOCALHOST", echo)
    assert code == 0
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    await clone_proxy.close()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_a_host_with_a_private_address_is_not_connected_to(short_dir: Path, echo: int) -> None:
    clone_proxy = CloneProxy("localhost", echo, max_bytes=1000, destinations=Destinations())
    await clone_proxy.start(short_dir / "s")
    assert await answer(short_dir / "s", "localhost", echo) != 0
    assert clone_proxy.refusal == "its host is not on the public internet"
    await clone_proxy.close()


async def test_the_connection_is_cut_at_the_byte_limit(short_dir: Path, echo: int) -> None:
    clone_proxy = CloneProxy(
        "127.0.0.1", echo, max_bytes=10_000, destinations=Destinations(is_private_allowed=True)
    )
    await clone_proxy.start(short_dir / "s")
    _, (reader, writer) = await connect(short_dir / "s", "127.0.0.1", echo)
    writer.write(bytes(20_000))
    assert len(await reader.read(-1)) <= 10_000
    assert clone_proxy.is_over
    writer.close()
    await clone_proxy.close()


async def test_a_dead_port_and_invalid_requests_are_refused(short_dir: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    clone_proxy = CloneProxy(
        "127.0.0.1", port, max_bytes=1, destinations=Destinations(is_private_allowed=True)
    )
    await clone_proxy.start(short_dir / "s")
    assert await answer(short_dir / "s", "127.0.0.1", port) != 0
    assert clone_proxy.refusal == "its host cannot be reached"
    for nonsense in (HTTP_REQUEST, b"\5\1\2", b"\5\1\0\5\2\0\1\0\0\0\0\0\0"):
        reader, writer = await asyncio.open_unix_connection(short_dir / "s")
        writer.write(nonsense)
        assert await reader.read() in (b"", b"\5\0")
        writer.close()
    await clone_proxy.close()


async def test_a_client_that_sends_half_a_greeting_is_disconnected(short_dir: Path) -> None:
    clone_proxy = CloneProxy(
        "127.0.0.1", 1, max_bytes=1, destinations=Destinations(is_private_allowed=True), handshake_seconds=0.1
    )
    await clone_proxy.start(short_dir / "s")
    reader, writer = await asyncio.open_unix_connection(short_dir / "s")
    writer.write(b"\5")
    assert await reader.read() == b""
    writer.close()
    await clone_proxy.close()
