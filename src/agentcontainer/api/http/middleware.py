"""The outermost layer: request ids, the headers of every response, the access log, and unexpected errors."""

import logging
import re
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentcontainer import __version__
from agentcontainer.api.http import cors
from agentcontainer.api.http.errors import response_to
from agentcontainer.api.http.sender import sender_of
from agentcontainer.ids import new_id
from agentcontainer.telemetry import log_context, metrics

logger = logging.getLogger(__name__)
access_logger = logging.getLogger("agentcontainer.api.access")

CLIENT_DISCONNECTED = 499  # in the log and the metrics only
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
# Only the platform's own ids are logged from a path. Anything else may be a secret in the wrong place.
_ID = re.compile(r"(acc|key|agt|agv|tsk|msg|act|evt|upl|file|led|ses|clg)_[0-9a-z_]{1,60}")


class Envelope:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        log_context.set_request(request_id)
        started = time.perf_counter()
        status, is_stream = 0, False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, is_stream
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                is_stream = headers.get("content-type", "").startswith("text/event-stream")
                _add_headers(headers, request_id)
                cors.add_headers(scope, headers)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            status = CLIENT_DISCONNECTED
        except Exception as error:
            if (
                status
            ):  # it is already sent; the server closes the connection, so the response is visibly incomplete
                logger.error("%s: failed after the response had started", request_id)
                raise
            data_dir = scope["app"].state.services.settings.data_dir
            await response_to(error, request_id, data_dir)(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - started
            _log(scope, request_id, status, seconds)
            _count(scope, status, None if is_stream else seconds)


def _request_id(scope: Scope) -> str:
    """The id that the client has given the request, if it is harmless in a log; else a new one."""
    given = Headers(scope=scope).getlist("x-request-id")
    return given[0] if len(given) == 1 and REQUEST_ID.fullmatch(given[0]) else new_id("req")


def _add_headers(headers: MutableHeaders, request_id: str) -> None:
    headers["X-Request-Id"] = request_id
    headers["AgentContainer-Version"] = __version__  # clients compare it with their own
    headers["X-Content-Type-Options"] = "nosniff"
    headers.setdefault("Cache-Control", "no-store")


def _log(scope: Scope, request_id: str, status: int, seconds: float) -> None:
    account_id = scope["state"].get("account_id", "-")
    method, path = scope["method"], _loggable_path(scope)
    settings = scope["app"].state.services.settings
    address = f" {sender_of(scope, settings).address}" if settings.trusted_proxies else ""
    access_logger.info(
        "%s %s %s %s %d %.1fms%s", request_id, account_id, method, path, status, seconds * 1000, address
    )


def _count(scope: Scope, status: int, seconds: float | None) -> None:
    """Count the request. `seconds` None: it was an event stream, whose duration says nothing of the API."""
    method = scope["method"] if scope["method"] in METHODS else "other"
    route = scope["route"].path if "route" in scope else "unmatched"
    metrics.HTTP_REQUESTS.labels(method, route, str(status)).inc()
    if seconds is not None:
        metrics.HTTP_SECONDS.labels(method, route).observe(seconds)


def _loggable_path(scope: Scope) -> str:
    if "route" not in scope:
        return "-"
    path: str = scope["route"].path
    for name, value in scope["path_params"].items():
        path = path.replace("{" + name + "}", value if _ID.fullmatch(value) else "{" + name + "}")
    return path
