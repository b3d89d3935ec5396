"""The JSON of tasks."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field
from typing_extensions import TypeAliasType

from agentcontainer.api.event_data import (
    Completion,
    HibernationReason,
    OnReached,
    Role,
    TaskErrorCode,
    TaskMode,
    TaskStatus,
    TokenUsage,
)
from agentcontainer.api.schemas.agents import Runtime
from agentcontainer.api.wire import Outgoing, Provider, Region, Timestamp, Usd, usd
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.execution.store import overrides_to_json
from agentcontainer.domain.hibernation.wake_links import url_of
from agentcontainer.domain.ledger.prices import container_cost_micro_usd
from agentcontainer.domain.tasks import model, waiting
from agentcontainer.domain.tasks.glance import MAX_COUNT, Glance
from agentcontainer.domain.tasks.state import TERMINAL
from agentcontainer.domain.tasks.waiting import MAX_POSITION
from agentcontainer.settings import Settings

QueueReason = TypeAliasType("QueueReason", Literal["no_free_slot", "account_limit", "no_runner", "draining"])
TurnStatus = TypeAliasType("TurnStatus", Literal["queued", "running", "completed", "failed"])


class Execution(Outgoing):
    """What the task runs with: its version's defaults with its overrides applied."""

    provider: Provider
    model: str
    weak_model: str | None


class QueueState(Outgoing):
    """Where a pending task is in the queue, and what it waits for."""

    position: Annotated[
        int, Field(description=f"How many of the account's own tasks are before it; at most {MAX_POSITION}.")
    ]
    reason: QueueReason
    message: Annotated[str, Field(description="The reason as a phrase, such as `2 before you`.")]
    since: Timestamp


class TaskRepository(Outgoing):
    """A git repository that a task was given. Its token is never sent."""

    url: str
    ref: str | None
    path: str | None


class TaskBudget(Outgoing):
    """The budget of a task's model requests, and what they have used."""

    max_cost_usd: Usd | None
    max_tokens: int | None
    on_reached: OnReached
    used_usd: Usd
    used_tokens: Annotated[
        int, Field(description="With those that a provider may have charged and did not report.")
    ]


class LastActivity(Outgoing):
    """The latest tool call of a task."""

    tool: str
    summary: Annotated[
        str, Field(description="Its command or path, at most 200 characters; empty where it has neither.")
    ]
    at: Timestamp


class LastMessage(Outgoing):
    """The latest message of a conversation, or the latest steering message."""

    role: Role
    content: Annotated[str, Field(description="At most 200 characters.")]
    at: Timestamp


_IN_SUMMARIES = "In lists with `fields=summary`; elsewhere null."


class TaskSummary(Outgoing):
    """A task without its instructions, which may be long."""

    id: str
    url: Annotated[str | None, Field(description="The task's page in the dashboard; null: there is none.")]
    mode: TaskMode
    agent_id: str
    agent_name: str
    agent_version_id: str
    runtime: Runtime
    status: TaskStatus
    queue: Annotated[
        QueueState | None,
        Field(description="Of a pending task that is read by its id. Null in lists and in other responses."),
    ]
    turn_status: Annotated[TurnStatus | None, Field(description="Of a conversation: its latest turn.")]
    turn_number: int
    session_ttl_seconds: Annotated[
        int | None, Field(description="Of a conversation: how long it waits for the next message.")
    ]
    hibernate_until_at: Annotated[
        Timestamp | None, Field(description="When a hibernating task wakes at the latest.")
    ]
    hibernation_reason: Annotated[
        HibernationReason | None,
        Field(
            description="Of a hibernating task. `provider`: its provider is overloaded, and is tried again. "
            "`budget`: its budget is used up, and it waits until that is raised."
        ),
    ]
    wake_url: Annotated[
        str | None,
        Field(
            description="Of a hibernating task with a wake link: the link, which wakes it without an API key. Treat it "
            "as a password. Null for a key with the role `viewer`."
        ),
    ]
    title: str | None
    runtime_region: Region
    overrides: Annotated[dict[str, Any], Field(description="As sent, without `providerApiKey`.")]
    execution: Execution
    skills: Annotated[
        list[str], Field(description="Ids of files: those of the agent version, then the task's own.")
    ]
    metadata: Annotated[dict[str, Any], Field(description="As sent.")]
    batch_id: Annotated[str | None, Field(description="The batch with which the task was dispatched.")]
    created_at: Timestamp
    started_at: Timestamp | None
    completed_at: Timestamp | None
    events_purged_at: Annotated[
        Timestamp | None, Field(description="When the events of the task were removed, because of their age.")
    ]
    completion: Completion | None
    result: Annotated[str | None, Field(description="The message of the agent's `finish`.")]
    error: Annotated[str | None, Field(description="Why the task or its latest turn failed, as a sentence.")]
    error_code: Annotated[TaskErrorCode | None, Field(description="Why the task or its latest turn failed.")]
    cost_usd: Usd
    model_cost_usd: Annotated[
        Usd,
        Field(
            description="What the model requests cost by the prices of the catalogue. The provider bills it, not the "
            "platform."
        ),
    ]
    budget: Annotated[TaskBudget | None, Field(description="Null: no limit.")]
    container_minutes: Annotated[float, Field(description="Billed container time, in whole seconds / 60.")]
    token_usage: TokenUsage
    output_count: Annotated[
        int | None, Field(description=f"How many output files it has, at most {MAX_COUNT}. {_IN_SUMMARIES}")
    ]
    last_activity: Annotated[LastActivity | None, Field(description=_IN_SUMMARIES)]
    last_message: Annotated[LastMessage | None, Field(description=_IN_SUMMARIES)]

    @classmethod
    def of_task(
        cls,
        task: model.Task,
        settings: Settings,
        vault: Vault | None,
        queue: waiting.QueueState | None = None,
        input_file_ids: Sequence[str] | None = None,
        glance: Glance | None = None,
    ) -> Self:
        """The task as it is sent. Until it ends, its cost is that of the container time so far. `vault` None: without
        its wake link."""
        seconds = -(-task.container_micro_seconds // 1_000_000)
        cost = task.cost_micro_usd
        if task.status not in TERMINAL:
            rate = settings.container_micro_usd_per_minute
            cost = container_cost_micro_usd(task.container_micro_seconds, rate)
        link_id = task.wake_link_id
        return cls.of(
            task,
            url=settings.task_url(task.id),
            queue=queue and QueueState.of(queue),
            input_file_ids=input_file_ids,
            runtime=Runtime.of(task),
            wake_url=url_of(settings, vault, link_id) if vault and link_id else None,
            overrides=overrides_to_json(task.overrides),
            runtime_region=task.execution.runtime_region,
            cost_usd=usd(cost),
            model_cost_usd=usd(task.model_cost_micro_usd),
            budget=_budget_of(task),
            container_minutes=round(seconds / 60, 4),
            token_usage=TokenUsage.of(task),
            output_count=glance and glance.output_count,
            last_activity=glance and glance.last_activity and LastActivity.of(glance.last_activity),
            last_message=glance and glance.last_message and LastMessage.of(glance.last_message),
        )


def _budget_of(task: model.Task) -> TaskBudget | None:
    budget = task.execution.budget
    if budget is None:
        return None
    cost = budget.max_cost_micro_usd
    return TaskBudget(
        max_cost_usd=None if cost is None else usd(cost),
        max_tokens=budget.max_tokens,
        on_reached=budget.on_reached,
        used_usd=usd(task.model_cost_micro_usd),
        used_tokens=task.input_tokens + task.output_tokens + task.unreported_tokens,
    )


class GivenFile(Outgoing):
    """An input file of a task."""

    id: str
    filename: str
    content_type: str
    size_bytes: int
    is_deleted: Annotated[bool, Field(description="Whether the file was deleted since.")]


class Task(TaskSummary):
    """A task."""

    instructions: str
    input_file_ids: Annotated[
        list[str] | None,
        Field(description="As sent. Of a task that is read by its id: null in lists and in other responses."),
    ]
    input_files: Annotated[
        list[GivenFile], Field(description="Of a conversation: those that came with its first message.")
    ]
    input_repositories: Annotated[list[TaskRepository], Field(description="As sent, without tokens.")]
