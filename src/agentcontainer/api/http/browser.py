"""Decides where a session's cookie counts: only in requests that the platform's own pages send.

There are no CSRF tokens. Browsers say in `Sec-Fetch-Site` where a request comes from, and no page can change that
header. Where they send none (plain http under a name of the local network), the page sends `X-AC-UI: 1`, which a page
of another origin could send only after a preflight that is never granted.

docs/decisions/0034-a-cookie-counts-by-where-a-request-comes-from.md gives the reasons.
"""

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from agentcontainer.api.http.sender import sender_of
from agentcontainer.errors import Misdirected
from agentcontainer.settings import Settings

OWN_PAGE = "x-ac-ui"
READS = frozenset({"GET", "HEAD"})
_SECURE_NAME = "__Host-ac_session"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{20,100}")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")


def token_of(request: Request, settings: Settings) -> str | None:
    """The token in the session's cookie, whether or not it counts. None: there is none, or two of this name."""
    name = _cookie_name(request, settings)
    pairs = [
        part.strip().partition("=") for line in request.headers.getlist("cookie") for part in line.split(";")
    ]
    values = [value for key, _, value in pairs if key == name]
    return values[0] if len(values) == 1 and _TOKEN.fullmatch(values[0]) else None


def check_host(request: Request, settings: Settings) -> None:
    """Refuse a host name that is none of ours. Otherwise a page of an attacker could point its own name to our address,
    and then be of the same origin (DNS rebinding).

    Raises:
        Misdirected: it is none of ours.
    """
    host = host_of(request)
    if host is None or not (_is_local(host, request) or host in _names(settings)):
        raise Misdirected(
            "Browsers may not use this installation under this host name. Its operator can add the name to "
            "AGENTCONTAINER_ALLOWED_HOSTS."
        )


def is_of_own_page(request: Request, settings: Settings) -> bool:
    """Whether a page of the platform sends the request, or its user has typed the URL of a download."""
    sites = request.headers.getlist("sec-fetch-site")
    if sites:
        return sites == ["same-origin"] or (sites == ["none"] and _is_download(request))
    if request.headers.getlist(OWN_PAGE) != ["1"]:
        return False
    return request.method in READS or request.headers.getlist("origin") in [
        [origin] for origin in _own_origins(request, settings)
    ]


def set_cookie(response: Response, request: Request, settings: Settings, token: str, seconds: int) -> None:
    """Let the browser keep the token for this long. `seconds` 0: let it forget the token."""
    response.set_cookie(
        _cookie_name(request, settings), token, max_age=seconds, path="/", httponly=True, samesite="strict",
        secure=_is_secure(request, settings),
    )  # fmt: skip


def url_of_page(request: Request, settings: Settings) -> str:
    """The URL of the installation as the page knows it that sends this request with a session's cookie."""
    request_url, *public = _own_origins(request, settings)
    host = request.headers["host"].lower()
    if settings.public_url is not None and urlsplit(public[0]).netloc == host:
        return settings.public_url
    return request_url


def mark_download(endpoint: Callable[..., object]) -> None:
    """Let a user open the endpoint by typing its URL: what it answers with is a file to be saved."""
    vars(endpoint)["is_download"] = True


def _is_download(request: Request) -> bool:
    route = request.scope.get("route")
    return request.method in READS and isinstance(route, APIRoute) and "is_download" in vars(route.endpoint)


def _is_secure(request: Request, settings: Settings) -> bool:
    if settings.public_url is not None:
        return settings.public_url.startswith("https:")
    return sender_of(request.scope, settings).scheme == "https"


def _cookie_name(request: Request, settings: Settings) -> str:
    """Cookies ignore ports: two installations on one machine would log each other out if the port were not named."""
    if _is_secure(request, settings):
        return _SECURE_NAME
    port = urlsplit(settings.public_url).port or 80 if settings.public_url is not None else None
    server: tuple[str, int] | None = request.scope.get("server")
    return f"ac_session_{port or (server[1] if server else settings.port)}"


def _own_origins(request: Request, settings: Settings) -> list[str]:
    origins = [f"{sender_of(request.scope, settings).scheme}://{request.headers['host'].lower()}"]
    if settings.public_url is not None:
        public = urlsplit(settings.public_url)
        origins.append(f"{public.scheme}://{public.netloc.lower()}")
    return origins


def host_of(request: Request) -> str | None:
    """The host in the URL of the request, without port and brackets."""
    hosts = request.headers.getlist("host")
    match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    return match[1].strip("[]").lower().rstrip(".") if match else None


def _names(settings: Settings) -> set[str]:
    public = urlsplit(settings.public_url or "").hostname
    return {*settings.allowed_hosts, settings.host.lower(), *([public] if public else [])}


def _is_local(host: str, request: Request) -> bool:
    """Whether it is a name of this machine that nobody can point elsewhere: `localhost`, or the address to which the
    connection was made."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    server: tuple[str, int] | None = request.scope.get("server")
    return address.is_loopback or (server is not None and str(address) == server[0])
