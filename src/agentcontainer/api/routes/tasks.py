"""Tasks as clients see them: the object, one, a filtered list, cancel."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import Depends, Path
from pydantic import Field

from agentcontainer.api.http import paging
from agentcontainer.api.http.auth import AccountId
from agentcontainer.api.http.body import JsonBody, NoBody
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.query import Query, from_iso_time
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.routes.agents import Runtime
from agentcontainer.api.schemas.dispatch import MAX_BODY_BYTES, DispatchRequest, as_sent, dispatch_of
from agentcontainer.api.wire import Id, Outgoing, Provider, Timestamp, Usd, usd
from agentcontainer.domain.ledger.prices import container_cost_micro_usd
from agentcontainer.domain.tasks import model, service, store
from agentcontainer.domain.tasks.state import TERMINAL, Status
from agentcontainer.settings import Settings

router = authenticated()
TaskId = Annotated[str, Path(alias="taskId")]
Mode = Literal["autonomous", "conversation"]
TurnStatus = Literal["queued", "running", "completed", "failed"]


class Execution(Outgoing):
    """What the task runs with: its version's defaults under its overrides."""

    provider: Provider
    model: str
    weak_model: str | None


class TokenUsage(Outgoing):
    """Model tokens, cached input included."""

    input_tokens: int = Field(serialization_alias="input_tokens")
    output_tokens: int = Field(serialization_alias="output_tokens")


class Task(Outgoing):
    """A task. `result` is the agent's finish message; `error` a sentence why it failed, `errorCode` a word."""

    id: str
    mode: Mode
    agent_id: str
    agent_name: str
    agent_version_id: str
    runtime: Runtime
    status: Status
    turn_status: TurnStatus | None
    turn_number: int
    session_ttl_seconds: int | None
    hibernate_until_at: Timestamp | None
    title: str | None
    instructions: str
    runtime_region: Literal["eu", "any"]
    overrides: Annotated[dict[str, Any], Field(description="As sent, without the key.")]
    execution: Execution
    skills: Annotated[list[str], Field(description="Files: those of its version, then its own.")]
    metadata: dict[str, Any]
    created_at: Timestamp
    started_at: Timestamp | None
    completed_at: Timestamp | None
    completion: Literal["complete", "incomplete"] | None
    result: str | None
    error: str | None
    error_code: str | None
    cost_usd: Usd
    container_minutes: Annotated[float, Field(description="Billed container time, in whole seconds / 60.")]
    token_usage: TokenUsage


class TaskPage(Outgoing):
    """A page of tasks."""

    data: list[Task]
    page_info: PageInfo


class TasksQuery(PageQuery):
    """Which tasks; every filter given must hold."""

    status: Annotated[Status | None, Field(strict=False)] = None
    agent_id: Id | None = None
    mode: Mode | None = None
    created_after: Annotated[datetime, from_iso_time] | None = None
    created_before: Annotated[datetime, from_iso_time] | None = None
    metadata: dict[str, str] = Field(
        default_factory=dict[str, str],
        description="`metadata.<key>=<value>`: the top-level key holds this string.",
    )


@router.post("/agents/{agentId}/tasks", status_code=201, responses={402: {}, 409: {}})
async def dispatch_task(
    agent_id: Annotated[str, Path(alias="agentId")],
    account_id: AccountId,
    services: Provided,
    body: Annotated[DispatchRequest, Depends(JsonBody(DispatchRequest, max_bytes=MAX_BODY_BYTES))],
) -> Task:
    """Create a task, which runs as soon as a container is free. Holds money from the balance until it ends."""
    with as_sent(body):
        task = await service.dispatch(
            services.pool, services.settings, services.vault, account_id, agent_id,
            dispatch_of(body, body.instructions),
        )  # fmt: skip
    return wire_task(task, services.settings)


@router.get("/tasks")
async def list_tasks(
    account_id: AccountId, services: Provided, query: Annotated[TasksQuery, Depends(Query(TasksQuery))]
) -> TaskPage:
    """The account's tasks."""
    page = await store.list_page(
        services.pool,
        account_id,
        _filters(query),
        after_id=paging.position("tasks", query),
        limit=query.limit,
        is_descending=query.order == "desc",
    )
    info = paging.page_info("tasks", page, lambda task: task.id)
    return TaskPage(data=[wire_task(task, services.settings) for task in page.rows], page_info=info)


@router.get("/tasks/{taskId}")
async def get_task(task_id: TaskId, account_id: AccountId, services: Provided) -> Task:
    """A task."""
    return wire_task(await service.get(services.pool, account_id, task_id), services.settings)


@router.post("/tasks/{taskId}/cancel", responses={409: {}})
async def cancel_task(
    task_id: TaskId,
    account_id: AccountId,
    services: Provided,
    _body: NoBody,
) -> Task:
    """Cancel a live task; its container stops within seconds. Cancelling twice is fine."""
    return wire_task(
        await service.cancel(services.pool, services.settings, account_id, task_id), services.settings
    )


def wire_task(task: model.Task, settings: Settings) -> Task:
    """The task as it stands on the wire."""
    seconds = -(-task.container_micro_seconds // 1_000_000)
    rate = settings.container_micro_usd_per_minute
    is_over = task.status in TERMINAL
    cost = task.cost_micro_usd if is_over else container_cost_micro_usd(task.container_micro_seconds, rate)
    values: dict[str, Any] = {
        name: getattr(task, name) for name in Task.model_fields if name in model.Task.__dataclass_fields__
    }
    execution = task.execution
    return Task.model_validate(
        values
        | {
            "runtime": Runtime(container_image=task.container_image),
            "runtime_region": execution.runtime_region,
            "execution": Execution.model_validate(
                {"provider": execution.provider, "model": execution.model, "weak_model": execution.weak_model}
            ),
            "cost_usd": usd(cost),
            "container_minutes": round(seconds / 60, 4),
            "token_usage": TokenUsage(input_tokens=task.input_tokens, output_tokens=task.output_tokens),
        }
    )


def _filters(query: TasksQuery) -> dict[str, Any]:
    given: dict[str, Any] = {
        "status": query.status,
        "agent_id": query.agent_id,
        "mode": query.mode,
        "created_after": _end_of_millisecond(query.created_after),
        "created_before": query.created_before,
        "metadata": query.metadata or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _end_of_millisecond(moment: datetime | None) -> datetime | None:
    # The database holds microseconds, the wire milliseconds: `createdAfter` a task's own `createdAt` must not find it.
    return moment and moment.replace(microsecond=moment.microsecond // 1000 * 1000) + timedelta(
        microseconds=999
    )
