"""Formats log records so that a name chosen by an agent cannot control a terminal or forge a log line."""

import logging
from types import TracebackType

from agentcontainer.cli.error_lines import harmless


class LogLines(logging.Formatter):
    """Writes each record as one line, followed by its indented stack trace if there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - overrides logging.Formatter's method
        return harmless(super().formatMessage(record))

    def formatException(  # noqa: N802
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        return "\n".join(f"  {harmless(line)}" for line in super().formatException(ei).split("\n"))


def without_stack(record: logging.LogRecord) -> bool:
    """A log filter that replaces a stack trace by the error's text, for errors that repeat while a database is down."""
    if record.exc_info and record.exc_info[1] is not None:
        record.msg = f"{record.getMessage()}: {record.exc_info[1]!r}"
        record.args, record.exc_info = (), None
    return True
