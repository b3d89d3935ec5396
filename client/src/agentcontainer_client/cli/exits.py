"""The exit codes of the command."""

from agentcontainer_client import errors
from agentcontainer_client.models import Task

OK = 0
ERROR = 1
WRONG_USE = 2
FAILED = 3
NO_ACCESS = 4
INCOMPLETE = 5
CANCELLED = 6
NO_BALANCE = 7
TIMED_OUT = 124
DETACHED = 130


def of_task(task: Task) -> int:
    """The exit code for a task that has ended."""
    if task.status == "finished":
        return INCOMPLETE if task.completion == "incomplete" else OK
    return CANCELLED if task.status in {"cancelled", "expired"} else FAILED


def of_error(error: Exception) -> int:
    """The exit code for an error."""
    if isinstance(error, errors.Unauthorized | errors.Forbidden | errors.NotLoggedIn):
        return NO_ACCESS
    if isinstance(error, errors.ConfigurationError):
        return WRONG_USE
    if isinstance(error, errors.InsufficientBalance):
        return NO_BALANCE
    if isinstance(error, errors.WaitTimedOut):
        return TIMED_OUT
    if isinstance(error, errors.TaskEnded):
        return of_task(error.task)
    return ERROR
