"""Who follows which task's log: one listening connection and one reader per process, whatever the number of streams.

A notification only says that a task has news. The reader then reads them once, for all who follow the task, into a
short tail. Nobody has a queue of events: a follower is a position in the log. One who falls behind the tail reads
pages of its own, at the pace at which it takes them.
"""

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

import asyncpg

from agentcontainer import db
from agentcontainer.api import sse_frames
from agentcontainer.db import Pool
from agentcontainer.domain.tasks import events, new_events
from agentcontainer.domain.tasks.state import TERMINAL
from agentcontainer.errors import RateLimited
from agentcontainer.periodic import repeat

STREAMS_PER_ACCOUNT = 1000  # in one process
POLL_SECONDS = 2.0  # notifications may be lost
CLOSING_SECONDS = 0.5  # for streams to end by themselves when the process stops
TAIL_EVENTS = 64
TAIL_BYTES = 64 * 1024
CHUNK_BYTES = 64 * 1024  # handed to a client at once, and one event more
MAX_DELTAS = 256
MAX_DELTA_BYTES = 64 * 1024
TASKS_AT_ONCE = 100  # of one query
PAGES_AT_ONCE = 4  # connections of the pool that those who are behind may use

FAILURES = (asyncpg.PostgresError, *db.UNREACHABLE)
_LAST = frozenset(f"task.{status}" for status in TERMINAL)


@dataclass(frozen=True)
class _Entry:
    """An event, ready to be sent to many."""

    sequence: int
    type: str
    frame: bytes

    @classmethod
    def of(cls, event: events.Event) -> "_Entry":
        return cls(event.sequence, event.type, sse_frames.event_frame(event))


@dataclass(frozen=True)
class _Delta:
    """What the agent said after the event `after`."""

    after: int
    frame: bytes


class _Watch:
    """A task that somebody follows: where its log ends as far as we know, and the last events of it."""

    def __init__(self, task_id: str, end: int) -> None:
        self.task_id = task_id
        self.end = end
        self.followers: set[Follower] = set()
        self._tail = deque[_Entry]()
        self._tail_bytes = 0

    def add(self, event: events.Event) -> None:
        if event.sequence != self.end + 1:  # read for an earlier watch of the same task
            return
        entry = _Entry.of(event)
        self.end = entry.sequence
        self._tail.append(entry)
        self._tail_bytes += len(entry.frame)
        while len(self._tail) > TAIL_EVENTS or (len(self._tail) > 1 and self._tail_bytes > TAIL_BYTES):
            self._tail_bytes -= len(self._tail.popleft().frame)

    def next(self, position: int) -> _Entry | None:
        """The event after this position, if the tail has it."""
        index = position - self.end + len(self._tail)
        return self._tail[index] if 0 <= index < len(self._tail) else None

    def wake(self) -> None:
        for follower in self.followers:
            follower.wake()


class Follower:
    """A position in a task's log, and what the agent said since. What it holds does not grow with what it missed."""

    def __init__(self, hub: "Hub", watch: _Watch, position: int, cut: Callable[[], None]) -> None:
        self.position = position
        self.is_stopped = False  # the client or the process goes, or the log is at its end
        self.cut = cut
        self._hub = hub
        self._watch = watch
        self._page = deque[_Entry]()
        self._deltas = deque[_Delta]()
        self._delta_bytes = 0
        self._said = 0  # the last message.completed that was sent
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    def stop(self) -> None:
        """There is nothing more to wait for."""
        self.is_stopped = True
        self._woken.set()

    def hear(self, delta: _Delta) -> None:
        """Keep a delta until its turn. The oldest go when they become many: the whole text follows as an event."""
        self._deltas.append(delta)
        self._delta_bytes += len(delta.frame)
        while len(self._deltas) > MAX_DELTAS or self._delta_bytes > MAX_DELTA_BYTES:
            self._delta_bytes -= len(self._deltas.popleft().frame)
        self._woken.set()

    async def has_news(self, until: float) -> bool:
        """Wait until the log goes on after our position; False when that did not happen in time."""
        while self._watch.end <= self.position:
            if self.is_stopped or not await self._is_woken(until):
                return False
        return True

    async def next(self, until: float) -> bytes:
        """The next frames, some 64 KiB at most; empty when the time is over, or when we were stopped."""
        while not self.is_stopped:
            if chunk := self._take():
                return chunk
            is_behind = self._watch.end > self.position
            if not await (self._read_page() if is_behind else self._is_woken(until)):
                break
        return b""

    def _take(self) -> bytes:
        taken: list[bytes] = []
        size = 0
        while size < CHUNK_BYTES and not self.is_stopped:
            frame = self._next_delta() or self._next_event()
            if frame is None:
                break
            taken.append(frame)
            size += len(frame)
        return b"".join(taken)

    def _next_delta(self) -> bytes | None:
        while self._deltas and self._deltas[0].after <= self.position:
            delta = self._deltas.popleft()
            self._delta_bytes -= len(delta.frame)
            if delta.after >= self._said:
                return delta.frame
        return None

    def _next_event(self) -> bytes | None:
        entry = self._page.popleft() if self._page else self._watch.next(self.position)
        if entry is None:
            return None
        self.position = entry.sequence
        if entry.type == "message.completed":
            self._said = entry.sequence
        if entry.type in _LAST:
            self.is_stopped = True
        return entry.frame

    async def _read_page(self) -> bool:
        """Read on where the tail does not reach; False, after a moment, when the database does not answer."""
        with suppress(*FAILURES):
            async with self._hub.pages:
                page = await new_events.read(self._hub.pool, {self._watch.task_id: self.position})
            self._page.extend(_Entry.of(event) for event, _ in page)
        if not self._page:
            await asyncio.sleep(db.RECONNECT_SECONDS)
        return bool(self._page)

    async def _is_woken(self, until: float) -> bool:
        try:
            async with asyncio.timeout_at(until):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True


class Hub:
    """All who follow a log in this process. Without `run` they see what was there when they came, and no more."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.pages = asyncio.Semaphore(PAGES_AT_ONCE)
        self._watches: dict[str, _Watch] = {}
        self._counts = Counter[str]()  # followers of each account
        self._unread: dict[str, None] = {}  # tasks that have news, in order
        self._has_unread = asyncio.Event()
        self._must_poll = asyncio.Event()
        self._is_closed = False

    def check_room(self, account_id: str) -> None:
        """Whether the account may follow one more.

        Raises:
            RateLimited: it has too many.
        """
        if self._counts[account_id] >= STREAMS_PER_ACCOUNT:
            raise RateLimited(
                f"An account may have {STREAMS_PER_ACCOUNT} streams at once. End others first.", 10
            )

    @contextmanager
    def follow(
        self, account_id: str, task_id: str, end: int, position: int, cut: Callable[[], None] = lambda: None
    ) -> Generator[Follower]:
        """Follow a log that was seen to end at `end`, from `position` on. `cut` ends a client who does not read."""
        watch = self._watches.get(task_id)
        if watch is None:
            watch = self._watches[task_id] = _Watch(task_id, end)
            self._read([task_id])  # what was added since it was seen
        follower = Follower(self, watch, position, cut)
        follower.is_stopped = self._is_closed
        watch.followers.add(follower)
        self._counts[account_id] += 1
        try:
            yield follower
        finally:
            watch.followers.remove(follower)
            if not watch.followers:
                del self._watches[task_id]
            self._counts[account_id] -= 1
            if not self._counts[account_id]:
                del self._counts[account_id]

    async def run(self, url: str) -> None:
        """Listen, poll and read, until cancelled."""
        handlers = {events.CHANNEL: self._on_event, events.DELTA_CHANNEL: self._on_delta}
        async with asyncio.TaskGroup() as group:
            for part in (lambda: db.listen(url, handlers), self._poll, self._read_unread):
                group.create_task(repeat("reading events for streams", part, db.RECONNECT_SECONDS, FAILURES))

    def close(self) -> None:
        """The process stops: end all streams, also those that come now, and cut those that do not end."""
        self._is_closed = True
        for follower in self._followers():
            follower.stop()
        asyncio.get_running_loop().call_later(CLOSING_SECONDS, self._cut_all)

    def _cut_all(self) -> None:
        for follower in self._followers():
            follower.cut()

    def _followers(self) -> list[Follower]:
        return [follower for watch in self._watches.values() for follower in watch.followers]

    def _on_event(self, task_id: str) -> None:
        if task_id in self._watches:
            self._read([task_id])
        elif not task_id:  # the connection is new: who knows what was missed
            self._must_poll.set()

    def _on_delta(self, payload: str) -> None:
        try:
            given = cast("dict[str, Any]", json.loads(payload))
            watch = self._watches.get(given["taskId"])
            if watch is None:
                return
            delta = _Delta(int(given["after"]), sse_frames.delta_frame(watch.task_id, given["data"]))
        except (ValueError, TypeError, KeyError):  # "", of a new connection, too
            return
        for follower in watch.followers:
            follower.hear(delta)

    def _read(self, task_ids: Iterable[str]) -> None:
        self._unread.update(dict.fromkeys(task_ids))
        if self._unread:
            self._has_unread.set()

    async def _poll(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._must_poll.wait()
            self._must_poll.clear()
            positions = {watch.task_id: watch.end for watch in self._watches.values()}
            if positions:
                self._read(await new_events.find_tasks(self.pool, positions))

    async def _read_unread(self) -> None:
        while True:
            await self._has_unread.wait()
            await self._read_some()

    async def _read_some(self) -> None:
        taken = list(self._unread)[:TASKS_AT_ONCE]
        for task_id in taken:
            del self._unread[task_id]
        if not self._unread:
            self._has_unread.clear()
        positions = {task_id: self._watches[task_id].end for task_id in taken if task_id in self._watches}
        if not positions:
            return
        try:
            found = await new_events.read(self.pool, positions)
        except FAILURES:
            self._read(taken)
            raise
        changed: dict[str, int] = {}
        for event, last in found:
            if event.task_id in self._watches:
                self._watches[event.task_id].add(event)
                changed[event.task_id] = last
        for task_id, last in changed.items():
            self._watches[task_id].wake()
            if self._watches[task_id].end < last:
                self._read([task_id])
