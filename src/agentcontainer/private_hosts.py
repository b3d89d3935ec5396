"""Parses `AGENTCONTAINER_PRIVATE_HOSTS`: what clients may make the platform reach besides the public internet.

An entry is a host name, `*.` before a name, an address, or a network such as 10.0.0.0/8.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from agentcontainer.egress import Rule, canonical

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class PrivateHosts:
    """The hosts by name, and the networks by address."""

    names: tuple[Rule, ...] = ()
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, entries: Sequence[str]) -> "PrivateHosts":
        """Parse the entries. Raises ValueError: one is not valid; the message names it."""
        names: list[Rule] = []
        networks: list[Network] = []
        for entry in entries:
            try:
                networks.append(ipaddress.ip_network(entry.strip("[]"), strict=False))
            except ValueError:
                names.append(_name(entry))
        return cls(tuple(names), tuple(networks))

    def names_host(self, host: str) -> bool:
        """Whether an entry names this host: its name, or an address that is written instead of one."""
        host = canonical(host)
        try:
            return self.has_address(ipaddress.ip_address(host))
        except ValueError:
            return any(rule.matches_name(host) for rule in self.names)

    def has_address(self, address: Address) -> bool:
        """Whether an entry contains this address."""
        return any(address in network for network in self.networks)


def _name(entry: str) -> Rule:
    try:
        rule = Rule.of(entry)
    except ValueError:
        rule = None
    if rule is None or rule.port is not None:
        raise ValueError(
            f"must list host names, *.name, addresses and networks; {entry[:100]} is none of these"
        )
    return rule
