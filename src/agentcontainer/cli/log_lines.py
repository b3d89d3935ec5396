"""Formats log records so that a name chosen by an agent cannot control a terminal or forge a log line.

With `AGENTCONTAINER_LOG_FORMAT=json` all that `up`, `api` and `runner` write is an object on each line.
"""

import json
import logging
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType

from agentcontainer.cli.error_lines import harmless, local_time
from agentcontainer.repetition import Repetition
from agentcontainer.settings import Settings
from agentcontainer.telemetry import log_context

MAX_FROM_OUR_LINE = 10  # warnings and errors in a minute from one line of our code
MAX_FROM_OTHER_LINE = 3  # from one line of another package's code
_NUMBERS = re.compile(r"[0-9.]+")


class LogLines(logging.Formatter):
    """Writes each record as one line, followed by its indented stack trace if there is one. Times have their zone."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802, ARG002
        return local_time(record.created)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - overrides logging.Formatter's method
        return harmless(super().formatMessage(record))

    def formatException(  # noqa: N802
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        return "\n".join(f"  {harmless(line)}" for line in super().formatException(ei).split("\n"))


class JsonLines(logging.Formatter):
    """Writes each record as one JSON object on one line. Everything but printable ASCII is escaped."""

    def format(self, record: logging.LogRecord) -> str:
        context = log_context.current()
        return json_line(
            record.levelname.lower(), record.name, record.getMessage(), record.created,
            runner=context.runner, task=context.task, attempt=context.attempt, requestId=context.request_id,
            exception=self.formatException(record.exc_info) if record.exc_info else None,
        )  # fmt: skip


def json_line(
    level: str, logger: str, message: str, seconds: float | None = None, **fields: str | int | None
) -> str:
    """A line of the log as a JSON object, without the fields that are None. `seconds`: since the epoch; None: now."""
    at = datetime.fromtimestamp(time.time() if seconds is None else seconds, UTC)
    line = {
        "time": at.isoformat(timespec="milliseconds"),
        "level": level,
        "logger": logger,
        "message": message,
        **fields,
    }
    return json.dumps({name: value for name, value in line.items() if value is not None})


def log_to_stderr(settings: Settings, level: str) -> None:
    """Let this process write its log from this level on to stderr, in the format of the settings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else LogLines())
    handler.addFilter(BoundedRate())
    logging.basicConfig(level=level.upper(), handlers=[handler])


class BoundedRate:
    """A filter of a log handler: a warning or error that is repeated is written once a minute, with the number of those
    left out. Different messages from one line of code are limited, too."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._texts = Repetition(clock=clock)
        self._code_lines = Repetition(clock=clock)

    def __call__(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        code_line = (record.name, record.pathname, record.lineno)
        limit = MAX_FROM_OUR_LINE if record.name.startswith("agentcontainer") else MAX_FROM_OTHER_LINE
        of_text = self._texts.admit((code_line, str(record.msg), repr(record.args)))
        of_code_line = None if of_text is None else self._code_lines.admit(code_line, limit)
        if of_text is None or of_code_line is None:
            return False
        if left_out := of_text + of_code_line:
            record.msg = f"{record.msg} ({left_out} more like it since the last one)"
        return True


def once_a_minute(report: Callable[[str], None]) -> Callable[[str], None]:
    """A function that passes lines on to `report`, but of lines that differ in numbers only, one a minute."""
    repetition = Repetition()

    def report_bounded(line: str) -> None:
        left_out = repetition.admit(_NUMBERS.sub("#", line))
        if left_out is not None:
            report(f"{line} ({left_out} more like it since the last one)" if left_out else line)

    return report_bounded
