"""The routes of tasks: dispatch, read, list and cancel."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Query
from pydantic import BeforeValidator, Field, model_validator
from starlette.responses import Response

from agentcontainer.api.event_data import TaskMode, TaskStatus
from agentcontainer.api.http import paging
from agentcontainer.api.http.auth import AccountId
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.query import from_iso_time
from agentcontainer.api.http.request import NO_FIELDS, NoFields
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.schemas.dispatch import DispatchRequest, dispatch_of, naming_input_files_as_sent
from agentcontainer.api.schemas.ids import AgentId, TaskId
from agentcontainer.api.schemas.tasks import Task
from agentcontainer.api.wire import Id, Outgoing
from agentcontainer.domain.deletion import service as deletion
from agentcontainer.domain.tasks import creation, service, store
from agentcontainer.domain.tasks.model import TaskFilter

METADATA_PREFIX = "metadata."

router = authenticated("Tasks")


class TaskPage(Outgoing):
    """A page of tasks."""

    data: list[Task]
    page_info: PageInfo


def _collected(value: object) -> object:
    if isinstance(value, str):
        raise ValueError("must be sent as metadata.<key>=<value>")
    return value


class TasksQuery(PageQuery):
    """Which tasks to list: those that match every filter."""

    status: TaskStatus | None = None
    agent_id: Id | None = None
    mode: TaskMode | None = None
    created_after: Annotated[datetime, from_iso_time] | None = None
    created_before: Annotated[datetime, from_iso_time] | None = None
    metadata: Annotated[dict[str, str], BeforeValidator(_collected)] = Field(
        default_factory=dict[str, str],
        description="`metadata.<key>=<value>`: the task's metadata has this string under this top-level key.",
    )

    @model_validator(mode="before")
    @classmethod
    def _collect_metadata(cls, parameters: dict[str, str]) -> object:
        names = [name for name in parameters if name.startswith(METADATA_PREFIX) and name != METADATA_PREFIX]
        metadata = {name.removeprefix(METADATA_PREFIX): parameters[name] for name in names}
        rest = {name: value for name, value in parameters.items() if name not in names}
        return {"metadata": metadata, **rest} if metadata else {**rest}


@router.post("/agents/{agentId}/tasks", status_code=201, responses={402: {}, 409: {}})
async def dispatch_task(
    agent_id: AgentId, account_id: AccountId, services: Provided, body: DispatchRequest
) -> Task:
    """Dispatch a task.

    It runs as soon as a container is free. Money is held from the balance until the task ends.
    """
    with naming_input_files_as_sent(body):
        task = await creation.dispatch(
            services.pool, services.settings, services.vault, account_id, agent_id,
            dispatch_of(body, body.instructions),
        )  # fmt: skip
    return Task.of_task(task, services.settings, services.vault)


@router.get("/tasks")
async def list_tasks(
    account_id: AccountId, services: Provided, query: Annotated[TasksQuery, Query()]
) -> TaskPage:
    """List the account's tasks."""
    page = await store.list_page(
        services.pool,
        account_id,
        _filter(query),
        after_id=paging.position("tasks", query),
        limit=query.limit,
        is_descending=query.order == "desc",
    )
    info = paging.page_info("tasks", page, lambda task: task.id)
    return TaskPage(
        data=[Task.of_task(task, services.settings, services.vault) for task in page.rows], page_info=info
    )


@router.get("/tasks/{taskId}")
async def get_task(task_id: TaskId, account_id: AccountId, services: Provided) -> Task:
    """Get a task."""
    return Task.of_task(
        await service.get(services.pool, account_id, task_id), services.settings, services.vault
    )


@router.post("/tasks/{taskId}/cancel", responses={409: {}})
async def cancel_task(
    task_id: TaskId, account_id: AccountId, services: Provided, _body: NoFields = NO_FIELDS
) -> Task:
    """Cancel a task that has not ended.

    Its container stops within seconds. Cancelling it again changes nothing.
    """
    task = await service.cancel(services.pool, services.settings, account_id, task_id)
    return Task.of_task(task, services.settings, services.vault)


@router.delete("/tasks/{taskId}", status_code=204, response_class=Response, responses={409: {}})
async def delete_task(task_id: TaskId, account_id: AccountId, services: Provided) -> None:
    """Delete an ended task for good, with its events, messages, checkpoints and output files.

    Its ledger entries stay. 409 while it has not ended, while its partial outputs are stored, and while one of its
    files is used; the message names the user.
    """
    await deletion.delete(services.pool, services.blobs, account_id, task_id)


def _filter(query: TasksQuery) -> TaskFilter:
    return TaskFilter(
        status=query.status,
        agent_id=query.agent_id,
        mode=query.mode,
        created_after=_end_of_millisecond(query.created_after),
        created_before=query.created_before,
        metadata=query.metadata or None,
    )


def _end_of_millisecond(moment: datetime | None) -> datetime | None:
    # Stored times have microseconds, sent times milliseconds. `createdAfter` with a task's own `createdAt` must not
    # match that task.
    return moment and moment.replace(microsecond=moment.microsecond // 1000 * 1000) + timedelta(
        microseconds=999
    )
