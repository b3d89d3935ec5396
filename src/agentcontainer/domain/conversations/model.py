"""The dataclasses of conversations: messages, activities and turns."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from agentcontainer.db import JsonObject
from agentcontainer.domain.accounts.principal import Principal
from agentcontainer.domain.execution.model import Execution, Overrides
from agentcontainer.domain.tasks import event_data
from agentcontainer.domain.tasks.event_data import TurnLabel
from agentcontainer.domain.tasks.model import USED_UP, Mode
from agentcontainer.domain.tasks.state import Status


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
    """An entry of the transcript. A reply carries the tokens and the cost (of container time) of its turn.

    `sequence` is the number of its `message.created` event.
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
    cached_input_tokens: int
    cost_micro_usd: int
    created_at: datetime
    files: Sequence[MessageFile] = ()

    def created_event(self) -> event_data.Draft:
        """Its `message.created` event."""
        data = event_data.MessageCreated(
            id=self.id,
            role=self.role,
            status=self.status,
            content=self.content,
            files=tuple(
                event_data.FileOfMessage(
                    file.id, file.filename, file.content_type, file.size_bytes, file.created_at
                )
                for file in self.files
            ),
            token_usage={
                "input_tokens": self.input_tokens,
                "output_tokens": self.output_tokens,
                "cached_input_tokens": self.cached_input_tokens,
            },
            cost_usd=self.cost_micro_usd / 1_000_000,
            created_at=self.created_at,
        )
        return event_data.draft(data, TurnLabel(self.turn_number, self.attempt_number))


@dataclass(frozen=True)
class Activity:
    """A tool call of a turn, read from the event log. If its attempt was lost before the call completed, it is `failed`
    with the error code `interrupted`."""

    id: str
    turn_number: int
    attempt_number: int
    started_sequence: int
    completed_sequence: int | None
    call_id: str
    tool_key: str
    input: JsonObject | None
    input_omitted_reason: str | None
    status: Literal["running", "completed", "failed"]
    error_code: str | None
    started_at: datetime
    completed_at: datetime | None
    duration_ms: int | None


@dataclass(frozen=True)
class Draft:
    """A message as the client sent it, with the overrides and provider key that hold from its turn on."""

    content: str
    input_file_ids: Sequence[str] = ()
    overrides: Overrides = field(default_factory=Overrides)
    provider_api_key: str | None = field(default=None, repr=False)
    traceparent: str | None = None
    """The client's span, as the header of that name."""
    caller: Principal | None = None
    """Who sends it. None: the platform itself."""


@dataclass(frozen=True)
class Turn:
    """A turn that an attempt works on. `used_*`: what the task had used before the turn."""

    message_id: str
    number: int
    attempt_number: int
    content: str
    is_handoff: bool
    used_micro_seconds: int
    used_input_tokens: int
    used_output_tokens: int
    used_cached_input_tokens: int
    traceparent: str | None = None
    """The client's span from which the message came."""

    @property
    def label(self) -> TurnLabel:
        """How events name the turn."""
        return TurnLabel(self.number, self.attempt_number)


@dataclass(frozen=True)
class NewExecution:
    """The execution that a message sets from its turn on, and the encrypted provider key that came with it."""

    overrides: Overrides
    execution: Execution
    provider_key_ciphertext: bytes | None


@dataclass(frozen=True)
class OpeningMessage:
    """The user's message that opens a turn. `new_execution` None: the task runs as before."""

    id: str
    content: str
    status: Literal["queued", "delivered"]
    is_handoff: bool
    new_execution: NewExecution | None
    traceparent: str | None


@dataclass(frozen=True)
class LockedTask:
    """The columns of a task that turns need, read with the row locked."""

    id: str
    account_id: str
    agent_id: str
    agent_version_id: str
    mode: Mode
    status: Status
    attempt: int
    turn_number: int
    turn_status: str | None
    turn_attempt: int
    last_turn_number: int
    handed_off_at: datetime | None
    overrides: Overrides
    execution: Execution
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    unreported_tokens: int
    model_cost_micro_usd: int
    used_micro_seconds: int
    budget_reported: int

    @property
    def waits_for_budget(self) -> bool:
        """Whether no turn begins until the budget is raised."""
        budget = self.execution.budget
        is_used_up = budget is not None and budget.is_pausing and self.budget_reported == USED_UP
        return is_used_up and self.status is Status.AWAITING_INPUT
