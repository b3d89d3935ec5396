"""How log records become lines: a name that an agent chose can neither steer a terminal nor forge a line."""

import logging
from types import TracebackType

from agentcontainer.cli.error_lines import harmless


class LogLines(logging.Formatter):
    """One line for a record, then its stack, if it has one, indented."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - as logging names it
        return harmless(super().formatMessage(record))

    def formatException(  # noqa: N802
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        return "\n".join(f"  {harmless(line)}" for line in super().formatException(ei).split("\n"))


def without_stack(record: logging.LogRecord) -> bool:
    """A filter: the error stands in the line itself. For what is no news each time that the database is away."""
    if record.exc_info and record.exc_info[1] is not None:
        record.msg = f"{record.getMessage()}: {record.exc_info[1]!r}"
        record.args, record.exc_info = (), None
    return True
