"""Describes the `data` of each type of event, for the OpenAPI document."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, WithJsonSchema
from pydantic.config import JsonDict
from typing_extensions import TypeAliasType

from agentcontainer.api.wire import Outgoing, Timestamp
from agentcontainer.domain.tasks.state import MEANING, Status

TaskStatus = TypeAliasType(
    "TaskStatus",
    Annotated[
        Status,
        Field(strict=False),  # a query holds it as a string
        WithJsonSchema({"type": "string", "enum": [status.value for status in Status]}),
    ],
)
TaskMode = TypeAliasType("TaskMode", Literal["autonomous", "conversation"])
ERROR_CODES = sorted({meaning.error_code for meaning in MEANING.values() if meaning.error_code})
# The stored codes are not validated: a Literal could not be built from the table of meanings, and need not be.
TaskErrorCode = TypeAliasType(
    "TaskErrorCode", Annotated[str, WithJsonSchema({"type": "string", "enum": ERROR_CODES})]
)
MessageStatus = TypeAliasType("MessageStatus", Literal["queued", "delivered", "created"])
Role = TypeAliasType("Role", Literal["user", "assistant"])
Completion = TypeAliasType("Completion", Literal["complete", "incomplete"])
WakeKind = TypeAliasType(
    "WakeKind", Literal["message", "external_wake", "deadline", "link", "provider", "budget"]
)
HibernationReason = TypeAliasType("HibernationReason", Literal["agent", "provider", "budget"])
InputOmittedReason = TypeAliasType("InputOmittedReason", Literal["too_large"])
OnReached = TypeAliasType("OnReached", Literal["fail", "pause"])
ReminderReason = TypeAliasType("ReminderReason", Literal["no_finish", "soft_finish", "budget", "message"])


class TokenUsage(Outgoing):
    """Tokens of model requests. The input includes what the provider had in its cache."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    input_tokens: int = Field(serialization_alias="input_tokens")
    output_tokens: int = Field(serialization_alias="output_tokens")
    cached_input_tokens: int = Field(
        default=0,
        serialization_alias="cached_input_tokens",
        description="The part of the input that the provider had in its cache. Older events lack it.",
    )


class MessageFile(Outgoing):
    """A file that came with a message, or that the agent shared during the turn."""

    id: str
    filename: str
    content_type: str
    size_bytes: int
    created_at: Timestamp


class EventData(Outgoing):
    """The data of an event. Fields may be absent."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)


def without_default(schema: JsonDict) -> None:
    """Remove the default from the schema of a field: one that is absent has none."""
    schema.pop("default", None)


class _InTurn(EventData):
    """In a conversation, what happens during a turn names the turn."""

    turn_number: Annotated[
        int, Field(description="In conversations only.", json_schema_extra=without_default)
    ] = 0
    attempt_number: Annotated[
        int, Field(description="In conversations only.", json_schema_extra=without_default)
    ] = 0


class OutputFileInEvent(EventData):
    """An output file."""

    id: str
    filename: str
    content_type: str
    size_bytes: int
    output_name: str | None
    path: Annotated[
        str | None, Field(description="Where the agent had it; see the output files of a task.")
    ] = None


class TaskCreated(EventData):
    """The task was dispatched."""

    status: TaskStatus
    agent_id: str
    mode: TaskMode


class TaskClaimed(EventData):
    """A runner has claimed the task, and prepares a container for it."""

    status: TaskStatus
    attempt: Annotated[int, Field(description="1, 2, …: counts the claims of the task.")]
    runner_id: str


class TaskStarted(EventData):
    """A container is up."""

    status: TaskStatus
    attempt: Annotated[
        int, Field(description="1, 2, …: counts the task's containers. Each starts from the last checkpoint.")
    ]
    runner_id: Annotated[
        str | None, Field(description="The runner that has the container. Its host is not public.")
    ] = None


class TaskTitled(EventData):
    """A model wrote the task's title."""

    title: str


class TaskRequeued(EventData):
    """The attempt was lost or its runner stopped. The task waits for another container."""

    status: TaskStatus
    reason: str | None


class TaskCheckpointed(EventData):
    """The state of a long run was saved."""

    size_bytes: int
    paused_ms: Annotated[int, Field(description="How long the container was paused for it.")]


class TaskHibernated(EventData):
    """The task hibernates."""

    status: TaskStatus
    message: Annotated[str, Field(description="Why, in the agent's words or the provider's.")]
    hibernate_until_at: Timestamp
    hibernation_reason: HibernationReason
    has_wake_link: Annotated[
        bool, Field(description="Whether a wake link ends it. The task's `wakeUrl` is the link.")
    ] = False


class TaskWoken(EventData):
    """The task waits for a container again."""

    status: TaskStatus
    kind: WakeKind


class BudgetWarning(EventData):
    """The task has used half, or four fifths, of its budget."""

    percent: Annotated[int, Field(description="50 or 80.")]
    used_usd: Annotated[float, Field(description="US dollars of model requests.")]
    used_tokens: int


class BudgetReached(EventData):
    """The budget of the task is used up."""

    used_usd: Annotated[float, Field(description="US dollars of model requests.")]
    used_tokens: int
    on_reached: Annotated[OnReached, Field(description="`pause`: the task waits until the budget is raised.")]


class TaskAwaitingInput(EventData):
    """The conversation waits for the user's next message."""

    status: TaskStatus
    expires_at: Timestamp


class TaskFinished(EventData):
    """The agent's `finish` was accepted, or the client ended the conversation (then the fields below are null)."""

    status: TaskStatus
    completion: Completion | None
    message: str | None
    files: list[OutputFileInEvent]


class TaskEnded(EventData):
    """The task failed, was cancelled or expired. Both fields are null unless it failed."""

    status: TaskStatus
    error_code: TaskErrorCode | None
    error: str | None


class TurnEvent(_InTurn):
    """A turn began (`messageId` is the user's message) or ended (it is the reply)."""

    message_id: str


class TurnFailed(_InTurn):
    """The turn ended without a reply. The conversation goes on."""

    error_code: TaskErrorCode
    error: str


class MessageCreated(_InTurn):
    """A message entered the transcript."""

    id: str
    role: Role
    status: MessageStatus
    content: str
    files: list[MessageFile]
    token_usage: TokenUsage
    cost_usd: float
    created_at: Timestamp


class MessageDelivered(_InTurn):
    """The agent has received the user's message."""

    message_id: str


class MessageCompleted(_InTurn):
    """The agent completed a message."""

    role: Role
    content: str


class FileShared(OutputFileInEvent, _InTurn):
    """The agent made a file of a conversation available for download."""


class ToolStarted(_InTurn):
    """The agent called a tool."""

    activity_id: str
    call_id: str
    tool: str
    input: Annotated[object, WithJsonSchema({"type": ["object", "null"]})]
    input_omitted_reason: Annotated[InputOmittedReason | None, Field(description="Why `input` is null.")]


class ToolCompleted(_InTurn):
    """The tool answered."""

    call_id: str
    tool: str
    is_error: bool
    output: str
    duration_ms: int


class FinishRejected(_InTurn):
    """A `finish` did not meet the output policy. The agent goes on."""

    message: Annotated[str, Field(description="The reason that the agent was given.")]


class EgressRefused(_InTurn):
    """The agent tried to reach a host that the task's allow-list does not name."""

    host: str
    port: Annotated[int | None, Field(description="Null: the agent asked for the host's address.")]
    rule: Annotated[str, Field(description="The entry of `overrides.egress.allow` that would allow it.")]


class AgentReminded(_InTurn):
    """The agent was asked to go on, or to finish because its time or budget runs out."""

    reason: ReminderReason
    count: Annotated[
        int,
        Field(
            description="How many reminders in a row; absent with the reasons `soft_finish` and `budget`.",
            json_schema_extra=without_default,
        ),
    ] = 0


class ModelRetried(_InTurn):
    """A request to the provider failed and is tried again."""

    attempt: int
    error: str
    wait_ms: Annotated[
        int,
        Field(
            description="How long the platform waits before it repeats the request, if the provider is overloaded.",
            json_schema_extra=without_default,
        ),
    ] = 0


class ContextCompacting(_InTurn):
    """A summary is written to replace most of a long conversation."""


class ContextCompacted(_InTurn):
    """The writing of a summary ended."""

    tokens_before: Annotated[
        int | None,
        Field(
            description="The size of the conversation before the summary. Null: writing the summary failed."
        ),
    ]
    duration_ms: int


class ContextLost(_InTurn):
    """The agent's session was missing or damaged when the agent was started again."""
