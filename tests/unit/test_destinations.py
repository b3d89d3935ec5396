"""Which destinations clients may choose."""

import asyncio
import ipaddress
import socket
import threading
from typing import Any

import aiohttp
import pytest

from agentcontainer.gateway.judged_client import judged_client
from agentcontainer.gateway.provider_response import unreachable
from agentcontainer.private_hosts import PrivateHosts
from agentcontainer.sandbox.destinations import DestinationRefused, Destinations

PRIVATE = Destinations(
    PrivateHosts.of(["ollama.corp", "*.models.corp", "10.1.0.0/16", "fd12::/16", "127.0.0.1"])
)
PUBLIC = Destinations()
EVERYTHING = Destinations(PrivateHosts.of(["*.corp", "0.0.0.0/0", "::/0"]), is_private_allowed=True)


@pytest.mark.parametrize(
    ("host", "address", "is_allowed"),
    [
        ("api.example", "93.184.216.34", True),
        ("ollama.corp", "192.168.1.5", True),
        ("OLLAMA.corp.", "192.168.1.5", True),
        ("a.models.corp", "172.16.0.1", True),
        ("models.corp", "172.16.0.1", False),
        ("evil.example", "192.168.1.5", False),
        ("evil.example", "10.1.2.3", True),
        ("evil.example", "10.2.2.3", False),
        ("evil.example", "fd12::1", True),
        ("evil.example", "fd13::1", False),
        ("evil.example", "::ffff:192.168.1.5", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.2", "127.0.0.2", False),
    ],
)
def test_private_hosts_name_what_is_allowed_besides_the_public_internet(
    host: str, address: str, is_allowed: bool
) -> None:
    assert PRIVATE.allows(host, ipaddress.ip_address(address)) == is_allowed
    is_public = address == "93.184.216.34"
    assert PUBLIC.allows(host, ipaddress.ip_address(address)) == is_public


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "169.254.0.1", "168.63.129.16", "100.100.100.200", "192.0.0.192", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "fe80::1", "ff02::1", "::", "fd00:ec2::254", "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
    ],
)  # fmt: skip
def test_link_local_and_metadata_addresses_are_never_allowed(address: str) -> None:
    assert not EVERYTHING.allows("metadata.corp", ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    ["https://api.example/v1", "https://api.example:8443", "http://ollama.corp:11434/v1", "http://10.1.2.3:8000/v1",
     "http://[fd12::1]:8000", "https://93.184.216.34"],
)  # fmt: skip
def test_a_base_url_is_https_or_of_a_named_host(url: str) -> None:
    assert PRIVATE.url_fault(url) is None


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://api.example/v1", "must start with https://, except for hosts"),
        ("ftp://api.example", "must start with https://"),
        ("https://user:secret@api.example", "must hold no user name"),
        ("https://api.example?key=secret", "must hold no user name"),
        ("https://api.example/#secret", "must hold no user name"),
        ("https://api.example:0", "must name a host"),
        ("https://api.example:x", "is not a URL"),
        ("https:///v1", "must name a host"),
        ("https://a b", "must be a URL"),
        ("https://\u00e9.example", "must be a URL"),
        ("https://localhost/v1", "must be on the public internet"),
        ("https://192.168.1.5", "must be on the public internet"),
        ("https://[::1]", "must be on the public internet"),
        ("https://169.254.169.254", "must be on the public internet"),
        ("https://[::ffff:169.254.169.254]", "must be on the public internet"),
        *[
            (f"https://{host}", "must write an address in full")
            for host in ("127.1", "2130706433", "0177.0.0.1", "0", "0x7f000001", "0X7F.1", "127.1.", "8.8.8")
        ],
    ],
)
def test_another_base_url_is_refused_without_its_text(url: str, fault: str) -> None:
    sentence = PRIVATE.url_fault(url)
    assert sentence is not None and sentence.startswith(fault)
    assert "secret" not in sentence


async def test_where_a_proxy_is_the_only_way_out_nothing_is_reached() -> None:
    destinations = Destinations(is_proxy_only=True)
    assert "AGENTCONTAINER_EGRESS_PROXY_ONLY" in (destinations.url_fault("https://api.example") or "")
    with pytest.raises(DestinationRefused, match="AGENTCONTAINER_EGRESS_PROXY_ONLY"):
        await destinations.addresses("93.184.216.34", 443)


async def test_a_name_is_judged_by_its_addresses() -> None:
    with pytest.raises(DestinationRefused, match="not on the public internet"):
        await PUBLIC.addresses("localhost", 443)
    assert await Destinations(PrivateHosts.of(["localhost"])).addresses("localhost", 443)


async def test_the_client_connects_to_judged_addresses_only() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://localhost:{server.sockets[0].getsockname()[1]}/"
    async with server:
        async with judged_client(PUBLIC) as client:
            with pytest.raises(aiohttp.ClientConnectorError) as refused:
                await client.get(url)
        assert unreachable(refused.value) == "cannot be reached: its host is not on the public internet"
        async with (
            judged_client(Destinations(PrivateHosts.of(["localhost"]))) as client,
            client.get(url) as response,
        ):
            assert response.status == 200


@pytest.mark.parametrize("entry", ["ollama.corp:80", "http://x", "10.0.0.0/99", "a b", "*"])
def test_a_wrong_entry_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match="must list host names"):
        PrivateHosts.of([entry])


async def test_name_servers_that_do_not_answer_hold_up_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    is_over, look_up = threading.Event(), socket.getaddrinfo

    def getaddrinfo(host: str, *arguments: Any, **options: Any) -> Any:
        if host == "silent.example":
            is_over.wait(30)
            raise OSError("no answer")
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    waiting = [asyncio.create_task(PUBLIC.addresses("silent.example", 443)) for _ in range(64)]
    try:
        async with asyncio.timeout(5):
            assert [str(address) for address in await PRIVATE.addresses("127.0.0.1", 80)] == ["127.0.0.1"]
            assert await asyncio.to_thread(lambda: "free") == "free"
    finally:
        waiting[0].cancel()
        is_over.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert [str(outcome) for outcome in outcomes[1:]] == ["no answer"] * 63
