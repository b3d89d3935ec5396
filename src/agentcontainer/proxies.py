"""The proxies of `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, for servers that the operator names.

Servers that a client names are never reached through them: the platform must check their addresses itself.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from agentcontainer.errors import SettingsError

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Proxies:
    """Which proxy serves which URL. Without any, all URLs are reached directly. Proxies may hold a password."""

    http: str | None = field(default=None, repr=False)
    https: str | None = field(default=None, repr=False)
    exceptions: tuple[str, ...] = ()

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Proxies":
        """The proxies of an environment; lower-case names win, as in other programs.

        Raises:
            SettingsError: a proxy is not an http:// or https:// URL. The message names the variable only.
        """
        no_proxy = _value(environment, "no_proxy") or ""
        exceptions = tuple(entry.strip().lower() for entry in no_proxy.split(",") if entry.strip())
        return cls(_proxy(environment, "http_proxy"), _proxy(environment, "https_proxy"), exceptions)

    def for_url(self, url: str) -> str | None:
        """The proxy through which a URL is reached; None: it is reached directly."""
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(parts.scheme, 0)
        is_direct = is_loopback(host) or any(_matches(entry, host, port) for entry in self.exceptions)
        return None if is_direct else {"http": self.http, "https": self.https}.get(parts.scheme)


def has_password(proxy: str) -> bool:
    """Whether the URL of a proxy holds a user name or password."""
    return "@" in urlsplit(proxy).netloc


def host_and_port(proxy: str) -> tuple[str, int]:
    """Where a proxy listens."""
    parts = urlsplit(proxy)
    return parts.hostname or "", parts.port or _PORTS[parts.scheme]


def _value(environment: Mapping[str, str], name: str) -> str | None:
    return environment.get(name) or environment.get(name.upper()) or None


def _proxy(environment: Mapping[str, str], name: str) -> str | None:
    value = (_value(environment, name) or "").strip()
    if not value:
        return None
    url = value if "://" in value else f"http://{value}"
    if not _is_proxy(url):
        raise SettingsError(
            f"{name.upper()} is wrong: must be an http:// or https:// URL, such as http://proxy:3128."
        )
    return url


def _is_proxy(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_sound = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return is_sound and url.isprintable() and " " not in url


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _matches(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY, in lower case, names this host: itself, a domain above it, or its network."""
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass
    name, colon, entry_port = entry.rpartition(":")
    if colon and entry_port.isdigit() and "]" not in entry_port:
        if int(entry_port) != port:
            return False
        entry = name.strip("[]")
    domain = entry.removeprefix("*").removeprefix(".").rstrip(".")
    return host == domain or host.endswith(f".{domain}")
