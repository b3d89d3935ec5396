"""What a request is, before it is sent, and what its answer means; shared by both clients."""

import json
import re
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

import httpx2

from agentcontainer_client import errors
from agentcontainer_client._retry import is_transient, seconds_of
from agentcontainer_client._version import __version__
from agentcontainer_client._wire import Malformed, Model, to_iso
from agentcontainer_client.models import FieldFault

API = "/api/v1"
USER_AGENT = (
    f"agentcontainer-python/{__version__} (py{sys.version_info[0]}.{sys.version_info[1]}; {sys.platform})"
)
SERVER_VERSION = "AgentContainer-Version"

T = TypeVar("T")
ModelT = TypeVar("ModelT", bound=Model)
Method = TypeVar("Method", bound=Callable[..., Any])
Query = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request to the API. `path` begins with a slash and is below /api/v1, except for `is_root` calls."""

    method: str
    path: str = field(repr=False)
    query: Query = field(default_factory=dict[str, object], repr=False)
    body: object = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    idempotency_key: str | None = None
    read_seconds: float | None = None
    is_root: bool = False
    has_effect: bool = True
    """False: the request only reads, although it is a POST, and takes no `Idempotency-Key`."""

    def with_key(self) -> "Call":
        """The call with an `Idempotency-Key`, if it is a POST or PATCH: the same over all retries."""
        takes_key = self.method in {"POST", "PATCH"} and self.has_effect and not self.is_root
        if not takes_key or self.idempotency_key is not None:
            return self
        return replace(self, idempotency_key=str(uuid.uuid4()))


def operation(*ids: str, **fields: str) -> Callable[[Method], Method]:
    """Bind a method to operations of the API.

    `fields`: the argument that stands for a field, if the names differ; `name()` if another method of the class does.
    """

    def bind(method: Method) -> Method:
        vars(method)["__operations__"] = ids
        vars(method)["__fields__"] = fields
        return method

    return bind


def query_of(**parameters: object) -> dict[str, Any]:
    """Query parameters as the API takes them. None is left out; a sequence is sent as repeated parameters."""
    return {camel(name): _query_value(value) for name, value in parameters.items() if value is not None}


def body_of(**fields: object) -> dict[str, Any]:
    """A JSON body. Fields that are None are left out."""
    return {camel(name): value for name, value in fields.items() if value is not None}


def camel(name: str) -> str:
    """A snake_case name in camelCase."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(part.capitalize() for part in rest)


def seconds(duration: float | timedelta | None) -> int | None:
    """A duration in whole seconds."""
    if duration is None:
        return None
    return round(duration.total_seconds() if isinstance(duration, timedelta) else duration)


def segment(value: str) -> str:
    """An id as a part of a path.

    Raises:
        ConfigurationError: it cannot be an id. (Sent as it is, it could address another resource.)
    """
    if not re.fullmatch(r"[A-Za-z0-9_.~-]{1,512}", value) or value in {".", ".."}:
        raise errors.ConfigurationError(f"{value[:80]!r} is not an id")
    return value


def decoded(response: httpx2.Response, decode: Callable[[object], T]) -> T:
    """The JSON of a successful response.

    Raises:
        UnexpectedResponse: it is not what the API sends.
    """
    try:
        return decode(response.json())
    except (ValueError, UnicodeDecodeError) as error:
        reason = str(error) if isinstance(error, Malformed) else "it is not JSON"
        raise errors.UnexpectedResponse(
            f"The answer of {response.url.host} is not one of AgentContainer's: {reason}. "
            "Does a proxy answer in its place?"
        ) from None


def error_of(response: httpx2.Response) -> errors.AgentContainerError:
    """The exception for a response that is not a success. Its body must have been read."""
    status = response.status_code
    content = _error_content(response)
    if content is None:
        if status < 400:
            target = httpx2.URL(response.headers.get("location", "")).host
            hint = f"redirects to {target}" if target else f"answered {status}"
            return errors.UnexpectedResponse(f"{response.url.host} {hint}. Check the URL of the client.")
        message = f"{response.url.host} answered {status} {response.reason_phrase}".rstrip()
        content = {"code": "unknown", "message": message}
    kind = errors.BY_STATUS.get(status, errors.ServerFault if status >= 500 else errors.ApiError)
    return kind(
        status,
        str(content.get("code", "unknown")),
        str(content.get("message", "")),
        [FieldFault.from_wire(detail) for detail in content.get("details") or ()],
        content.get("requestId") or response.headers.get("x-request-id"),
        seconds_of(response.headers.get("retry-after")),
        is_transient(status, response.headers.get("retry-after")),
    )


def connection_error(error: httpx2.HTTPError, host: str) -> errors.ConnectionFailed:
    """The exception for a request that got no answer. `host`, with its port: paths and queries may hold secrets."""
    if isinstance(error, httpx2.TimeoutException):
        return errors.TimedOut(f"{host} did not answer in time.")
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    reason = re.sub(r"^\[Errno -?[0-9]+\] ", "", reason)
    return errors.ConnectionFailed(f"{host} cannot be reached: {reason}")


def host_of(url: httpx2.URL) -> str:
    """The host and the port of a URL, which hold no secret."""
    return url.netloc.decode("ascii", "replace")


class QuietURL(httpx2.URL):
    """A URL that contains a secret. The log lines of httpx2, and exceptions, show its host only."""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}/…"


def _query_value(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return to_iso(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_query_value(item) for item in cast("Sequence[object]", value)]
    return value


def _error_content(response: httpx2.Response) -> dict[str, Any] | None:
    try:
        content = json.loads(response.content)["error"]
    except (ValueError, TypeError, KeyError):
        return None
    return cast("dict[str, Any]", content) if isinstance(content, dict) else None
