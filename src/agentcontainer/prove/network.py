"""Attempts at network access from a task without internet access, which has only its own loopback."""

import socket
from pathlib import Path

from agentcontainer.prove.attempt import Attempt, Group
from agentcontainer.prove.payload import perl
from agentcontainer.prove.places import bare, namespaced, sandboxed
from agentcontainer.prove.targets import loopback, loopback_6, nonce_only, own_address, tcp, udp

_CONNECT = perl('print tcp(@ARGV[0, 1], "");')
_IPV6 = (
    Attempt(
        "loopback-6",
        "Connects to a service on the host's loopback by IPv6.",
        perl(
            "socket(my $s, AF_INET6, SOCK_STREAM, 0) or exit;"
            "connect($s, pack_sockaddr_in6($ARGV[1], Socket::inet_pton(AF_INET6, $ARGV[0]))) or exit;"
            "print talk($s, '');"
        ),
        tcp(loopback_6),
        sandboxed,
        bare,
    ),
)


def _change(name: str, tries: str, script: str) -> Attempt:
    start = "socket(my $s, AF_INET, SOCK_DGRAM, 0) or exit;"
    return Attempt(name, tries, perl(start + script), nonce_only, sandboxed, namespaced("net"))


NETWORK = Group(
    "network",
    (
        Attempt(
            "loopback",
            "Connects to a service on the host's loopback.",
            _CONNECT,
            tcp(loopback),
            sandboxed,
            bare,
        ),
        Attempt(
            "host",
            "Connects to a service on an address of the host.",
            _CONNECT,
            tcp(own_address),
            sandboxed,
            bare,
        ),
        Attempt(
            "all-addresses",
            "Connects to a service of the host by all local addresses.",
            perl(
                'print map { tcp($_, $ARGV[1], "") } qw(127.0.0.1 127.0.0.2 0.0.0.0 127.255.255.254 localhost);'
            ),
            tcp(loopback),
            sandboxed,
            bare,
        ),
        Attempt(
            "datagrams",
            "Sends a datagram to a service of the host.",
            perl(
                "socket(my $s, AF_INET, SOCK_DGRAM, 0) or exit;"
                "connect($s, sockaddr_in($ARGV[1], inet_aton($ARGV[0])));"
                'syswrite($s, "?"); vec(my $ready, fileno $s, 1) = 1; select($ready, undef, undef, 3) or exit;'
                "my $got; sysread($s, $got, 999); print $got;"
            ),
            udp,
            sandboxed,
            bare,
        ),
        *(_IPV6 if socket.has_ipv6 and Path("/proc/net/if_inet6").exists() else ()),
        Attempt(
            "devices",
            "Finds a network device other than its loopback.",
            perl("print $ARGV[0] if slurp('/proc/net/dev') =~ /^\\s*(?!lo:)\\S+:/m;"),
            nonce_only,
            sandboxed,
            bare,
        ),
        _change(
            "link",
            "Turns a network device on.",
            "my $ask = pack 'a16 s x22', 'lo', 0x49; ioctl($s, 0x8914, $ask) and print $ARGV[0];",
        ),
        _change(
            "address",
            "Adds a network address.",
            "my $ask = pack 'a16 S n a4 x8', 'lo', AF_INET, 0, inet_aton('10.99.99.99');"
            "ioctl($s, 0x8916, $ask) and print $ARGV[0];",
        ),
    ),
)
