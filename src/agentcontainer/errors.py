"""The exceptions of the platform.

Those that a client can get have a stable `code` and an HTTP `status`.

AgentContainerError
├── ValidationError        validation_error        400   carries details: [{path, message}]
├── Unauthorized           unauthorized            401
├── InsufficientBalance    insufficient_balance    402
├── Forbidden              forbidden               403
├── NotFound               not_found               404
├── Conflict               conflict                409
│   └── InProgress         conflict                409   with Retry-After
├── Gone                   gone                    410
├── PayloadTooLarge        payload_too_large       413
├── UnsupportedMediaType   unsupported_media_type  415
├── Misdirected            misdirected_request     421
├── RangeNotSatisfiable    range_not_satisfiable   416   with Content-Range
├── RateLimited            rate_limited            429
├── LimitReached           limit_reached           429   of a day: with Retry-After
│   └── CostLimitReached   limit_reached           402   with Retry-After
├── Unavailable            unavailable             503   if overloaded, with Retry-After
├── SettingsError          a setting is wrong; stops the start
└── SandboxError           the platform could not run a sandbox (never: a command inside failed)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Detail:
    """What is wrong with one field of a request. `path`: the field, such as `overrides.outputPolicy.mode`."""

    path: str
    message: str


class AgentContainerError(Exception):
    """The base class. `str(error)` is a sentence that a person can act on, without secrets or host paths."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500


class ValidationError(AgentContainerError):
    """The request is malformed, or a field has a value that is not allowed."""

    code = "validation_error"
    status = 400

    def __init__(self, message: str, details: Sequence[Detail] = ()) -> None:
        super().__init__(message)
        self.details = tuple(details)

    @classmethod
    def at(cls, path: str, message: str) -> "ValidationError":
        """The error for one field. Its message names the field."""
        return cls(f"{path}: {message}", [Detail(path, message)])


class Unauthorized(AgentContainerError):
    """The request has no API key, or one that is unknown or revoked."""

    code = "unauthorized"
    status = 401


class InsufficientBalance(AgentContainerError):
    """The prepaid balance does not cover the hold."""

    code = "insufficient_balance"
    status = 402


class Forbidden(AgentContainerError):
    """The request is valid but not allowed, such as one with a wrong signature, or a change to a standard agent."""

    code = "forbidden"
    status = 403


class NotFound(AgentContainerError):
    """The object does not exist, or belongs to another account. The response does not tell which."""

    code = "not_found"
    status = 404


class Conflict(AgentContainerError):
    """The request cannot be carried out in the object's present state."""

    code = "conflict"
    status = 409


class InProgress(Conflict):
    """The first request with this `Idempotency-Key` is not finished. A later repeat gets its response."""

    retry_after_seconds: ClassVar[int] = 1


class Gone(AgentContainerError):
    """What is asked for existed, but was removed because it was too old."""

    code = "gone"
    status = 410


class PayloadTooLarge(AgentContainerError):
    """The body, or the file in it, is larger than allowed."""

    code = "payload_too_large"
    status = 413


class UnsupportedMediaType(AgentContainerError):
    """The body has a content type or encoding that the route does not accept."""

    code = "unsupported_media_type"
    status = 415


class RangeNotSatisfiable(AgentContainerError):
    """The requested range begins beyond the file's end. The header `Content-Range` says how long the file is."""

    code = "range_not_satisfiable"
    status = 416

    def __init__(self, message: str, size_bytes: int) -> None:
        super().__init__(message)
        self.size_bytes = size_bytes


class Misdirected(AgentContainerError):
    """The host name in the URL is not one under which browsers may use this installation."""

    code = "misdirected_request"
    status = 421


class RateLimited(AgentContainerError):
    """There are too many requests. `retry_after_seconds` says when to try again."""

    code = "rate_limited"
    status = 429

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class LimitReached(AgentContainerError):
    """A limit of the account or the key is reached: pending tasks, or tasks of a day. The message names it."""

    code = "limit_reached"
    status = 429

    def __init__(self, message: str, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class CostLimitReached(LimitReached):
    """The key or the account has used as much money as it may on a day. The message names it."""

    status = 402


class Unavailable(AgentContainerError):
    """A service that the request needs, such as the database or the object store, cannot be reached now."""

    code = "unavailable"
    status = 503

    def __init__(self, message: str, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class SettingsError(AgentContainerError):
    """A setting is wrong. The message names the AGENTCONTAINER_* variable and says what would be right."""


class SandboxError(AgentContainerError):
    """The platform could not start, limit or destroy a sandbox."""
