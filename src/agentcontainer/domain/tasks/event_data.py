"""What each type of event contains, and how an event is stored: the one place that writes its JSON.

Field names are stored in camelCase. A field whose default is None is left out of the JSON when it is None.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypedDict, cast

from agentcontainer.domain.hibernation.model import WakeKind
from agentcontainer.domain.tasks.model import Output
from agentcontainer.domain.tasks.state import Status

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def iso(moment: datetime) -> str:
    """The time in the format of the API: `2026-11-24T01:02:03.456Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class EventData:
    """The data of an event. `type` is the event's type."""

    type: ClassVar[str]


@dataclass(frozen=True)
class TurnLabel:
    """The turn of a conversation in which an event happened, and the number of the attempt at that turn."""

    turn_number: int
    attempt_number: int


@dataclass(frozen=True)
class Draft:
    """An event to append, in its stored form."""

    type: str
    data: Mapping[str, Any]


def draft(data: EventData, turn: TurnLabel | None = None) -> Draft:
    """The event in its stored form. `turn` None: it happened outside a turn."""
    return Draft(data.type, _json(data) | (_json(turn) if turn else {}))


def _json(value: "DataclassInstance") -> dict[str, Any]:
    pairs = ((field, getattr(value, field.name)) for field in fields(value))
    return {
        _camel_case(field.name): _json_value(content)
        for field, content in pairs
        if content is not None or field.default is MISSING
    }


def _json_value(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return _json(value)
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, tuple):
        return [_json_value(item) for item in cast("tuple[object, ...]", value)]
    return value


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


# ---- the task


@dataclass(frozen=True)
class TaskCreated(EventData):
    type = "task.created"
    status: Status
    agent_id: str
    mode: str


@dataclass(frozen=True)
class TaskClaimed(EventData):
    """Written by the statement that claims a task, since only it knows the attempt; a test compares the two."""

    type = "task.claimed"
    status: Status
    attempt: int
    runner_id: str


@dataclass(frozen=True)
class TaskStarted(EventData):
    type = "task.started"
    status: Status
    attempt: int
    runner_id: str


@dataclass(frozen=True)
class TaskTitled(EventData):
    type = "task.titled"
    title: str


@dataclass(frozen=True)
class TaskRequeued(EventData):
    type = "task.requeued"
    status: Status
    reason: str | None


@dataclass(frozen=True)
class TaskCheckpointed(EventData):
    type = "task.checkpointed"
    size_bytes: int
    paused_ms: int


@dataclass(frozen=True)
class TaskHibernated(EventData):
    type = "task.hibernated"
    status: Status
    message: str
    hibernate_until_at: datetime
    hibernation_reason: str
    has_wake_link: bool


@dataclass(frozen=True)
class TaskWoken(EventData):
    type = "task.woken"
    status: Status
    kind: WakeKind


@dataclass(frozen=True)
class BudgetWarning(EventData):
    """`percent`: 50 or 80."""

    type = "budget.warning"
    percent: int
    used_usd: float
    used_tokens: int


@dataclass(frozen=True)
class BudgetReached(EventData):
    type = "budget.reached"
    used_usd: float
    used_tokens: int
    on_reached: str


@dataclass(frozen=True)
class TaskAwaitingInput(EventData):
    type = "task.awaiting_input"
    status: Status
    expires_at: datetime


@dataclass(frozen=True)
class OutputFile:
    """An output file, as an event shows it."""

    id: str
    filename: str
    content_type: str
    size_bytes: int
    output_name: str | None
    path: str | None

    @classmethod
    def of(cls, output: Output) -> Self:
        return cls(
            output.id, output.filename, output.content_type, output.size_bytes, output.output_name, output.path
        )  # fmt: skip


@dataclass(frozen=True)
class TaskFinished(EventData):
    type = "task.finished"
    status: Status
    completion: str | None
    message: str | None
    files: tuple[OutputFile, ...]


@dataclass(frozen=True)
class _TaskEnded(EventData):
    status: Status
    error_code: str | None
    error: str | None


@dataclass(frozen=True)
class TaskFailed(_TaskEnded):
    type = "task.failed"


@dataclass(frozen=True)
class TaskCancelled(_TaskEnded):
    type = "task.cancelled"


@dataclass(frozen=True)
class TaskExpired(_TaskEnded):
    type = "task.expired"


ENDED: Mapping[Status, type[TaskFailed | TaskCancelled | TaskExpired]] = {
    Status.FAILED: TaskFailed,
    Status.CANCELLED: TaskCancelled,
    Status.EXPIRED: TaskExpired,
}


# ---- turns and messages


@dataclass(frozen=True)
class TurnStarted(EventData):
    type = "turn.started"
    message_id: str


@dataclass(frozen=True)
class TurnCompleted(EventData):
    type = "turn.completed"
    message_id: str


@dataclass(frozen=True)
class TurnFailed(EventData):
    type = "turn.failed"
    error_code: str
    error: str


@dataclass(frozen=True)
class FileOfMessage:
    """A file of a message, as an event shows it."""

    id: str
    filename: str
    content_type: str
    size_bytes: int
    created_at: datetime


class TokenUsage(TypedDict):
    """Tokens of model requests. The API writes these names as they are here."""

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int


@dataclass(frozen=True)
class MessageCreated(EventData):
    type = "message.created"
    id: str
    role: str
    status: str
    content: str
    files: tuple[FileOfMessage, ...]
    token_usage: TokenUsage
    cost_usd: float
    created_at: datetime


@dataclass(frozen=True)
class MessageDelivered(EventData):
    type = "message.delivered"
    message_id: str


@dataclass(frozen=True)
class MessageCompleted(EventData):
    type = "message.completed"
    content: str
    role: str = "assistant"


@dataclass(frozen=True)
class MessageDelta(EventData):
    """Live only: neither stored nor numbered."""

    type = "message.delta"
    content: str


# ---- the agent's work


@dataclass(frozen=True)
class FileShared(EventData, OutputFile):
    type = "file.shared"


@dataclass(frozen=True)
class ToolStarted(EventData):
    """`input` is what the model sent; None if it is too large to be stored."""

    type = "tool.started"
    activity_id: str
    call_id: str
    tool: str
    input: Mapping[str, Any] | None
    input_omitted_reason: str | None


@dataclass(frozen=True)
class ToolCompleted(EventData):
    type = "tool.completed"
    call_id: str
    tool: str
    is_error: bool
    output: str
    duration_ms: int


@dataclass(frozen=True)
class FinishRejected(EventData):
    type = "finish.rejected"
    message: str


@dataclass(frozen=True)
class EgressRefused(EventData):
    type = "egress.refused"
    host: str
    port: int | None
    rule: str


@dataclass(frozen=True)
class AgentReminded(EventData):
    """`count`: how many reminders for this reason came in a row."""

    type = "agent.reminded"
    reason: Literal["no_finish", "soft_finish", "budget", "message"]
    count: int | None = None


@dataclass(frozen=True)
class ModelRetried(EventData):
    """`wait_ms`: how long the platform waits before it repeats the request; None: Pi repeats it, after a moment."""

    type = "model.retried"
    attempt: int
    error: str
    wait_ms: int | None = None


@dataclass(frozen=True)
class ContextCompacting(EventData):
    type = "context.compacting"


@dataclass(frozen=True)
class ContextCompacted(EventData):
    """`tokens_before`: the size of the conversation that a summary replaced; None if that failed."""

    type = "context.compacted"
    tokens_before: int | None
    duration_ms: int


@dataclass(frozen=True)
class ContextLost(EventData):
    type = "context.lost"
