"""A log record is one line without terminal control characters, whatever its message contains."""

import asyncio
import io
import json
import logging
import re
from typing import Any

from agentcontainer.cli.log_lines import JsonLines, LogLines
from agentcontainer.telemetry import log_context

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
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d ERROR", line)


def test_a_traceback_is_indented_and_escaped() -> None:
    lines = logged("failed", error=ValueError(HOSTILE))
    assert len(lines) == 3
    assert all(line.startswith("  ") and line.isprintable() for line in lines[1:])


def json_record(message: str, *arguments: object, error: BaseException | None = None) -> dict[str, Any]:
    traceback = error and (type(error), error, None)
    record = logging.LogRecord("x", logging.ERROR, "x.py", 1, message, arguments, traceback)
    line = JsonLines().format(record)
    assert line.isascii() and line.isprintable()
    return json.loads(line)


def test_a_json_line_is_one_line_with_the_whole_message() -> None:
    fields = json_record("%s: is too large", HOSTILE, error=ValueError(HOSTILE))
    assert fields["message"] == f"{HOSTILE}: is too large"
    assert "ValueError" in fields.pop("exception")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", fields.pop("time"))
    assert fields == {"level": "error", "logger": "x", "message": f"{HOSTILE}: is too large"}


async def test_a_json_line_names_the_runner_the_attempt_and_the_request_of_its_own_asyncio_task() -> None:
    log_context.set_runner("rnr_1")

    async def attempt(number: int) -> dict[str, Any]:
        log_context.set_attempt("tsk_1", number)
        await asyncio.sleep(0)
        return json_record("x")

    lines = await asyncio.gather(attempt(1), attempt(2))
    assert [(line["runner"], line["task"], line["attempt"]) for line in lines] == [
        ("rnr_1", "tsk_1", 1),
        ("rnr_1", "tsk_1", 2),
    ]
    log_context.set_request("req_1")
    assert json_record("x")["requestId"] == "req_1"
    assert "task" not in json_record("x")
