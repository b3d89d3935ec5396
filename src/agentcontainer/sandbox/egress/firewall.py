"""The firewall rules of a sandbox's network namespace, for nft.

They are set before anything inside can send.
"""

from collections.abc import Sequence

from agentcontainer.sandbox.addresses import PRIVATE_NETWORKS

DNS_PORT = 53

# Every public address, through the tap device of slirp4netns. Loopback is the sandbox's own.
_OPEN = """
table inet egress {{
    set private {{ type ipv4_addr; flags interval; auto-merge; elements = {{ {private} }} }}
    chain output {{
        type filter hook output priority filter; policy drop;
        oif lo accept
        meta nfproto ipv6 reject with icmpx admin-prohibited
        ip daddr @private reject with icmpx admin-prohibited
        meta l4proto {{ tcp, udp, icmp }} accept
    }}
    chain forward {{ type filter hook forward priority filter; policy drop; }}
    chain input {{
        type filter hook input priority filter; policy drop;
        iif lo accept
        ct state established,related accept
    }}
}}
"""

# There is no device but loopback. Every packet arrives at one of our own sockets, or is refused.
_LISTED = """
table inet egress {{
    chain translate {{
        type nat hook output priority -100; policy accept;
        ip daddr 127.0.0.0/8 return
        meta nfproto ipv4 udp dport {dns} redirect to :{dns}
        meta nfproto ipv4 tcp dport {dns} redirect to :{dns}
        meta nfproto ipv4 meta l4proto tcp redirect to :{relay}
    }}
    chain output {{
        type filter hook output priority filter; policy drop;
        ct state established,related accept
        ip daddr 127.0.0.0/8 accept
        ip6 daddr ::1 accept
        reject with icmpx admin-prohibited
    }}
}}
"""


def open_rules(own_addresses: Sequence[str]) -> str:
    """Allow the public internet, but not `own_addresses`, the host's IPv4 addresses."""
    return _OPEN.format(private=", ".join((*PRIVATE_NETWORKS, *own_addresses)))


def listed_rules(relay_port: int) -> str:
    """Allow our DNS resolver and our relay at `relay_port` only."""
    return _LISTED.format(dns=DNS_PORT, relay=relay_port)
