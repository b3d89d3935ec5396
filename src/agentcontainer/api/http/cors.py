"""Which responses pages of other origins may read (CORS).

Credentials are never allowed, and nothing is open to a request that a session's cookie authenticates: a page of another
origin can use a key only if it has it. So API routes are open to requests with an `Authorization` header, and signed
upload URLs, which need no key, to all requests.
"""

from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

API = "/api/"
UPLOADS = "/uploads/"
ALLOWED_HEADERS = {
    API: "authorization, content-type, idempotency-key, last-event-id",
    UPLOADS: "content-type",
}
READABLE_HEADERS = ", ".join(
    ("content-disposition", "content-range", "etag", "idempotent-replayed", "retry-after", "x-request-id")
)
PREFLIGHT_SECONDS = 7200  # how long a browser may cache the response; some cache it for less
_ORIGIN = "Access-Control-Allow-Origin"


def preflight(request: Request, methods: Iterable[str]) -> Response | None:
    """The response to a preflight, by which a browser asks whether a page may send a request; None: this is no
    preflight. `methods`: those of the route."""
    allowed = _allowed_headers(request.url.path)
    is_preflight = request.method == "OPTIONS" and {"origin", "access-control-request-method"} <= {
        *request.headers
    }
    if allowed is None or not is_preflight:
        return None
    headers = {
        _ORIGIN: "*",
        "Access-Control-Allow-Methods": ", ".join(sorted(methods)),
        "Access-Control-Allow-Headers": allowed,
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }
    return Response(status_code=204, headers=headers)


def add_headers(scope: Scope, headers: MutableHeaders) -> None:
    """Let pages of any origin read this response, if its request had a key or a signed URL."""
    path: str = scope["path"]
    is_open = scope["state"].get("open_to_pages", False)  # an event stream with the key in its URL
    if path.startswith(API):
        is_open = is_open or "authorization" in Headers(scope=scope)
    if is_open or path.startswith(UPLOADS):
        headers[_ORIGIN] = "*"
        headers.setdefault("Access-Control-Expose-Headers", READABLE_HEADERS)


def _allowed_headers(path: str) -> str | None:
    return next((headers for prefix, headers in ALLOWED_HEADERS.items() if path.startswith(prefix)), None)
