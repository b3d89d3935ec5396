"""Checks the destinations that clients choose: repositories, and the endpoints of models that accounts add.

A name is resolved and its addresses are checked here. The caller connects to one of these addresses and follows no
redirect, so that DNS rebinding gains nothing.
"""

import ipaddress
import re
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from agentcontainer.private_hosts import PrivateHosts
from agentcontainer.sandbox.addresses import Address, embedded_in, is_public
from agentcontainer.sandbox.outward import resolve_apart
from agentcontainer.settings import Settings

MAX_URL_CHARACTERS = 2048
NOT_PUBLIC = "its host is not on the public internet"
PROXY_ONLY = "this installation reaches other servers through a proxy only (AGENTCONTAINER_EGRESS_PROXY_ONLY)"
NEVER = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "fe80::/10", "ff00::/8", "::/128"),
        *(
            "168.63.129.16/32",
            "100.100.100.200/32",
            "192.0.0.192/32",
            "fd00:ec2::254/128",
        ),  # metadata services
    )
)
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?|[0-9a-f:.]*:[0-9a-f:.]*")
# Short, octal and hexadecimal forms of an IPv4 address, which some resolvers read: 127.1, 0177.0.0.1, 0x7f000001.
_NUMBER = re.compile(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)")


class DestinationRefused(OSError):
    """A destination is not allowed; `str(error)` says why, as the end of a sentence."""


@dataclass(frozen=True)
class Destinations:
    """Which destinations are allowed. `is_private_allowed`: whether all private addresses are. `is_http_allowed`:
    whether http:// is, with all hosts."""

    private_hosts: PrivateHosts = field(default_factory=PrivateHosts)
    is_private_allowed: bool = False
    is_http_allowed: bool = False
    is_proxy_only: bool = False

    @classmethod
    def of(cls, settings: Settings) -> "Destinations":
        return cls(PrivateHosts.of(settings.private_hosts), is_proxy_only=settings.egress_proxy_only)

    def for_repositories(self, settings: Settings) -> "Destinations":
        """The same, with the setting `allow_private_repositories`."""
        return replace(self, is_private_allowed=settings.allow_private_repositories)

    def for_webhooks(self, settings: Settings) -> "Destinations":
        """The same, with the settings of webhooks."""
        return replace(
            self,
            is_private_allowed=settings.webhook_allow_private,
            is_http_allowed=settings.webhook_allow_http,
        )

    def allows(self, host: str, address: Address) -> bool:
        """Whether this address of this host may be connected to. Link-local and metadata addresses never may."""
        inner = [address, *embedded_in(address)]
        if any(part in network for part in inner for network in NEVER if part.version == network.version):
            return False
        if is_public(address) or self.is_private_allowed or self.private_hosts.names_host(host):
            return True
        return all(self.private_hosts.has_address(part) for part in inner)

    async def addresses(self, host: str, port: int) -> list[Address]:
        """The addresses of a host that may be connected to; at least one.

        Raises:
            DestinationRefused: there is none. OSError, UnicodeError: the name has no address, or is not valid.
        """
        if self.is_proxy_only:
            raise DestinationRefused(PROXY_ONLY)
        allowed = [address for address in await resolve_apart(host, port) if self.allows(host, address)]
        if not allowed:
            raise DestinationRefused(NOT_PUBLIC)
        return allowed

    def url_fault(self, url: str, *, is_base: bool = True) -> str | None:
        """Why the platform cannot send requests to this URL; None: it can, as far as the URL tells.

        `is_base`: paths are appended to it, so it has no query.

        The message never repeats the URL, which may hold a secret.
        """
        if self.is_proxy_only:
            return f"cannot be reached: {PROXY_ONLY}"
        if len(url) > MAX_URL_CHARACTERS or not re.fullmatch(r"[!-~]+", url) or "\\" in url:
            return f"must be a URL of at most {MAX_URL_CHARACTERS} ASCII characters"
        try:
            parts = urlsplit(url)
            host, is_port_good = (parts.hostname or "").rstrip("."), parts.port != 0
        except ValueError:
            return "is not a URL"
        if parts.scheme not in ("https", "http"):
            return "must start with https://"
        if is_base and ("@" in parts.netloc or "?" in url or "#" in url):
            return "must hold no user name, password, query or fragment; send the key in `apiKey`"
        if "@" in parts.netloc or "#" in url:
            return "must hold no user name, password or fragment"
        if not is_port_good or not _HOST.fullmatch(host):
            return "must name a host"
        return self._host_fault(parts.scheme, host)

    def _host_fault(self, scheme: str, host: str) -> str | None:
        try:
            is_allowed = self.allows(host, ipaddress.ip_address(host))
        except ValueError:
            if _NUMBER.fullmatch(host):
                return "must write an address in full, such as 192.0.2.10"
            is_allowed = host != "localhost" or self.is_private_allowed or self.private_hosts.names_host(host)
        if not is_allowed:
            return "must be on the public internet, or a host that AGENTCONTAINER_PRIVATE_HOSTS names"
        if scheme == "http" and not self.is_http_allowed and not self.private_hosts.names_host(host):
            return "must start with https://, except for hosts that AGENTCONTAINER_PRIVATE_HOSTS names"
        return None
