"""Tells who sent a request, and the scheme that the client used, also through trusted reverse proxies.

A proxy appends the address of its own client to `X-Forwarded-For` or `Forwarded`. So the entries are read from the
right, and the first one that is no trusted proxy is the client. What stands left of it may be forged.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from starlette.datastructures import Headers
from starlette.types import Scope

from agentcontainer.settings import Settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Scheme = Literal["http", "https"]

MAX_ENTRIES = 50  # of one header; a longer one is not read
_PAIR = re.compile(r'\s*([A-Za-z-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^";,\s]+)\s*')


@dataclass(frozen=True)
class Sender:
    """The client of a request. `address` None: not known, for instance of a request without a network connection."""

    address: str | None
    scheme: Scheme


def sender_of(scope: Scope, settings: Settings) -> Sender:
    """The client of this request.

    If `Forwarded` and `X-Forwarded-For` are both sent and differ, one of them is the client's own invention, and the
    proxy itself counts as the client.
    """
    client: tuple[str, int] | None = scope.get("client")
    peer = _address(client[0]) if client else None
    scheme: Scheme = "https" if scope.get("scheme") == "https" else "http"
    trusted = _networks(settings.trusted_proxies)
    if peer is None or not _is_in(peer, trusted):
        return Sender(str(peer) if peer else None, scheme)
    headers = Headers(scope=scope)
    forwarded = _forwarded(headers.getlist("forwarded"))
    by_old_header = _split(headers.getlist("x-forwarded-for"))
    chains = [chain for chain in ([entry.get("for", "") for entry in forwarded], by_old_header) if chain]
    clients = {_client(chain, peer, trusted) for chain in chains}
    address = clients.pop() if len(clients) == 1 else peer
    protocols = _split(headers.getlist("x-forwarded-proto")) or [
        entry["proto"] for entry in forwarded if "proto" in entry
    ]
    if protocols:
        scheme = "https" if protocols[-1].lower() == "https" else "http"
    return Sender(str(address), scheme)


@lru_cache(maxsize=8)
def _networks(entries: tuple[str, ...]) -> Sequence[Network]:
    return [ipaddress.ip_network(entry.strip("[]")) for entry in entries]


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _client(chain: Sequence[str], peer: Address, trusted: Sequence[Network]) -> Address:
    """The rightmost address that is no trusted proxy. An entry that is no address ends the search."""
    client = peer
    for entry in reversed(chain):
        address = _address(entry)
        if address is None:
            return client
        client = address
        if not _is_in(address, trusted):
            return client
    return client


def _address(text: str) -> Address | None:
    """An address as proxies write it: also `192.0.2.1:4711`, `[2001:db8::1]:4711`, and IPv4 within IPv6."""
    text = text.strip().strip('"')
    if (bracketed := re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::\d+)?", text)) is not None:
        text = bracketed[1]
    elif re.fullmatch(r"[\d.]+:\d+", text):
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _split(lines: Sequence[str]) -> list[str]:
    entries = [entry.strip() for line in lines for entry in line.split(",") if entry.strip()]
    return entries if len(entries) <= MAX_ENTRIES else []


def _forwarded(lines: Sequence[str]) -> list[dict[str, str]]:
    """The elements of `Forwarded` (RFC 7239): name → value."""
    return [
        {name.lower(): value.strip('"') for name, value in _PAIR.findall(element)}
        for element in _split(lines)
    ]
