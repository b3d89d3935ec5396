"""Frames of `text/event-stream`: the bytes in which events are sent to clients that follow a log."""

import json

from pydantic import BaseModel

RETRY = b"retry: 1000\n\n"  # milliseconds until an EventSource reconnects
KEEP_ALIVE = b": keep-alive\n\n"
DELTA = "message.delta"
# Many programs, such as Python's `splitlines`, split lines at these characters, although event streams do not. In JSON
# they occur in strings only.
_SEPARATORS = {ord(character): f"\\u{ord(character):04x}" for character in "\u0085\u2028\u2029"}


def entry_frame(number: int, type_: str, entry: BaseModel) -> bytes:
    """An entry of a log. The client sends its number back as `Last-Event-ID`."""
    content = entry.model_dump_json().translate(_SEPARATORS)
    return f"id: {number}\nevent: {type_}\ndata: {content}\n\n".encode()


def delta_frame(task_id: str, data: object) -> bytes:
    """A part of the agent's current message. It has no id, because it is not in the event log."""
    event = {"type": DELTA, "taskId": task_id, "data": data}
    content = json.dumps(event, ensure_ascii=False, separators=(",", ":")).translate(_SEPARATORS)
    return f"event: {DELTA}\ndata: {content}\n\n".encode()
