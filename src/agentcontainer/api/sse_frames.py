"""An event as it stands on the wire: as JSON, and as a frame of `text/event-stream`."""

import json
from typing import Annotated, Any

from pydantic import Field

from agentcontainer.api.wire import Outgoing, Timestamp
from agentcontainer.domain.tasks import events

RETRY = b"retry: 1000\n\n"  # that long an EventSource waits before it connects again
KEEP_ALIVE = b": keep-alive\n\n"
DELTA = "message.delta"


class Event(Outgoing):
    """One entry of a task's log; `sequence` counts 1, 2, 3 … without gaps."""

    id: str
    sequence: int
    type: Annotated[str, Field(json_schema_extra={"examples": list(events.EVENT_TYPES)})]
    task_id: str
    created_at: Timestamp
    data: dict[str, Any]


def wire_event(event: events.Event) -> Event:
    """The event as it stands on the wire."""
    return Event(
        id=event.id,
        sequence=event.sequence,
        type=event.type,
        task_id=event.task_id,
        created_at=event.created_at,
        data=event.data,
    )


def event_frame(event: events.Event) -> bytes:
    """The event with its number, which a client sends back as `Last-Event-ID`."""
    content = wire_event(event).model_dump_json()
    return f"id: {event.sequence}\nevent: {event.type}\ndata: {content}\n\n".encode()


def delta_frame(task_id: str, data: dict[str, Any]) -> bytes:
    """What the agent is just saying; without a number, as it is not in the log."""
    event = {"type": DELTA, "taskId": task_id, "data": data}
    content = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"event: {DELTA}\ndata: {content}\n\n".encode()
