"""The exceptions of the client.

AgentContainerError
├── ConfigurationError          wrong arguments, or a profile that cannot be used
│   └── NotLoggedIn             no URL, or no API key
├── ConnectionFailed            the server cannot be reached, or the connection broke
│   └── TimedOut                the server did not answer in time
├── UnexpectedResponse          the answer is not one of AgentContainer's
├── ChecksumMismatch            a file arrived with other bytes than were sent
├── BadSignature                a request to a webhook is not one of AgentContainer's
├── ApiError                    the API answered with an error
│   ├── ValidationFailed        400
│   ├── Unauthorized            401
│   ├── InsufficientBalance     402
│   ├── Forbidden               403
│   ├── NotFound                404
│   ├── Conflict                409
│   ├── Gone                    410
│   ├── TooLarge                413
│   ├── RateLimited             429
│   └── ServerFault             5xx
│       └── Unavailable         503
├── TaskEnded                   a task ended without finishing
│   ├── TaskFailed
│   ├── TaskCancelled
│   └── TaskExpired
├── TurnFailed                  a turn of a conversation ended without a reply
└── WaitTimedOut                the wait ended; the task goes on
"""

from collections.abc import Sequence

from agentcontainer_client.models import FieldFault, Task


class AgentContainerError(Exception):
    """The base of all exceptions of the client."""


class ConfigurationError(AgentContainerError):
    """The client was given arguments that do not fit together, or a profile that cannot be used."""


class NotLoggedIn(ConfigurationError):
    """Neither arguments, environment nor profile say what the URL is, or the API key."""


class ConnectionFailed(AgentContainerError):
    """The server could not be reached, or the connection broke, also after the retries."""


class TimedOut(ConnectionFailed):
    """The server did not answer in time, also after the retries."""


class UnexpectedResponse(AgentContainerError):
    """The answer is not one of AgentContainer's, for example the page of a proxy."""


class ChecksumMismatch(AgentContainerError):
    """A file was transferred, but its bytes are not those that were sent."""


class BadSignature(AgentContainerError):
    """A request to a webhook is forged, changed or replayed, or its secret is another one."""


class ApiError(AgentContainerError):
    """The API answered with an error.

    `status` is the HTTP status, `code` the stable word of the API, `details` the faulty fields of a request, and
    `request_id` names the request in the server's log. `is_transient`: the same request may succeed later.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Sequence[FieldFault] = (),
        request_id: str | None = None,
        retry_after: float | None = None,
        is_transient: bool = False,
    ) -> None:
        super().__init__(status, code, message, details, request_id, retry_after, is_transient)
        self.status = status
        self.code = code
        self.message = message
        self.details = tuple(details)
        self.request_id = request_id
        self.retry_after = retry_after
        self.is_transient = is_transient

    def __str__(self) -> str:
        lines = [f"{fault.path}: {fault.message}" for fault in self.details]
        faults = "".join(f"\n  {line}" for line in lines if line != self.message)
        request = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.message}{faults}{request}"


class ValidationFailed(ApiError):
    """400: the request is malformed. `details` names the fields."""


class Unauthorized(ApiError):
    """401: the API key is missing, unknown or revoked."""


class InsufficientBalance(ApiError):
    """402: the account's balance, or a limit of money, does not allow it."""


class Forbidden(ApiError):
    """403: the API key may not do this."""


class NotFound(ApiError):
    """404: there is no such resource in this account."""


class Conflict(ApiError):
    """409: the resource is in a state that does not allow it."""


class Gone(ApiError):
    """410: what was asked for has been removed, for example old events."""


class TooLarge(ApiError):
    """413: the request or the file is too large."""


class RateLimited(ApiError):
    """429: too many requests, also after the retries."""


class ServerFault(ApiError):
    """5xx: the server failed, also after the retries."""


class Unavailable(ServerFault):
    """503: the server cannot serve the request at the moment, also after the retries."""


BY_STATUS: dict[int, type[ApiError]] = {
    400: ValidationFailed,
    401: Unauthorized,
    402: InsufficientBalance,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    429: RateLimited,
    503: Unavailable,
}


class TaskEnded(AgentContainerError):
    """A task ended without finishing. `task` is the task at its end."""

    def __init__(self, task: Task, message: str | None = None) -> None:
        super().__init__(task, message)
        self.task = task
        self.message = message or f"Task {task.id} was {task.status}."

    def __str__(self) -> str:
        return self.message


class TaskFailed(TaskEnded):
    """A task failed. `error_code` is a stable word, `str()` a sentence."""

    def __init__(self, task: Task) -> None:
        super().__init__(task, task.error or f"Task {task.id} failed.")

    @property
    def error_code(self) -> str | None:
        """Why the task failed, as a stable word."""
        return self.task.error_code


class TaskCancelled(TaskEnded):
    """A task was cancelled."""


class TaskExpired(TaskEnded):
    """A conversation waited too long for the user's next message."""


class TurnFailed(AgentContainerError):
    """A turn of a conversation ended without a reply. The conversation goes on."""

    def __init__(self, task_id: str, turn_number: int, error_code: str | None, message: str) -> None:
        super().__init__(task_id, turn_number, error_code, message)
        self.task_id = task_id
        self.turn_number = turn_number
        self.error_code = error_code
        self.message = message

    def __str__(self) -> str:
        return self.message


class WaitTimedOut(AgentContainerError):
    """The time that the caller wanted to wait has passed. The task goes on."""

    def __init__(self, task_id: str, seconds: float) -> None:
        super().__init__(task_id, seconds)
        self.task_id = task_id
        self.seconds = seconds

    def __str__(self) -> str:
        return f"Task {self.task_id} has not ended within {self.seconds:g} s. It goes on."


def of_ended_task(task: Task) -> TaskEnded:
    """The exception for a task that failed, was cancelled or expired."""
    kinds: dict[str, type[TaskEnded]] = {
        "cancelled": TaskCancelled,
        "expired": TaskExpired,
    }
    return TaskFailed(task) if task.status == "failed" else kinds.get(task.status, TaskEnded)(task)
