"""Sends requests: authentication, timeouts, retries, and errors as exceptions."""

# Written by scripts/render_sync.py from _async. Do not edit.

import logging
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import httpx2

from agentcontainer_client import _retry, _trace_context
from agentcontainer_client._calls import (
    API,
    SERVER_VERSION,
    USER_AGENT,
    Call,
    QuietURL,
    connection_error,
    decoded,
    error_of,
    host_of,
)
from agentcontainer_client._config import Connection
from agentcontainer_client._sync import concurrency
from agentcontainer_client._version import __version__
from agentcontainer_client.errors import (
    AgentContainerError,
    ApiError,
    ConfigurationError,
    ConnectionFailed,
    NotFound,
)

logger = logging.getLogger("agentcontainer_client")

T = TypeVar("T")

CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0
WRITE_SECONDS = 60.0
POOL_SECONDS = 600.0  # a pool that is in use by long waits is not a fault
STREAM_SECONDS = 45.0  # the server sends a comment every 15 s


@dataclass(frozen=True, kw_only=True)
class Options:
    """How requests are sent. `timeout`: seconds without an answer; `backoff`: the most that a first retry waits."""

    timeout: float = READ_SECONDS
    max_retries: int = _retry.RETRIES
    stream_timeout: float = STREAM_SECONDS
    backoff: float = _retry.FIRST_PAUSE_SECONDS


class Connections:
    """The connections of a client and of all that were made from it by `with_options`."""

    def __init__(self, connection: Connection, transport: httpx2.BaseTransport | None) -> None:
        headers = {
            "Authorization": f"Bearer {connection.api_key}",
            "User-Agent": USER_AGENT,
            "AgentContainer-Client": f"python/{__version__}",
        }
        limits = httpx2.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=30)
        # To load the certificates takes 20 ms, which a client of plain HTTP does not need.
        url = httpx2.URL(connection.base_url)
        # A proxy of the environment cannot reach what runs on this machine.
        self._uses_proxies = url.host not in {"localhost", "127.0.0.1", "::1"}
        self.api = httpx2.Client(
            headers=headers,
            limits=limits,
            transport=transport,
            verify=url.scheme == "https",
            trust_env=self._uses_proxies,
        )
        self._transport = transport
        self._others: httpx2.Client | None = None
        self._lock = threading.Lock()  # uploads run in several threads
        self.server_version: str | None = None

    @property
    def others(self) -> httpx2.Client:
        """For signed URLs, which may lead to another host: without the API key."""
        with self._lock:
            if self._others is None:
                self._others = httpx2.Client(
                    headers={"User-Agent": USER_AGENT},
                    transport=self._transport,
                    trust_env=self._uses_proxies,
                )
            return self._others

    def close(self) -> None:
        """Close all connections."""
        self.api.close()
        if self._others is not None:
            self._others.close()


@dataclass(frozen=True, kw_only=True)
class Transport:
    """Sends requests to one API with one key."""

    connection: Connection
    connections: Connections = field(repr=False)
    options: Options

    def with_options(self, **changes: Any) -> "Transport":
        """The same connections with other options."""
        return replace(self, options=replace(self.options, **changes))

    def request(self, call: Call) -> httpx2.Response:
        """The response to a call, if it is a success.

        Raises:
            ApiError: the API answered with an error that a retry does not mend.
            ConnectionFailed: the API could not be reached.
        """
        call = call.with_key()
        retry = 0
        while True:
            try:
                with self.open(call) as response:
                    response.read()
                    return response
            except AgentContainerError as error:
                if retry and call.method == "DELETE" and isinstance(error, NotFound):
                    return httpx2.Response(204)  # an earlier try deleted it, and its answer was lost
                if retry >= self.options.max_retries or not is_worth_retrying(error):
                    raise
                seconds = _retry.pause(retry, retry_after_of(error), self.options.backoff)
            logger.debug("%s: retry %d in %.2f s", call.method, retry + 1, seconds)
            concurrency.sleep(seconds)
            retry += 1

    def send(self, call: Call, decode: Callable[[object], T]) -> T:
        """The decoded JSON of the response."""
        return decoded(self.request(call), decode)

    @contextmanager
    def open(self, call: Call) -> Generator[httpx2.Response]:
        """The response to a single try, whose body is read in the block.

        Raises:
            ApiError: the API answered with an error.
            ConnectionFailed: the API could not be reached, or the connection broke in the block.
        """
        with connection_errors(host_of(httpx2.URL(self.connection.base_url))):
            with self._sent(call) as response:
                self._learn_version(response)
                if response.is_success or response.status_code == 304:
                    yield response
                    return
                response.read()
                raise error_of(response)

    @contextmanager
    def _sent(self, call: Call) -> Generator[httpx2.Response]:
        http = self.connections.api
        headers = dict(call.headers)
        if call.idempotency_key is not None:
            headers |= _trace_context.headers()
            headers["Idempotency-Key"] = call.idempotency_key
        prefix = "" if call.is_root else API
        try:
            request = http.build_request(
                call.method,
                f"{self.connection.base_url}{prefix}{call.path}",
                params=_parameters(call.query),
                json=call.body,
                headers=headers,
                timeout=self.timeouts(call.read_seconds or self.options.timeout),
            )
        except UnicodeEncodeError:
            raise ConfigurationError("A text of the request is not valid Unicode.") from None
        if call.is_root:
            request.url = QuietURL(request.url)
        started = time.monotonic()
        response = http.send(request, stream=True)
        try:
            path = "…" if call.is_root else request.url.path
            milliseconds = (time.monotonic() - started) * 1000
            logger.debug("%s %s: %d in %.0f ms", call.method, path, response.status_code, milliseconds)
            yield response
        finally:
            response.close()

    def timeouts(self, read_seconds: float) -> httpx2.Timeout:
        """The timeouts of a request."""
        return httpx2.Timeout(
            connect=CONNECT_SECONDS, write=WRITE_SECONDS, read=read_seconds, pool=POOL_SECONDS
        )

    def _learn_version(self, response: httpx2.Response) -> None:
        if version := response.headers.get(SERVER_VERSION):
            self.connections.server_version = version


class connection_errors:  # noqa: N801  (reads as a function)
    """In the block, errors of the connection are raised as `ConnectionFailed`."""

    def __init__(self, host: str) -> None:
        self._host = host

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, httpx2.HTTPError):
            raise connection_error(error, self._host) from error


def is_worth_retrying(error: AgentContainerError) -> bool:
    """Whether the failure may be gone at the next try."""
    if isinstance(error, ConnectionFailed):
        return not isinstance(error.__cause__, httpx2.UnsupportedProtocol | httpx2.LocalProtocolError)
    return isinstance(error, ApiError) and error.is_transient


def retry_after_of(error: AgentContainerError) -> float | None:
    """Seconds that the server asks to wait."""
    return error.retry_after if isinstance(error, ApiError) else None


def _parameters(query: Mapping[str, object]) -> Any:
    return dict(query) or None
