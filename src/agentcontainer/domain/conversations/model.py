"""What a conversation is made of, as the rest of the code holds it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from agentcontainer.db import Record
from agentcontainer.domain.tasks.events import iso


@dataclass(frozen=True)
class MessageFile:
    """A file that came with a user's message, or that the agent shared in the turn that a reply ends."""

    id: str
    filename: str
    content_type: str
    size_bytes: int
    created_at: datetime


@dataclass(frozen=True)
class Message:
    """An entry of the transcript. A reply's tokens and cost (container time) are those of its turn.

    `sequence` is that of its `message.created` event.
    """

    id: str
    task_id: str
    sequence: int
    turn_number: int
    attempt_number: int
    role: Literal["user", "assistant"]
    status: Literal["queued", "delivered", "created"]
    content: str
    input_tokens: int
    output_tokens: int
    cost_micro_usd: int
    created_at: datetime
    files: Sequence[MessageFile] = ()

    @classmethod
    def of(cls, row: Record) -> "Message":
        """As its own row has it, without its files."""
        return cls(**{name: row[name] for name in cls.__dataclass_fields__ if name != "files"})

    def event(self) -> dict[str, Any]:
        """What the log says of it: as clients see it."""
        return {
            "id": self.id,
            "turnNumber": self.turn_number,
            "attemptNumber": self.attempt_number,
            "role": self.role,
            "status": self.status,
            "content": self.content,
            "files": [
                {
                    "id": file.id, "filename": file.filename, "contentType": file.content_type,
                    "sizeBytes": file.size_bytes, "createdAt": iso(file.created_at),
                }
                for file in self.files
            ],
            "tokenUsage": {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens},
            "costUsd": self.cost_micro_usd / 1_000_000,
            "createdAt": iso(self.created_at),
        }  # fmt: skip


@dataclass(frozen=True)
class Activity:
    """A tool call of a turn, read from the event log. Of an attempt that was lost: failed, `interrupted`."""

    id: str
    turn_number: int
    attempt_number: int
    started_sequence: int
    completed_sequence: int | None
    call_id: str
    tool_key: str
    input: dict[str, Any] | None
    input_omitted_reason: str | None
    status: Literal["running", "completed", "failed"]
    error_code: str | None
    started_at: datetime
    completed_at: datetime | None
    duration_ms: int | None


@dataclass(frozen=True)
class Draft:
    """A message as the client sent it. `overrides` is camel-case and holds no key."""

    content: str
    input_file_ids: Sequence[str] = ()
    overrides: dict[str, Any] = field(default_factory=dict[str, Any])
    provider_api_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Turn:
    """A turn that an attempt works on. `used_*` is what the task had used before it."""

    message_id: str
    number: int
    attempt_number: int
    content: str
    is_handoff: bool
    used_micro_seconds: int
    used_input_tokens: int
    used_output_tokens: int

    @property
    def event(self) -> dict[str, Any]:
        return {"turnNumber": self.number, "attemptNumber": self.attempt_number}
