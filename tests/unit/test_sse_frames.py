"""Frames of event streams can be split into lines by any program."""

import json
from datetime import UTC, datetime

from agentcontainer.api import sse_frames
from agentcontainer.api.logs import LogEntry
from agentcontainer.domain.tasks.events import Event

TEXT = "a\u0085b\u2028c\u2029d\r\n\x0b\x0c\x1c\x1d\x1e\\u2028 ä"


def data_of(frame: bytes) -> dict[str, str]:
    lines = frame.decode().splitlines()
    [data] = [line for line in lines if line.startswith("data: ")]
    assert all(line.startswith(("id: ", "event: ", "data: ")) for line in lines if line)
    return json.loads(data.removeprefix("data: "))["data"]


def test_no_text_adds_a_line_to_a_frame() -> None:
    content = {"role": "assistant", "content": TEXT}
    event = Event("evt_1", 7, "message.completed", "tsk_1", datetime.now(UTC), content)
    assert data_of(LogEntry.of_event(event).frame) == content
    assert data_of(sse_frames.delta_frame("tsk_1", {"content": TEXT})) == {"content": TEXT}
