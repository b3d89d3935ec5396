"""Conversations: one turn at a time, with files in both directions, until a handoff or the end."""

# Written by scripts/render_sync.py from _async. Do not edit.

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import Any, Self, Unpack

from agentcontainer_client import _dispatch, errors, models
from agentcontainer_client._calls import Call, body_of, operation, query_of, segment
from agentcontainer_client._dispatch import NewTaskOptions, OverrideOptions
from agentcontainer_client._events import Event
from agentcontainer_client._follow import Deadline, Progress
from agentcontainer_client._sources import AnyFile, OnProgress
from agentcontainer_client._sync import concurrency, uploading
from agentcontainer_client._sync.following import EventStream, Log, events_of
from agentcontainer_client._sync.paging import Pager
from agentcontainer_client._sync.tasks import Task, Tasks, new_task_call
from agentcontainer_client._sync.transport import Transport
from agentcontainer_client._turns import Turn

OnEvent = Callable[[Event], object]


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """A conversation after one of its messages. Its verbs return new snapshots; nothing changes in place.

    `task` is its task, `message` the user's message that it was last given, whose turn `reply` waits for.
    As a context manager it ends the conversation.
    """

    task: Task
    message: models.Message | None
    transport: Transport = field(repr=False, compare=False)

    @property
    def id(self) -> str:
        """The id of its task."""
        return self.task.id

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.end()
        except (errors.Conflict, errors.ConnectionFailed):
            if kind is None and not (self.task.refresh()).has_ended:
                raise

    def refresh(self) -> "Conversation":
        """The conversation with its task as it is now."""
        return replace(self, task=self.task.refresh())

    @operation("sendMessage", taskId="self", inputFileIds="files", inputFiles="files")
    def send(
        self,
        content: str,
        *,
        files: Sequence[AnyFile] = (),
        on_upload: OnProgress | None = None,
        idempotency_key: str | None = None,
        **overrides: Unpack[OverrideOptions],
    ) -> "Conversation":
        """Send the next message. While a turn runs, it waits for its own turn.

        The further arguments are settings that apply from its turn on. Conflict if the conversation has ended.
        """
        ids = uploading.ids_of(self.transport, files, on_upload)
        body = body_of(
            content=content, input_file_ids=ids or None, overrides=_dispatch.overrides_of(overrides)
        )
        return self._post("messages", body, idempotency_key)

    def reply(self, timeout: float | None = None, *, on_event: OnEvent | None = None) -> models.Message:
        """The agent's reply to `message`. `on_event` is called with the events of its turn, live text included.

        Raises:
            TurnFailed: the turn ended without a reply; the conversation goes on.
            TaskEnded: the conversation ended before.
            WaitTimedOut: the time has passed; the turn goes on.
        """
        if self.message is None:
            raise errors.ConfigurationError("There is no message to reply to. Use send() first.")
        turn = Turn(self.id, self.message.turn_number)
        with closing(self._turn_events(self.message, timeout, on_event)) as events:
            for event in events:
                if (reply := turn.reply_of(event)) is not None:
                    return reply
                if event.is_last:
                    raise errors.of_ended_task(self.task.refresh())
        raise errors.WaitTimedOut(self.id, timeout or 0)

    def _turn_events(
        self, message: models.Message, timeout: float | None, on_event: OnEvent | None
    ) -> Generator[Event]:
        if on_event is None:
            for event in self._log.poll(Progress(message.sequence), Deadline(timeout)):
                yield event
            return
        with self.stream(after=message.sequence, timeout=timeout) as stream:
            for event in stream:
                concurrency.settle(on_event(event))
                yield event

    def stream(self, *, after: int = 0, deltas: bool = True, timeout: float | None = None) -> EventStream:
        """Its events after the sequence `after`, each exactly once, and new ones as they come, until its end.

        `deltas`: also live text (`events.MessageDelta`). `timeout`: seconds after which the stream ends.
        """
        return EventStream(self._log, after=after, deltas=deltas, timeout=timeout)

    @operation(
        "listConversationEvents",
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
    ) -> Pager[Event]:
        """Its events so far, the oldest first. `fields="summary"`: with long strings cut."""
        return Pager(
            self.transport,
            f"{self._path}/events",
            self._log.decode,
            query=query_of(after=after, fields=fields),
            limit=limit,
            cursor=cursor,
            order=order,
            max_page=1000,
        )

    @operation("getConversationEvent", taskId="self")
    def event(self, sequence: int) -> Event:
        """One of its events."""
        call = Call(method="GET", path=f"{self._path}/events/{sequence}")
        return self.transport.send(call, self._log.decode)

    @operation("listMessages", taskId="self")
    def messages(
        self, *, limit: int | None = None, cursor: str | None = None, order: models.Order | None = None
    ) -> Pager[models.Message]:
        """Its messages, the oldest first."""
        return Pager(
            self.transport,
            f"{self._path}/messages",
            models.Message.from_wire,
            limit=limit,
            cursor=cursor,
            order=order,
        )

    @operation("listActivities", taskId="self")
    def activities(
        self,
        *,
        from_turn: int | None = None,
        to_turn: int | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        order: models.Order | None = None,
    ) -> Pager[models.Activity]:
        """Its tool calls, the oldest first."""
        return Pager(
            self.transport,
            f"{self._path}/activities",
            models.Activity.from_wire,
            query=query_of(from_turn=from_turn, to_turn=to_turn),
            limit=limit,
            cursor=cursor,
            order=order,
        )

    @operation("handOffConversation", taskId="self")
    def handoff(self, message: str | None = None, *, idempotency_key: str | None = None) -> "Conversation":
        """Let the agent go on alone until it finishes. Then wait for `task`."""
        return self._post("handoff", body_of(message=message), idempotency_key)

    @operation("interruptConversation", taskId="self")
    def interrupt(self, *, idempotency_key: str | None = None) -> "Conversation":
        """Stop the present turn, which then fails with `interrupted`; the conversation goes on.

        Conflict if no turn runs.
        """
        return self._change("interrupt", idempotency_key)

    @operation("endConversation", taskId="self")
    def end(self, *, idempotency_key: str | None = None) -> "Conversation":
        """End it. Conflict if it has ended."""
        return self._change("end", idempotency_key)

    def _change(self, verb: str, idempotency_key: str | None) -> "Conversation":
        """Send a verb without a body, whose response is the task."""
        call = Call(method="POST", path=f"{self._path}/{verb}", body={}, idempotency_key=idempotency_key)
        task = self.transport.send(call, partial(Task.from_wire, transport=self.transport))
        return replace(self, task=task)

    def _post(self, verb: str, body: dict[str, Any], idempotency_key: str | None) -> "Conversation":
        call = Call(method="POST", path=f"{self._path}/{verb}", body=body, idempotency_key=idempotency_key)
        return self.transport.send(call, partial(_conversation, self.transport))

    @property
    def _log(self) -> Log[Event]:
        return events_of(self.transport, f"{self._path}/events")

    @property
    def _path(self) -> str:
        return f"/conversations/{segment(self.id)}"


@dataclass(frozen=True)
class Conversations:
    """`client.conversations`: begin and find conversations."""

    transport: Transport = field(repr=False)

    @operation("createConversation", agentId="agent", **_dispatch.FIELDS)
    def create(
        self,
        message: str,
        *,
        agent: str | models.Agent | None = None,
        instructions: str | None = None,
        idempotency_key: str | None = None,
        on_upload: OnProgress | None = None,
        **options: Unpack[NewTaskOptions],
    ) -> Conversation:
        """Begin a conversation with its first message, which the files belong to. `instructions` apply to every turn.

        Raises:
            InsufficientBalance: the account cannot pay the hold.
        """
        texts = body_of(message=message, instructions=instructions)
        call = new_task_call(
            self.transport, "conversations", texts, options,
            agent=agent, idempotency_key=idempotency_key, on_upload=on_upload,
        )  # fmt: skip
        return self.transport.send(call, partial(_conversation, self.transport))

    def get(self, task: str) -> Conversation:
        """A conversation by the id of its task, after the last message of the user."""
        path = f"/conversations/{segment(task)}/messages"
        message: models.Message | None = None
        for candidate in Pager(self.transport, path, models.Message.from_wire, order="desc", limit=100):
            if candidate.role == "user":
                message = candidate
                break
        read = Tasks(self.transport).get(task)
        return Conversation(task=read, message=message, transport=self.transport)


def _conversation(transport: Transport, content: Any) -> Conversation:
    """The conversation of a response that has its task and a message."""
    return Conversation(
        task=Task.from_wire(content["task"], transport=transport),
        message=models.Message.from_wire(content["message"]),
        transport=transport,
    )
