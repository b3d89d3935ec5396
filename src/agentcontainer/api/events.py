"""Describes events as they are sent: in the OpenAPI document they are a union by `type`.

Stored events are sent without validation, so a log that an older version wrote stays readable.
"""

from operator import not_
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from agentcontainer.api import event_data as data
from agentcontainer.api.wire import Outgoing, Timestamp

T = TypeVar("T", bound=str)
D = TypeVar("D", bound=data.EventData)
IsShortened = Annotated[
    bool,
    Field(
        description="With `fields=summary`, if strings in `data` were cut. Absent otherwise.",
        exclude_if=not_,
        json_schema_extra=data.without_default,
    ),
]


class _Described(Outgoing, Generic[T, D]):
    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    id: str
    sequence: Annotated[int, Field(description="1, 2, 3 … without gaps.")]
    type: T
    task_id: str
    created_at: Timestamp
    data: D
    is_shortened: IsShortened = False


class TaskCreatedEvent(_Described[Literal["task.created"], data.TaskCreated]):
    """The task was dispatched."""


class TaskClaimedEvent(_Described[Literal["task.claimed"], data.TaskClaimed]):
    """A runner has claimed the task, and prepares a container for it."""


class TaskStartedEvent(_Described[Literal["task.started"], data.TaskStarted]):
    """A container is up."""


class TaskTitledEvent(_Described[Literal["task.titled"], data.TaskTitled]):
    """A model wrote the task's title."""


class TaskRequeuedEvent(_Described[Literal["task.requeued"], data.TaskRequeued]):
    """The attempt was lost or its runner stopped."""


class TaskCheckpointedEvent(_Described[Literal["task.checkpointed"], data.TaskCheckpointed]):
    """The state of a long run was saved."""


class TaskHibernatedEvent(_Described[Literal["task.hibernated"], data.TaskHibernated]):
    """The task hibernates."""


class TaskWokenEvent(_Described[Literal["task.woken"], data.TaskWoken]):
    """A hibernating task was woken."""


class TaskAwaitingInputEvent(_Described[Literal["task.awaiting_input"], data.TaskAwaitingInput]):
    """The conversation waits for the user's next message."""


class BudgetWarningEvent(_Described[Literal["budget.warning"], data.BudgetWarning]):
    """The task has used half, or four fifths, of its budget."""


class BudgetReachedEvent(_Described[Literal["budget.reached"], data.BudgetReached]):
    """The budget of the task is used up."""


class TaskFinishedEvent(_Described[Literal["task.finished"], data.TaskFinished]):
    """The task finished."""


class TaskFailedEvent(_Described[Literal["task.failed"], data.TaskEnded]):
    """The task failed."""


class TaskCancelledEvent(_Described[Literal["task.cancelled"], data.TaskEnded]):
    """The task was cancelled."""


class TaskExpiredEvent(_Described[Literal["task.expired"], data.TaskEnded]):
    """The conversation got no message in time."""


class TurnStartedEvent(_Described[Literal["turn.started"], data.TurnEvent]):
    """The agent starts to work on a message."""


class TurnCompletedEvent(_Described[Literal["turn.completed"], data.TurnEvent]):
    """The turn ended with a reply."""


class TurnFailedEvent(_Described[Literal["turn.failed"], data.TurnFailed]):
    """The turn ended without a reply."""


class MessageCreatedEvent(_Described[Literal["message.created"], data.MessageCreated]):
    """A message entered the transcript."""


class MessageDeliveredEvent(_Described[Literal["message.delivered"], data.MessageDelivered]):
    """The agent has received the user's message."""


class MessageCompletedEvent(_Described[Literal["message.completed"], data.MessageCompleted]):
    """The agent completed a message."""


class FileSharedEvent(_Described[Literal["file.shared"], data.FileShared]):
    """The agent shared a file of a conversation."""


class ToolStartedEvent(_Described[Literal["tool.started"], data.ToolStarted]):
    """The agent called a tool."""


class ToolCompletedEvent(_Described[Literal["tool.completed"], data.ToolCompleted]):
    """The tool answered."""


class FinishRejectedEvent(_Described[Literal["finish.rejected"], data.FinishRejected]):
    """A `finish` did not meet the output policy."""


class EgressRefusedEvent(_Described[Literal["egress.refused"], data.EgressRefused]):
    """A connection was refused by the task's allow-list."""


class AgentRemindedEvent(_Described[Literal["agent.reminded"], data.AgentReminded]):
    """The platform reminded the agent of something."""


class ModelRetriedEvent(_Described[Literal["model.retried"], data.ModelRetried]):
    """A request to the provider failed and is tried again."""


class ContextCompactingEvent(_Described[Literal["context.compacting"], data.ContextCompacting]):
    """A summary is written to replace most of a long conversation."""


class ContextCompactedEvent(_Described[Literal["context.compacted"], data.ContextCompacted]):
    """The writing of a summary ended."""


class ContextLostEvent(_Described[Literal["context.lost"], data.ContextLost]):
    """The agent's session was missing or damaged, and the agent got its instructions again."""


_UNION = TypeAdapter[object](
    Annotated[
        TaskCreatedEvent
        | TaskClaimedEvent
        | TaskStartedEvent
        | TaskTitledEvent
        | TaskRequeuedEvent
        | TaskCheckpointedEvent
        | TaskHibernatedEvent
        | TaskWokenEvent
        | TaskAwaitingInputEvent
        | BudgetWarningEvent
        | BudgetReachedEvent
        | TaskFinishedEvent
        | TaskFailedEvent
        | TaskCancelledEvent
        | TaskExpiredEvent
        | TurnStartedEvent
        | TurnCompletedEvent
        | TurnFailedEvent
        | MessageCreatedEvent
        | MessageDeliveredEvent
        | MessageCompletedEvent
        | FileSharedEvent
        | ToolStartedEvent
        | ToolCompletedEvent
        | FinishRejectedEvent
        | EgressRefusedEvent
        | AgentRemindedEvent
        | ModelRetriedEvent
        | ContextCompactingEvent
        | ContextCompactedEvent
        | ContextLostEvent,
        Field(discriminator="type"),
    ]
)


class Event(Outgoing):
    """One entry of a task's event log."""

    id: str
    sequence: int
    type: str
    task_id: str
    created_at: Timestamp
    data: object
    is_shortened: IsShortened = False

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The union by `type`, in place of the open fields above."""
        return handler(_UNION.core_schema)
