"""Follows a log, as an event stream that reconnects, or by lists that wait, which every proxy lets through."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

import httpx2

from agentcontainer_client import _events, _retry
from agentcontainer_client._async import concurrency
from agentcontainer_client._async.transport import AsyncTransport, is_worth_retrying, retry_after_of
from agentcontainer_client._calls import Call, decoded, query_of
from agentcontainer_client._events import Event
from agentcontainer_client._follow import POLL_SECONDS, Deadline, Draft, Progress
from agentcontainer_client._wire import Malformed
from agentcontainer_client.errors import AgentContainerError, UnexpectedResponse

T = TypeVar("T")

LIVE = "message.delta"


@dataclass(frozen=True, kw_only=True)
class Log(Generic[T]):
    """A log of the API: the events of a task, or the feed."""

    transport: AsyncTransport
    path: str
    decode: Callable[[object], T]
    number: Callable[[T], int]
    """The number of an entry; 0 for live text."""
    is_last: Callable[[T], bool]
    query: dict[str, Any] = field(default_factory=dict[str, Any])

    async def poll(self, progress: Progress, deadline: Deadline, **query: object) -> AsyncGenerator[T]:
        """The entries from lists, until the last one or the deadline."""
        while True:
            wait = int(deadline.left(POLL_SECONDS))
            for entry in await self._page(progress, wait, query):
                if progress.accepts(self.number(entry)):
                    yield entry
                if self.is_last(entry):
                    return
            if deadline.has_passed or deadline.left(POLL_SECONDS) == 0:
                return
            if wait == 0:  # less than a second is left
                await concurrency.sleep(min(0.2, deadline.left(1)))

    async def _page(self, progress: Progress, wait: int, query: dict[str, object]) -> list[T]:
        call = Call(
            method="GET",
            path=self.path,
            query=self.query | query | query_of(after=progress.after, wait=wait, limit=1000),
            read_seconds=wait + 30,
        )
        while True:
            try:
                response = await self.transport.request(call)
                progress.succeeded()
                return decoded(response, self._entries)
            except AgentContainerError as error:
                pause = progress.pause(retry_after_of(error)) if is_worth_retrying(error) else None
                if pause is None:
                    raise
            await concurrency.sleep(pause)

    def _entries(self, content: object) -> list[T]:
        data = cast("dict[str, Any]", content).get("data") if isinstance(content, dict) else None
        if not isinstance(data, list):
            raise Malformed("not a page")
        return [self.decode(entry) for entry in cast("list[object]", data)]

    async def connect(self, progress: Progress, deadline: Deadline) -> AsyncGenerator[T]:
        """The entries from a single connection, and live text.

        Raises:
            StreamEnded: the log has no further entries.
        """
        call = Call(
            method="GET",
            path=self.path,
            query=self.query | {"stream": "true", "after": progress.after},
            headers={"Accept": "text/event-stream", "Last-Event-ID": str(progress.after)},
            read_seconds=max(0.1, deadline.left(self.transport.options.stream_timeout)),
        )
        async with self.transport.open(call) as response:
            if response.status_code == 204:
                raise StreamEnded
            try:
                async for message in httpx2.EventSource(response, max_event_size=None):
                    progress.succeeded()
                    if message.data:
                        yield self._entry(message)
            except httpx2.SSEError:
                raise UnexpectedResponse(
                    f"{response.url.host} sent no event stream. Does a proxy answer in its place?"
                ) from None

    def _entry(self, message: httpx2.ServerSentEvent) -> T:
        try:
            return self.decode(message.json())
        except ValueError:
            raise UnexpectedResponse("The event stream contains something that is not an event.") from None


class StreamEnded(Exception):
    """The log has no further entries."""


class AsyncStream(Generic[T]):
    """The entries of a log, each exactly once and in order, across cuts of the connection and restarts of the server.

    Iterate it once. Leaving the `with` block closes the connection.
    """

    def __init__(
        self, log: Log[T], *, after: int, deltas: bool = False, timeout: float | None = None
    ) -> None:
        self._log = log
        self._progress = Progress(after)
        self._has_deltas = deltas
        self._deadline = Deadline(timeout)
        self._entries = self._follow()

    @property
    def after(self) -> int:
        """The number of the last entry that was delivered. Another stream can go on from there."""
        return self._progress.after

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._entries.aclose()

    def __aiter__(self) -> AsyncIterator[T]:
        return self._entries

    async def _follow(self) -> AsyncGenerator[T]:
        while not self._progress.is_polling:
            pause: float | None = 0.0
            signs = self._progress.signs_of_life
            try:
                async with aclosing(self._log.connect(self._progress, self._deadline)) as entries:
                    async for entry in entries:
                        if self._is_new(entry):
                            yield entry
                        if self._log.is_last(entry) or self._deadline.has_passed:
                            return
            except StreamEnded:
                return
            except AgentContainerError as error:
                if self._deadline.has_passed:
                    return
                if isinstance(error.__cause__, httpx2.ReadTimeout) and signs == self._progress.signs_of_life:
                    self._progress.is_polling = True  # the server sends its first line at once
                    break
                pause = self._progress.pause(retry_after_of(error)) if is_worth_retrying(error) else None
                if pause is None:
                    raise
            else:  # the server closed the stream: it stops, or the key was revoked, which the next answer says
                pause = _retry.pause(0)
            if self._deadline.has_passed:
                return
            await concurrency.sleep(self._deadline.left(pause))
        async with aclosing(self._log.poll(self._progress, self._deadline)) as entries:
            async for entry in entries:
                yield entry

    def _is_new(self, entry: T) -> bool:
        number = self._log.number(entry)
        return self._has_deltas if number == 0 else self._progress.accepts(number)


class AsyncEventStream(AsyncStream[Event]):
    """The events of a task, each exactly once and in order, and what the agent is saying while it says it."""

    async def text(self) -> AsyncIterator[Draft]:
        """What the agent says: each draft replaces the one before, until a complete one; then a new message begins.

        Pieces of live text may be missing in drafts, but not in complete messages.
        """
        said = ""
        async for event in self:
            if event.type == LIVE:
                said += str(event.data.get("content", ""))
                yield Draft(said)
            elif event.type == "message.completed":
                said = ""
                yield Draft(str(event.data.get("content", "")), is_complete=True)
            elif event.type in {"task.requeued", "task.started"}:
                said = ""  # what a lost attempt was saying will not be completed


def events_of(transport: AsyncTransport, path: str) -> Log[Event]:
    """The event log of a task or conversation."""
    return Log(
        transport=transport,
        path=path,
        decode=_decode,
        number=lambda event: event.sequence,
        is_last=lambda event: event.is_last,
    )


def _decode(content: object) -> Event:
    from agentcontainer_client import events  # loads the classes of all types, which takes time

    assert events
    return _events.decode(content)
