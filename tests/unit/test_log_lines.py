"""A log record is one line without terminal control characters, whatever its message contains."""

import io
import logging

from agentcontainer.cli.log_lines import LogLines, without_stack

HOSTILE = "a\x1b[2Jb\r\n2026-01-01 ERROR forged\u202etxt\x9b31m\u2028c"


def logged(message: str, *arguments: object, error: BaseException | None = None) -> list[str]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LogLines())
    traceback = error and (type(error), error, None)
    handler.handle(logging.LogRecord("x", logging.ERROR, "x.py", 1, message, arguments, traceback))
    return stream.getvalue().removesuffix("\n").split("\n")


def test_control_characters_in_a_log_message_are_escaped() -> None:
    [line] = logged("%s: is too large", HOSTILE)
    assert line.endswith("ERROR x: a [2Jb  2026-01-01 ERROR forged txt 31m c: is too large")
    assert line.isprintable()


def test_a_traceback_is_indented_and_escaped() -> None:
    lines = logged("failed", error=ValueError(HOSTILE))
    assert len(lines) == 3
    assert all(line.startswith("  ") and line.isprintable() for line in lines[1:])


def test_an_error_can_be_part_of_its_log_line() -> None:
    error = ValueError(HOSTILE)
    record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "%s failed", ("it",), (ValueError, error, None))
    assert without_stack(record)
    line = LogLines().format(record)
    assert "it failed: ValueError(" in line and line.isprintable()
