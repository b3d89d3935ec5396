"""Tasks: dispatch, follow, wait, steer, wake, and the whole job in one call."""

import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, Required, Unpack

from agentcontainer_client import _dispatch, errors, inputs, models
from agentcontainer_client._async import concurrency, uploading
from agentcontainer_client._async.ends import ENDED, ends_of
from agentcontainer_client._async.files import AsyncOutputFile
from agentcontainer_client._async.following import AsyncEventStream, Log, events_of
from agentcontainer_client._async.paging import AsyncPager
from agentcontainer_client._async.transport import AsyncTransport
from agentcontainer_client._calls import Call, body_of, operation, query_of, segment
from agentcontainer_client._dispatch import NewTaskOptions, OverrideOptions
from agentcontainer_client._events import Event
from agentcontainer_client._follow import Deadline, Progress
from agentcontainer_client._sources import OnProgress, stored_id
from agentcontainer_client._targets import distinct, safe_name

OnEvent = Callable[[Event], object]

TASKS_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class AsyncTask(models.Task):
    """A task as it was when it was read. Its verbs return new snapshots; nothing changes in place."""

    transport: AsyncTransport = field(repr=False, compare=False)

    @property
    def has_ended(self) -> bool:
        """Whether its status is final."""
        return self.status in ENDED

    @property
    def api_url(self) -> str:
        """Where the API has it. (`url` is its page in the dashboard.)"""
        return f"{self.transport.connection.base_url}/api/v1/tasks/{self.id}"

    async def refresh(self) -> "AsyncTask":
        """The task as it is now."""
        return await AsyncTasks(self.transport).get(self.id)

    def stream(
        self, *, after: int = 0, deltas: bool = True, timeout: float | None = None
    ) -> AsyncEventStream:
        """Its events after the sequence `after`, each exactly once, and new ones as they come, until its end.

        `deltas`: also live text (`events.MessageDelta`). `timeout`: seconds after which the stream ends.
        """
        return AsyncEventStream(self._log, after=after, deltas=deltas, timeout=timeout)

    @operation(
        "listEvents",
        taskId="self", wait="stream()", stream="stream()", apiKey="stream()", **{"Last-Event-ID": "stream()"},
    )  # fmt: skip
    def events(
        self,
        *,
        after: int | None = None,
        fields: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        order: models.Order | None = None,
    ) -> AsyncPager[Event]:
        """Its events so far, the oldest first. `fields="summary"`: with long strings cut."""
        return AsyncPager(
            self.transport,
            f"{self._path}/events",
            self._log.decode,
            query=query_of(after=after, fields=fields),
            limit=limit,
            cursor=cursor,
            order=order,
            max_page=1000,
        )

    @operation("getEvent", taskId="self")
    async def event(self, sequence: int) -> Event:
        """One of its events."""
        call = Call(method="GET", path=f"{self._path}/events/{sequence}")
        return await self.transport.send(call, self._log.decode)

    async def wait(self, timeout: float | None = None, *, raise_on_failure: bool = True) -> "AsyncTask":
        """The task at its end. `timeout`: seconds to wait here; the task itself goes on.

        Waiting uses ordinary requests that are held for 25 s, so it works behind every proxy.

        Raises:
            TaskEnded: it failed (`TaskFailed`), was cancelled or expired, unless `raise_on_failure` is false.
            WaitTimedOut: the time has passed.
        """
        deadline = Deadline(timeout)
        last = await self.events(limit=1, order="desc", fields="summary").first()
        is_over = last is None or last.is_last
        if last is not None and not is_over:
            async for event in self._log.poll(Progress(last.sequence), deadline, fields="summary"):
                is_over = event.is_last
        if not is_over:
            raise errors.WaitTimedOut(self.id, timeout or 0)
        return _checked(await self.refresh(), raise_on_failure=raise_on_failure)

    @operation("cancelTask", taskId="self")
    async def cancel(self, *, idempotency_key: str | None = None) -> "AsyncTask":
        """Cancel it. Its container stops within seconds. Conflict if it has ended."""
        return await self._post("cancel", {}, idempotency_key)

    @operation("deleteTask", taskId="self")
    async def delete(self) -> None:
        """Delete it for good, with its events and output files, once it has ended."""
        await self.transport.request(Call(method="DELETE", path=self._path))

    @operation("steerTask", taskId="self")
    async def message(self, content: str, *, idempotency_key: str | None = None) -> models.Message:
        """Send the agent a message while it works alone. It receives it before its next model request."""
        call = Call(
            method="POST",
            path=f"{self._path}/messages",
            body=body_of(content=content),
            idempotency_key=idempotency_key,
        )
        return await self.transport.send(call, message_of)

    @operation("listTaskMessages", taskId="self")
    def messages(
        self, *, limit: int | None = None, cursor: str | None = None, order: models.Order | None = None
    ) -> AsyncPager[models.Message]:
        """The messages that it was sent, the oldest first."""
        return AsyncPager(
            self.transport,
            f"{self._path}/messages",
            models.Message.from_wire,
            limit=limit,
            cursor=cursor,
            order=order,
        )

    @operation("wakeTask", taskId="self", kind="message")
    async def wake(
        self,
        message: str | None = None,
        *,
        idempotency_key: str | None = None,
        **overrides: Unpack[OverrideOptions],
    ) -> "AsyncTask":
        """Wake it from hibernation, with a message or because what it waited for has happened.

        The further arguments are settings that apply from now on. Conflict unless it hibernates.
        """
        kind = "external_wake" if message is None else "message"
        body = body_of(kind=kind, message=message, overrides=_dispatch.overrides_of(overrides))
        return await self._post("wake", body, idempotency_key)

    @operation("createWakeLink", taskId="self")
    async def wake_link(self, *, idempotency_key: str | None = None) -> models.NewLink:
        """Make a link that wakes it once, without an API key. Treat its URL as a password."""
        call = Call(method="POST", path=f"{self._path}/wake-links", body={}, idempotency_key=idempotency_key)
        return await self.transport.send(call, models.NewLink.from_wire)

    @operation("listOutputFiles", taskId="self")
    def files(
        self, *, limit: int | None = None, cursor: str | None = None, order: models.Order | None = None
    ) -> AsyncPager[AsyncOutputFile]:
        """The files that it delivered."""
        return AsyncPager(
            self.transport,
            f"{self._path}/files",
            partial(AsyncOutputFile.from_wire, transport=self.transport, task_id=self.id),
            limit=limit,
            cursor=cursor,
            order=order,
        )

    async def download_all(
        self, folder: str | os.PathLike[str] = ".", on_progress: OnProgress | None = None
    ) -> list[Path]:
        """Write its files into `folder`, several at once. Returns where they are.

        Of two files with the same name, the second gets ` (2)`.
        """
        Path(folder).mkdir(parents=True, exist_ok=True)
        files = await self.files(order="asc").to_list()
        names = distinct([safe_name(file.filename) for file in files])
        work = [
            partial(file.download, Path(folder, name), on_progress)
            for file, name in zip(files, names, strict=True)
        ]
        return await concurrency.in_parallel(work, uploading.AT_ONCE)

    async def _post(self, verb: str, body: Mapping[str, Any], idempotency_key: str | None) -> "AsyncTask":
        call = Call(method="POST", path=f"{self._path}/{verb}", body=body, idempotency_key=idempotency_key)
        return await self.transport.send(call, partial(AsyncTask.from_wire, transport=self.transport))

    @property
    def _log(self) -> Log[Event]:
        return events_of(self.transport, f"{self._path}/events")

    @property
    def _path(self) -> str:
        return f"/tasks/{segment(self.id)}"


class TaskOptions(NewTaskOptions, total=False):
    """A task of `run_many`: the arguments of `run`."""

    instructions: Required[str]
    agent: str | models.Agent | None
    idempotency_key: str | None


@dataclass(frozen=True)
class AsyncTasks:
    """`client.tasks`: dispatch and find tasks."""

    transport: AsyncTransport = field(repr=False)

    @operation("dispatchTask", agentId="agent", dryRun="preview()", **_dispatch.FIELDS)
    async def create(
        self,
        instructions: str,
        *,
        agent: str | models.Agent | None = None,
        idempotency_key: str | None = None,
        on_upload: OnProgress | None = None,
        **options: Unpack[NewTaskOptions],
    ) -> AsyncTask:
        """Dispatch a task and return at once. Its files are uploaded first.

        Without `agent`, the profile's is used. The request carries an `Idempotency-Key` over all retries; with one of
        your own, a repeat of the call returns the first task.

        Raises:
            InsufficientBalance: the account cannot pay the hold.
        """
        texts = {"instructions": instructions}
        call = await new_task_call(
            self.transport, "tasks", texts, options,
            agent=agent, idempotency_key=idempotency_key, on_upload=on_upload,
        )  # fmt: skip
        return await self.transport.send(call, self._bound)

    async def preview(
        self,
        instructions: str,
        *,
        agent: str | models.Agent | None = None,
        **options: Unpack[NewTaskOptions],
    ) -> models.DispatchTrial:
        """What `create` would do: the settings in force and where each comes from, the hold, and what is wrong.

        It creates nothing. Files that are not stored yet are not uploaded, and left out.
        """
        connection = self.transport.connection
        agent_id = _dispatch.agent_id(agent, connection)
        stored = [id_ for file in options.get("files") or () if (id_ := stored_id(file)) is not None]
        settings = _dispatch.new_task_body(_dispatch.with_defaults(options, connection), stored)
        call = Call(
            method="POST",
            path=f"/agents/{segment(agent_id)}/tasks",
            query={"dryRun": "true"},
            body={"instructions": instructions, **settings},
            has_effect=False,
        )
        return await self.transport.send(call, models.DispatchTrial.from_wire)

    async def run(
        self,
        instructions: str,
        *,
        agent: str | models.Agent | None = None,
        on_event: OnEvent | None = None,
        on_upload: OnProgress | None = None,
        timeout: float | None = None,
        raise_on_failure: bool = True,
        idempotency_key: str | None = None,
        **options: Unpack[NewTaskOptions],
    ) -> AsyncTask:
        """Do the whole job: upload the files, dispatch the task, follow it, wait for its end.

        `on_event` is called with each event, live text included. `timeout`: seconds to wait here; the task itself goes
        on. A task that finished incompletely is no error: see `completion`.

        Raises:
            TaskEnded: it failed (`TaskFailed`), was cancelled or expired, unless `raise_on_failure` is false.
            WaitTimedOut: the time has passed. `task_id` names the task.
        """
        deadline = Deadline(timeout)
        task = await self.create(
            instructions, agent=agent, idempotency_key=idempotency_key, on_upload=on_upload, **options
        )
        if on_event is not None:
            async with task.stream(timeout=deadline.remaining) as stream:
                async for event in stream:
                    await concurrency.settle(on_event(event))
        try:
            return await task.wait(deadline.remaining, raise_on_failure=raise_on_failure)
        except errors.WaitTimedOut:
            raise errors.WaitTimedOut(task.id, timeout or 0) from None

    async def run_many(
        self,
        tasks: Iterable[TaskOptions],
        *,
        at_once: int = TASKS_AT_ONCE,
        timeout: float | None = None,
        raise_on_failure: bool = False,
    ) -> list[AsyncTask]:
        """Run many tasks and return them at their ends, in the order given. `at_once`: requests, not running tasks.

        Raises:
            TaskEnded: one did not finish, if `raise_on_failure` is true; the others go on.
            WaitTimedOut: the time has passed.
        """
        deadline = Deadline(timeout)
        created = await concurrency.in_parallel(
            [partial(self.create, **options) for options in tasks], at_once
        )
        ended: dict[str, AsyncTask] = {}
        async for task in self.as_completed(created, timeout=deadline.remaining, at_once=at_once):
            ended[task.id] = _checked(task, raise_on_failure=raise_on_failure)
        return [ended[task.id] for task in created]

    async def as_completed(
        self,
        tasks: Iterable[AsyncTask | str],
        *,
        timeout: float | None = None,
        at_once: int = TASKS_AT_ONCE,
    ) -> AsyncIterator[AsyncTask]:
        """The tasks as they end. All are followed by one request at a time, which reads the account's feed.

        Raises:
            WaitTimedOut: the time has passed and a task has not ended.
        """
        ids = list(dict.fromkeys(task if isinstance(task, str) else task.id for task in tasks))
        async for batch in ends_of(self.transport, ids, timeout):
            read = [partial(self.get, task_id) for task_id in batch]
            for task in await concurrency.in_parallel(read, at_once):
                yield task

    @operation("getTask", taskId="task")
    async def get(self, task: str) -> AsyncTask:
        """A task by its id."""
        return await self.transport.send(Call(method="GET", path=f"/tasks/{segment(task)}"), self._bound)

    @operation("changeTask", taskId="task")
    async def update(
        self,
        task: str | models.Task,
        *,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        budget: inputs.Budget | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncTask:
        """Change a task's title, metadata or budget. A budget that is raised lets a task that waits for it go on."""
        path = f"/tasks/{segment(task.id if isinstance(task, models.Task) else task)}"
        body = body_of(title=title, metadata=metadata, budget=budget)
        call = Call(method="PATCH", path=path, body=body, idempotency_key=idempotency_key)
        return await self.transport.send(call, self._bound)

    @operation("listTasks", agentId="agent", batchId="batch")
    def list(
        self,
        *,
        status: str | Sequence[str] | None = None,
        agent: str | models.Agent | None = None,
        agent_version_id: str | None = None,
        batch: str | None = None,
        mode: models.TaskMode | None = None,
        error_code: models.TaskErrorCode | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        completed_after: datetime | None = None,
        completed_before: datetime | None = None,
        q: str | None = None,
        metadata: Mapping[str, str] | None = None,
        fields: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        order: models.Order | None = None,
    ) -> AsyncPager[AsyncTask]:
        """The account's tasks that match every filter, the newest first.

        `q`: an id or its beginning, or the beginnings of words of the title. `metadata`: strings that the task's
        metadata has. `fields="summary"`: without instructions.
        """
        query = query_of(
            status=status,
            agent_id=agent.id if isinstance(agent, models.Agent) else agent,
            agent_version_id=agent_version_id,
            batch_id=batch,
            mode=mode,
            error_code=error_code,
            created_after=created_after,
            created_before=created_before,
            completed_after=completed_after,
            completed_before=completed_before,
            q=q,
            fields=fields,
        )
        query |= {f"metadata.{key}": value for key, value in (metadata or {}).items()}
        return AsyncPager(
            self.transport, "/tasks", self._bound, query=query, limit=limit, cursor=cursor, order=order
        )

    def _bound(self, content: object) -> AsyncTask:
        return AsyncTask.from_wire(content, transport=self.transport)


async def new_task_call(
    transport: AsyncTransport,
    collection: Literal["tasks", "conversations"],
    texts: Mapping[str, Any],
    options: NewTaskOptions,
    *,
    agent: str | models.Agent | None,
    idempotency_key: str | None,
    on_upload: OnProgress | None,
) -> Call:
    """The request that begins a task or a conversation, with these texts in its body. The files are uploaded now."""
    connection = transport.connection
    agent_id = _dispatch.agent_id(agent, connection)
    ids = await uploading.ids_of(transport, options.get("files") or (), on_upload)
    settings = _dispatch.new_task_body(_dispatch.with_defaults(options, connection), ids)
    return Call(
        method="POST",
        path=f"/agents/{segment(agent_id)}/{collection}",
        body={**texts, **settings},
        idempotency_key=idempotency_key,
    )


def message_of(content: Any) -> models.Message:
    """The message of a response that has it beside its task."""
    return models.Message.from_wire(content.get("message") if isinstance(content, dict) else None)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]


def _checked(task: AsyncTask, *, raise_on_failure: bool) -> AsyncTask:
    if raise_on_failure and task.status != "finished":
        raise errors.of_ended_task(task)
    return task
