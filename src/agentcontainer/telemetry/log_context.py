"""What a log line is about: the runner, task, attempt and request in whose asyncio task it is written."""

from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class LogContext:
    """The labels of log lines. None: the line is about no such thing, or it is not known."""

    runner: str | None = None
    task: str | None = None
    attempt: int | None = None
    request_id: str | None = None


_context: ContextVar[LogContext] = ContextVar("log_context")
_NOTHING = LogContext()


def current() -> LogContext:
    """The labels of lines that are written now."""
    return _context.get(_NOTHING)


def set_runner(runner_id: str) -> None:
    """Label the lines of this asyncio task, and of those that it starts from now on."""
    _context.set(replace(current(), runner=runner_id))


def set_attempt(task_id: str, attempt: int) -> None:
    """As `set_runner`, for an attempt."""
    _context.set(replace(current(), task=task_id, attempt=attempt))


def set_request(request_id: str) -> None:
    """As `set_runner`, for a request."""
    _context.set(replace(current(), request_id=request_id))
