"""The events of a task, one class for each type; a type that this version does not know is `Unknown`."""

# Written by scripts/render_client.py from the OpenAPI document. Do not edit.

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from agentcontainer_client import models
from agentcontainer_client._events import Event, Unknown, register
from agentcontainer_client._wire import Model, WireField, each, instant


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class OutputFileInEvent(Model):
    """An output file."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("filename", "filename", None),
        ("contentType", "content_type", None),
        ("sizeBytes", "size_bytes", None),
        ("outputName", "output_name", None),
        ("path", "path", None),
    )

    id: str
    filename: str
    content_type: str
    size_bytes: int
    output_name: str | None
    path: str | None = None
    """Where the agent had it; see the output files of a task."""


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class AgentReminded(Event):
    """The agent was asked to go on, or to finish because its time or budget runs out."""

    TYPE: ClassVar[str] = "agent.reminded"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("turnNumber", "turn_number", None),
        ("attemptNumber", "attempt_number", None),
        ("reason", "reason", None),
        ("count", "count", None),
    )

    reason: models.ReminderReason
    turn_number: int | None = None
    """In conversations only."""
    attempt_number: int | None = None
    """In conversations only."""
    count: int | None = None
    """How many reminders in a row; absent with the reasons `soft_finish` and `budget`."""


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class BudgetReached(Event):
    """The budget of the task is used up."""

    TYPE: ClassVar[str] = "budget.reached"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("usedUsd", "used_usd", None),
        ("usedTokens", "used_tokens", None),
        ("onReached", "on_reached", None),
    )

    used_usd: float
    """US dollars of model requests."""
    used_tokens: int
    on_reached: models.OnReached
    """`pause`: the task waits until the budget is raised."""


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class BudgetWarning(Event):
    """The task has used half, or four fifths, of its budget."""

    TYPE: ClassVar[str] = "budget.warning"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("percent", "percent", None),
        ("usedUsd", "used_usd", None),
        ("usedTokens", "used_tokens", None),
    )

    percent: int
    """50 or 80."""
    used_usd: float
    """US dollars of model requests."""
    used_tokens: int


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ContextCompacted(Event):
    """The writing of a summary ended."""

    TYPE: ClassVar[str] = "context.compacted"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("turnNumber", "turn_number", None),
        ("attemptNumber", "attempt_number", None),
        ("tokensBefore", "tokens_before", None),
        ("durationMs", "duration_ms", None),
    )

    tokens_before: int | None
    """The size of the conversation before the summary. Null: writing the summary failed."""
    duration_ms: int
    turn_number: int | None = None
    """In conversations only."""
    attempt_number: int | None = None
    """In conversations only."""


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ContextCompacting(Event):
    """A summary is written to replace most of a long conversation."""

    TYPE: ClassVar[str] = "context.compacting"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("turnNumber", "turn_number", None),
        ("attemptNumber", "attempt_number", None),
    )

    turn_number: int | None = None
    """In conversations only."""
    attempt_number: int | None = None
    """In conversations only."""


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ContextLost(Event):
    """The agent's session was missing or damaged when the agent was started again."""

    TYPE: ClassVar[str] = "context.lost"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("turnNumber", "turn_number", None),
        ("attemptNumber", "attempt_number", None),
    )

    turn_number: int | None = None
    """In conversations only."""
    attempt_number: int | None = None
    """In conversations only."""


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class EgressRefused(Event):
    """The agent tried to reach a host that the task's allow-list does not name."""

    TYPE: ClassVar[str] = "egress.refused"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("turnNumber", "turn_number", None),
        ("attemptNumber", "attempt_number", None),
        ("host", "host", None),
        ("port", "port", None),
        ("rule", "rule", None),
    )

    host: str
    port: int | None
    """Null: the agent asked for the host's address."""
    rule: str
    """The entry of `overrides.egress.allow` that would allow it."""
    turn_number: int | None = None
    """In conversations only."""
    attempt_number: int | None = None
    """In conversations only."""


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class FileShared(Event):
    """The agent made a file of a conversation available for download."""

    TYPE: ClassVar[str] = "file.shared"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("turnNumber", "turn_number", None),
        ("attemptNumber", "attempt_number", None),
        ("id", "file_id", None),
        ("filename", "filename", None),
        ("contentType", "content_type", None),
        ("sizeBytes", "size_bytes", None),
        ("outputName", "output_name", None),
        ("path", "path", None),
    )

    file_id: str
    filename: str
    content_type: str
    size_bytes: int
    output_name: str | None
    turn_number: int | None = None
    """In conversations only."""
    attempt_number: int | None = None
    """In conversations only."""
    path: str | None = None
    """Where the agent had it; see the output files of a task."""


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class FinishRejected(Event):
    """A `finish` did not meet the output policy. The agent goes on."""

    TYPE: ClassVar[str] = "finish.rejected"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("turnNumber", "turn_number", None),
        ("attemptNumber", "attempt_number", None),
        ("message", "message", None),
    )

    message: str
    """The reason that the agent was given."""
    turn_number: int | None = None
    """In conversations only."""
    attempt_number: int | None = None
    """In conversations only."""


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class MessageCompleted(Event):
    """The agent completed a message."""

    TYPE: ClassVar[str] = "message.completed"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("turnNumber", "turn_number", None),
        ("attemptNumber", "attempt_number", None),
        ("role", "role", None),
        ("content", "content", None),
    )

    role: models.Role
    content: str
    turn_number: int | None = None
    """In conversations only."""
    attempt_number: int | None = None
    """In conversations only."""


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class MessageCreated(Event):
    """A message entered the transcript."""

    TYPE: ClassVar[str] = "message.created"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("turnNumber", "turn_number", None),
        ("attemptNumber", "attempt_number", None),
        ("id", "message_id", None),
        ("role", "role", None),
        ("status", "status", None),
        ("content", "content", None),
        ("files", "files", each(models.MessageFile.from_wire)),
        ("tokenUsage", "token_usage", models.TokenUsage.from_wire),
        ("costUsd", "cost_usd", None),
        ("createdAt", "message_created_at", instant),
    )

    message_id: str
    role: models.Role
    status: models.MessageStatus
    content: str
    files: list[models.MessageFile]
    token_usage: models.TokenUsage
    cost_usd: float
    message_created_at: datetime
    turn_number: int | None = None
    """In conversations only."""
    attempt_number: int | None = None
    """In conversations only."""


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class MessageDelivered(Event):
    """The agent has received the user's message."""

    TYPE: ClassVar[str] = "message.delivered"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("turnNumber", "turn_number", None),
        ("attemptNumber", "attempt_number", None),
        ("messageId", "message_id", None),
    )

    message_id: str
    turn_number: int | None = None
    """In conversations only."""
    attempt_number: int | None = None
    """In conversations only."""


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ModelRetried(Event):
    """A request to the provider failed and is tried again."""

    TYPE: ClassVar[str] = "model.retried"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("turnNumber", "turn_number", None),
        ("attemptNumber", "attempt_number", None),
        ("attempt", "attempt", None),
        ("error", "error", None),
        ("waitMs", "wait_ms", None),
    )

    attempt: int
    error: str
    turn_number: int | None = None
    """In conversations only."""
    attempt_number: int | None = None
    """In conversations only."""
    wait_ms: int | None = None
    """How long the platform waits before it repeats the request, if the provider is overloaded."""


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TaskAwaitingInput(Event):
    """The conversation waits for the user's next message."""

    TYPE: ClassVar[str] = "task.awaiting_input"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("status", "status", None),
        ("expiresAt", "expires_at", instant),
    )

    status: models.TaskStatus
    expires_at: datetime


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TaskCancelled(Event):
    """The task failed, was cancelled or expired. Both fields are null unless it failed."""

    TYPE: ClassVar[str] = "task.cancelled"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("status", "status", None),
        ("errorCode", "error_code", None),
        ("error", "error", None),
    )

    status: models.TaskStatus
    error_code: models.TaskErrorCode | None
    error: str | None


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TaskCheckpointed(Event):
    """The state of a long run was saved."""

    TYPE: ClassVar[str] = "task.checkpointed"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("sizeBytes", "size_bytes", None),
        ("pausedMs", "paused_ms", None),
    )

    size_bytes: int
    paused_ms: int
    """How long the container was paused for it."""


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TaskClaimed(Event):
    """A runner has claimed the task, and prepares a container for it."""

    TYPE: ClassVar[str] = "task.claimed"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("status", "status", None),
        ("attempt", "attempt", None),
        ("runnerId", "runner_id", None),
    )

    status: models.TaskStatus
    attempt: int
    """1, 2, …: counts the claims of the task."""
    runner_id: str


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TaskCreated(Event):
    """The task was dispatched."""

    TYPE: ClassVar[str] = "task.created"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("status", "status", None),
        ("agentId", "agent_id", None),
        ("mode", "mode", None),
    )

    status: models.TaskStatus
    agent_id: str
    mode: models.TaskMode


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TaskExpired(Event):
    """The task failed, was cancelled or expired. Both fields are null unless it failed."""

    TYPE: ClassVar[str] = "task.expired"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("status", "status", None),
        ("errorCode", "error_code", None),
        ("error", "error", None),
    )

    status: models.TaskStatus
    error_code: models.TaskErrorCode | None
    error: str | None


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TaskFailed(Event):
    """The task failed, was cancelled or expired. Both fields are null unless it failed."""

    TYPE: ClassVar[str] = "task.failed"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("status", "status", None),
        ("errorCode", "error_code", None),
        ("error", "error", None),
    )

    status: models.TaskStatus
    error_code: models.TaskErrorCode | None
    error: str | None


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TaskFinished(Event):
    """The agent's `finish` was accepted, or the client ended the conversation (then the fields below are
    null).
    """

    TYPE: ClassVar[str] = "task.finished"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("status", "status", None),
        ("completion", "completion", None),
        ("message", "message", None),
        ("files", "files", each(OutputFileInEvent.from_wire)),
    )

    status: models.TaskStatus
    completion: models.Completion | None
    message: str | None
    files: list[OutputFileInEvent]


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TaskHibernated(Event):
    """The task hibernates."""

    TYPE: ClassVar[str] = "task.hibernated"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("status", "status", None),
        ("message", "message", None),
        ("hibernateUntilAt", "hibernate_until_at", instant),
        ("hibernationReason", "hibernation_reason", None),
        ("hasWakeLink", "has_wake_link", None),
    )

    status: models.TaskStatus
    message: str
    """Why, in the agent's words or the provider's."""
    hibernate_until_at: datetime
    hibernation_reason: models.HibernationReason
    has_wake_link: bool | None = None
    """Whether a wake link ends it. The task's `wakeUrl` is the link."""


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TaskRequeued(Event):
    """The attempt was lost or its runner stopped. The task waits for another container."""

    TYPE: ClassVar[str] = "task.requeued"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("status", "status", None),
        ("reason", "reason", None),
    )

    status: models.TaskStatus
    reason: str | None


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TaskStarted(Event):
    """A container is up."""

    TYPE: ClassVar[str] = "task.started"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("status", "status", None),
        ("attempt", "attempt", None),
        ("runnerId", "runner_id", None),
    )

    status: models.TaskStatus
    attempt: int
    """1, 2, …: counts the task's containers. Each starts from the last checkpoint."""
    runner_id: str | None = None
    """The runner that has the container. Its host is not public."""


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TaskTitled(Event):
    """A model wrote the task's title."""

    TYPE: ClassVar[str] = "task.titled"
    WIRE: ClassVar[tuple[WireField, ...]] = (("title", "title", None),)

    title: str


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TaskWoken(Event):
    """The task waits for a container again."""

    TYPE: ClassVar[str] = "task.woken"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("status", "status", None),
        ("kind", "kind", None),
    )

    status: models.TaskStatus
    kind: models.WakeKind


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ToolCompleted(Event):
    """The tool answered."""

    TYPE: ClassVar[str] = "tool.completed"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("turnNumber", "turn_number", None),
        ("attemptNumber", "attempt_number", None),
        ("callId", "call_id", None),
        ("tool", "tool", None),
        ("isError", "is_error", None),
        ("output", "output", None),
        ("durationMs", "duration_ms", None),
    )

    call_id: str
    tool: str
    is_error: bool
    output: str
    duration_ms: int
    turn_number: int | None = None
    """In conversations only."""
    attempt_number: int | None = None
    """In conversations only."""


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ToolStarted(Event):
    """The agent called a tool."""

    TYPE: ClassVar[str] = "tool.started"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("turnNumber", "turn_number", None),
        ("attemptNumber", "attempt_number", None),
        ("activityId", "activity_id", None),
        ("callId", "call_id", None),
        ("tool", "tool", None),
        ("input", "input", None),
        ("inputOmittedReason", "input_omitted_reason", None),
    )

    activity_id: str
    call_id: str
    tool: str
    input: Any
    input_omitted_reason: models.InputOmittedReason | None
    """Why `input` is null."""
    turn_number: int | None = None
    """In conversations only."""
    attempt_number: int | None = None
    """In conversations only."""


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TurnCompleted(Event):
    """A turn began (`messageId` is the user's message) or ended (it is the reply)."""

    TYPE: ClassVar[str] = "turn.completed"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("turnNumber", "turn_number", None),
        ("attemptNumber", "attempt_number", None),
        ("messageId", "message_id", None),
    )

    message_id: str
    turn_number: int | None = None
    """In conversations only."""
    attempt_number: int | None = None
    """In conversations only."""


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TurnFailed(Event):
    """The turn ended without a reply. The conversation goes on."""

    TYPE: ClassVar[str] = "turn.failed"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("turnNumber", "turn_number", None),
        ("attemptNumber", "attempt_number", None),
        ("errorCode", "error_code", None),
        ("error", "error", None),
    )

    error_code: models.TaskErrorCode
    error: str
    turn_number: int | None = None
    """In conversations only."""
    attempt_number: int | None = None
    """In conversations only."""


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TurnStarted(Event):
    """A turn began (`messageId` is the user's message) or ended (it is the reply)."""

    TYPE: ClassVar[str] = "turn.started"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("turnNumber", "turn_number", None),
        ("attemptNumber", "attempt_number", None),
        ("messageId", "message_id", None),
    )

    message_id: str
    turn_number: int | None = None
    """In conversations only."""
    attempt_number: int | None = None
    """In conversations only."""


@register
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class MessageDelta(Event):
    """A piece of what the agent is saying. It is live text: not in the log, and pieces may be missing."""

    TYPE: ClassVar[str] = "message.delta"
    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("content", "content", None),
        ("turnNumber", "turn_number", None),
        ("attemptNumber", "attempt_number", None),
    )

    content: str
    turn_number: int | None = None
    attempt_number: int | None = None


__all__ = [
    "AgentReminded",
    "BudgetReached",
    "BudgetWarning",
    "ContextCompacted",
    "ContextCompacting",
    "ContextLost",
    "EgressRefused",
    "Event",
    "FileShared",
    "FinishRejected",
    "MessageCompleted",
    "MessageCreated",
    "MessageDelivered",
    "MessageDelta",
    "ModelRetried",
    "OutputFileInEvent",
    "TaskAwaitingInput",
    "TaskCancelled",
    "TaskCheckpointed",
    "TaskClaimed",
    "TaskCreated",
    "TaskExpired",
    "TaskFailed",
    "TaskFinished",
    "TaskHibernated",
    "TaskRequeued",
    "TaskStarted",
    "TaskTitled",
    "TaskWoken",
    "ToolCompleted",
    "ToolStarted",
    "TurnCompleted",
    "TurnFailed",
    "TurnStarted",
    "Unknown",
]
