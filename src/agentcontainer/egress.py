"""Parses the entries of `overrides.egress.allow`, and matches hosts and ports with them.

It does no I/O.

An entry is a host, or a host and a port with a colon between; without a port it allows every port. A host is a DNS
name, an IPv4 address, or `*.` before a name, which stands for all names below it, but not for the name itself.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

MAX_RULES = 100
MAX_NAME_CHARACTERS = 253
_LABEL_PATTERN = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
RULE_PATTERN = rf"^(\*\.)?{_LABEL_PATTERN}(\.{_LABEL_PATTERN})*\.?(:[0-9]{{1,5}})?$"
_LABEL = re.compile(_LABEL_PATTERN)


@dataclass(frozen=True)
class Rule:
    """One entry of an allow-list. `host` is in lower case, without the `*.`; `port` None: every port."""

    host: str
    port: int | None = None
    is_wildcard: bool = False

    @classmethod
    def of(cls, text: str) -> "Rule":
        """Parse an entry. Raises ValueError: it is not valid; the message is a predicate, such as "must be ASCII"."""
        if not text.isascii():
            raise ValueError("must be ASCII: write an international name in its xn-- form")
        if "/" in text:
            raise ValueError("must be a host, not a URL: pypi.org:443, not https://pypi.org/")
        host, colon, port = text.lower().partition(":")
        if colon and not (port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
            raise ValueError("must have a port from 1 to 65535 after the colon")
        is_wildcard = host.startswith("*.")
        host = canonical(host.removeprefix("*."))
        if "*" in host:
            raise ValueError("may have a * only as its first label: *.example.com")
        if _is_address(host):
            if is_wildcard:
                raise ValueError("cannot have a * before an address")
        elif not _is_name(host):
            raise ValueError(
                "must be a host name, *.name or an IPv4 address, and :port if only one is meant, as in pypi.org:443"
            )
        return cls(host, int(port) if colon else None, is_wildcard)

    def matches_name(self, host: str) -> bool:
        """Whether the rule allows this host at some port."""
        if not self.is_wildcard:
            return host == self.host
        # A dot within a label is written with a backslash: a\.example.com lies below com, not below example.com.
        return host.endswith("." + self.host) and "\\" not in host

    def matches(self, host: str, port: int) -> bool:
        """Whether the rule allows this host and port."""
        return self.port in (None, port) and self.matches_name(host)


def parse(entries: Sequence[str]) -> list[Rule]:
    """The rules of an allow-list. Raises ValueError as `Rule.of` does."""
    return [Rule.of(entry) for entry in entries]


def canonical(host: str) -> str:
    """The host in lower case and without a dot at the end, so that equal hosts are equal strings."""
    return host.lower().removesuffix(".")


def rule_for(host: str, port: int | None) -> str:
    """The entry to add to an allow-list so that it allows this host and port."""
    return host if port is None else f"{host}:{port}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _is_name(host: str) -> bool:
    labels = host.split(".")
    is_number_like = labels[-1].isdigit()  # some programs take 1.2.3 and 0x7f.1 for addresses
    is_sound = all(_LABEL.fullmatch(label) for label in labels)
    return len(host) <= MAX_NAME_CHARACTERS and is_sound and not is_number_like
