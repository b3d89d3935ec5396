"""The URL of the API: as a client on this machine reaches it, and as a request names it."""

import ipaddress
import re
import socket

_HOST_HEADER = re.compile(r"(\[[0-9a-fA-F:.]+\]|[0-9.]+|localhost)(:[0-9]{1,5})?", re.IGNORECASE)


def local_url(host: str, port: int) -> str:
    """The URL at which a client on this machine reaches a server that listens on `host`."""
    if is_every_address(host):
        host = "::1" if ":" in host else "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_every_address(host: str) -> bool:
    """Whether a server that listens on `host` listens on all addresses of this machine, as with 0.0.0.0."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        pass
    try:
        return not host or socket.inet_aton(host) == bytes(4)  # it also reads the short forms, such as 0
    except OSError:
        return False


def url_of_request(host_header: str) -> str | None:
    """The URL at which a client reached the API; None if its `Host` is not an IP address or `localhost`.

    A host name is not used, because a malicious page can choose it by DNS rebinding; it cannot choose an address.
    """
    match = _HOST_HEADER.fullmatch(host_header)
    if match is None:
        return None
    host, port = match[1].lower(), match[2] or ""
    if port and not 1 <= int(port[1:]) <= 65535:
        return None
    if host != "localhost":
        try:
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return None
    return f"http://{host}{port}"
