"""The routes of tasks: dispatch, read, list, change and cancel."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import Query
from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from starlette.responses import Response

from agentcontainer.api.event_data import ERROR_CODES, TaskErrorCode, TaskMode, TaskStatus
from agentcontainer.api.http import paging
from agentcontainer.api.http.access import Agents, Level, access, acts, acts_or_tries, reads
from agentcontainer.api.http.auth import AccountId, Acting, Caller
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.query import from_iso_time
from agentcontainer.api.http.request import NO_FIELDS, NoFields
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided, Services
from agentcontainer.api.http.trace_context import TraceParent
from agentcontainer.api.schemas.dispatch import (
    MAX_BODY_BYTES,
    Budget,
    DispatchRequest,
    Metadata,
    budget_of,
    check_callback,
    dispatch_of,
    naming_input_files_as_sent,
)
from agentcontainer.api.schemas.ids import AgentId, TaskId
from agentcontainer.api.schemas.tasks import Task, TaskSummary
from agentcontainer.api.schemas.trial import DispatchQuery, DispatchTrial
from agentcontainer.api.wire import Id, Incoming, Line, Outgoing
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.deletion import service as deletion
from agentcontainer.domain.files import store as file_store
from agentcontainer.domain.hibernation import changing
from agentcontainer.domain.tasks import creation, glance, list_query, listing, model, service, trial, waiting
from agentcontainer.domain.tasks.model import TaskFilter
from agentcontainer.domain.tasks.state import Status
from agentcontainer.errors import ValidationError

METADATA_PREFIX = "metadata."
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

router = authenticated("Tasks")


class TaskPage(Outgoing):
    """A page of tasks."""

    data: list[Task | TaskSummary]
    page_info: PageInfo


def _collected(value: object) -> object:
    if isinstance(value, str):
        raise ValueError("must be sent as metadata.<key>=<value>")
    return value


def _check_error_code(code: str) -> str:
    if code not in ERROR_CODES:
        raise ValueError(f"must be one of {', '.join(ERROR_CODES)}")
    return code


class TasksQuery(PageQuery):
    """Which tasks to list: those that match every filter."""

    status: list[TaskStatus] = Field(
        default_factory=list[TaskStatus],
        max_length=len(Status),
        description="Give it several times for several statuses.",
    )
    error_code: Annotated[TaskErrorCode, AfterValidator(_check_error_code)] | None = None
    agent_id: Id | None = None
    agent_version_id: Id | None = None
    mode: TaskMode | None = None
    batch_id: Id | None = None
    created_after: Annotated[datetime, from_iso_time] | None = None
    created_before: Annotated[datetime, from_iso_time] | None = None
    completed_after: (
        Annotated[
            datetime,
            Field(description="With this or `completedBefore`, the list is ordered by `completedAt`."),
            from_iso_time,
        ]
        | None
    ) = None
    completed_before: Annotated[datetime, from_iso_time] | None = None
    q: (
        Annotated[
            str,
            Field(
                min_length=1,
                max_length=200,
                description="An id or its beginning, or the beginnings of words of the title.",
            ),
        ]
        | None
    ) = None
    fields: Annotated[
        Literal["summary"] | None,
        Field(
            description="`summary`: tasks without their `instructions` and inputs, but with what they did last."
        ),
    ] = None
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


@router.post(
    "/agents/{agentId}/tasks",
    status_code=201,
    response_model=Task,
    responses={200: {"model": DispatchTrial, "description": "With `dryRun`."}, 402: {}, 409: {}},
)
@acts_or_tries
async def dispatch_task(
    agent_id: AgentId, caller: Caller, traceparent: TraceParent, services: Provided,
    body: DispatchRequest, query: Annotated[DispatchQuery, Query()],
) -> Task | Response:  # fmt: skip
    """Dispatch a task, or try it with `dryRun`.

    It runs as soon as a container is free. Money is held from the balance until the task ends.
    """
    check_callback(services.settings, body.overrides)
    request = dispatch_of(body, body.instructions, caller, traceparent)
    of_account = (services.pool, services.settings, services.vault, caller.account_id, agent_id)
    if query.dry_run:
        tried = await trial.try_dispatch(*of_account, request)
        return Response(DispatchTrial.of_trial(tried, body).model_dump_json(), media_type="application/json")
    with naming_input_files_as_sent(body):
        task = await creation.dispatch(*of_account, request)
    return Task.of_task(task, services.settings, services.vault)


@router.get("/tasks")
@access(Level.READS, Agents.FILTERED)
async def list_tasks(caller: Caller, services: Provided, query: Annotated[TasksQuery, Query()]) -> TaskPage:
    """List the account's tasks."""
    task_filter = _bound_to(caller, _filter(query))
    page = await listing.list_page(
        services.pool,
        caller.account_id,
        task_filter,
        after=_cursor(query, task_filter),
        limit=query.limit,
        is_descending=query.order == "desc",
    )
    listed_ids = [task.id for task in page.rows] if task_filter.is_summary else []
    glances = await glance.read(services.pool, listed_ids)
    kind = TaskSummary if task_filter.is_summary else Task
    tasks = [
        kind.of_task(task, services.settings, _vault(caller, services), glance=glances.get(task.id))
        for task in page.rows
    ]
    position = page.next_cursor and _position(page.next_cursor)
    return TaskPage(data=tasks, page_info=paging.info_of(_list_name(task_filter), position))


@router.get("/tasks/{taskId}")
@reads
async def get_task(task_id: TaskId, caller: Caller, services: Provided) -> Task:
    """Get a task.

    A pending one says in `queue` what it waits for.
    """
    task = await service.get(services.pool, caller.account_id, task_id)
    queue = None
    if task.status is Status.PENDING:
        queue = await waiting.read(services.pool, task_id, services.settings.runner_lost_after_seconds)
    input_file_ids = await file_store.list_input_ids(services.pool, task_id)
    return Task.of_task(task, services.settings, _vault(caller, services), queue, input_file_ids)


class TaskChange(Incoming):
    """What changes in a task."""

    max_body_bytes = MAX_BODY_BYTES

    title: Line | None = None
    metadata: Annotated[Metadata | None, Field(description="Replaces all of it.")] = None
    budget: Annotated[
        Budget | None,
        Field(description="Of a task that has not ended. Limits that are not sent stay as they are."),
    ] = None


@router.patch("/tasks/{taskId}", responses={409: {}})
@acts
async def change_task(
    task_id: TaskId, account_id: AccountId, caller: Caller, services: Provided, body: TaskChange
) -> Task:
    """Change a task's title, metadata or budget.

    A budget can never be less than what is used. If it is raised, a task that waits for it goes on.
    """
    budget = body.budget
    change = model.TaskChange(
        title=body.title,
        metadata=body.metadata,
        budget=None if budget is None else budget_of(budget),
        on_reached=None if budget is None else budget.on_reached,
    )
    task = await changing.change(services.pool, services.settings, account_id, task_id, change)
    return Task.of_task(task, services.settings, _vault(caller, services))


@router.post("/tasks/{taskId}/cancel", responses={409: {}})
@acts
async def cancel_task(
    task_id: TaskId, account_id: AccountId, services: Provided, _body: NoFields = NO_FIELDS
) -> Task:
    """Cancel a task that has not ended.

    Its container stops within seconds. Cancelling it again changes nothing.
    """
    task = await service.cancel(services.pool, services.settings, account_id, task_id)
    return Task.of_task(task, services.settings, services.vault)


@router.delete("/tasks/{taskId}", status_code=204, response_class=Response, responses={409: {}})
@acts
async def delete_task(task_id: TaskId, caller: Caller, actor: Acting, services: Provided) -> None:
    """Delete an ended task for good, with its events, messages, checkpoints and output files.

    Its ledger entries stay. 409 while it has not ended, while its partial outputs are stored, and while one of its
    files is used; the message names the user.
    """
    await deletion.delete(services.pool, services.blobs, caller.account_id, task_id, caller=caller, by=actor)


def _vault(caller: Caller, services: Services) -> Vault | None:
    """What signs the wake link of a task. None: a viewer gets no link, because it would wake the task."""
    return services.vault if caller.is_member else None


def _bound_to(caller: Caller, task_filter: TaskFilter) -> TaskFilter:
    """The filter, for the agents that the caller's key is bound to."""
    if caller.agent_ids is None:
        return task_filter
    if task_filter.agent_id is None and len(caller.agent_ids) == 1:
        return replace(task_filter, agent_id=next(iter(caller.agent_ids)))
    return replace(task_filter, agent_ids=caller.agent_ids)


def _filter(query: TasksQuery) -> TaskFilter:
    if query.q is not None and not list_query.has_words(query.q):
        raise ValidationError.at("q", "must have a letter or digit")
    return TaskFilter(
        statuses=frozenset(Status(status) for status in query.status),
        error_code=query.error_code,
        agent_id=query.agent_id,
        agent_version_id=query.agent_version_id,
        mode=query.mode,
        batch_id=query.batch_id,
        created_after=_end_of_millisecond(query.created_after),
        created_before=query.created_before,
        completed_after=_end_of_millisecond(query.completed_after),
        completed_before=query.completed_before,
        text=query.q,
        is_summary=query.fields == "summary",
        metadata=query.metadata or None,
    )


def _list_name(task_filter: TaskFilter) -> str:
    return "tasks_by_completion" if list_query.is_by_completion(task_filter) else "tasks"


def _position(cursor: list_query.Cursor) -> str:
    if cursor.completed_at is None:
        return cursor.id
    return f"{(cursor.completed_at - _EPOCH) // timedelta(microseconds=1)}_{cursor.id}"


def _cursor(query: TasksQuery, task_filter: TaskFilter) -> list_query.Cursor | None:
    position = paging.position(_list_name(task_filter), query)
    if position is None:
        return None
    if not list_query.is_by_completion(task_filter):
        return list_query.Cursor(position)
    microseconds, _, task_id = position.partition("_")
    if not re.fullmatch(r"[0-9]{1,17}", microseconds):
        raise paging.not_a_cursor()
    return list_query.Cursor(task_id, _EPOCH + timedelta(microseconds=int(microseconds)))


def _end_of_millisecond(moment: datetime | None) -> datetime | None:
    # Stored times have microseconds, sent times milliseconds. `createdAfter` with a task's own `createdAt` must not
    # match that task.
    return moment and moment.replace(microsecond=moment.microsecond // 1000 * 1000) + timedelta(
        microseconds=999
    )
