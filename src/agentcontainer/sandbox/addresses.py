"""Decides which addresses are on the public internet.

Every connection that leaves for a sandbox is checked here.
"""

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# No sandbox and no clone may reach these, nor what `ipaddress` calls not global.
PRIVATE_NETWORKS = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
    *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
    *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    "168.63.129.16/32",  # Azure's metadata and DNS service, reachable from every Azure machine
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_PRIVATE = tuple(ipaddress.ip_network(network) for network in PRIVATE_NETWORKS)


def is_public(address: Address) -> bool:
    """Whether an address is on the public internet; for IPv6, also every IPv4 address embedded in it."""
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not any(address in network for network in _PRIVATE)
    if not all(is_public(inner) for inner in embedded_in(address)):
        return False
    is_reserved = address.is_reserved and address not in _NAT64
    return address.is_global and not (address.is_multicast or address.is_site_local or is_reserved)


def embedded_in(address: Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that an IPv6 address contains, to which a gateway would pass the packets on."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    nat64 = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
    embedded = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()), nat64)
    return [inner for inner in embedded if inner is not None]
