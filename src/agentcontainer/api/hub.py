"""Delivers new events to the streams of this process, with one listening connection and one reader for all of them.

A log is the event log of a task, or the feed of an account. A notification says that a log has new entries. The reader
reads them once for all followers of the log, into a short tail. A follower has no queue of entries, only a position in
the log. If it falls behind the tail, it reads pages from the database as fast as its client takes them.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

import asyncpg
from pydantic import BaseModel, ValidationError

from agentcontainer import db
from agentcontainer.api import logs, sse_frames
from agentcontainer.api.announcer import Announcer
from agentcontainer.api.logs import Log, LogEntry
from agentcontainer.db import Pool
from agentcontainer.domain.feed import store as feed
from agentcontainer.domain.tasks import deltas, events
from agentcontainer.errors import RateLimited
from agentcontainer.periodic import repeat

STREAMS_PER_ACCOUNT = 1000  # in one process
MAX_STREAMS = 5000
POLL_SECONDS = 2.0  # because notifications may be lost
# Since the database answered last: then streams end, so that clients go to another process, which may reach it. It is
# asked every POLL_SECONDS, so it has been away for at least 10 s.
SILENT_SECONDS = 12.0
SILENCE_CHECK_SECONDS = 0.5
CLOSING_SECONDS = 0.5  # when the process stops: until streams that have not ended are cut
TAIL_EVENTS = 64
TAIL_BYTES = 64 * 1024
CHUNK_BYTES = 64 * 1024  # sent at once; the last event may exceed it
MAX_DELTAS = 256
MAX_DELTA_BYTES = 64 * 1024
LOGS_PER_QUERY = 100
MAX_PAGE_READERS = 4  # database connections that followers behind the tail may use

logger = logging.getLogger(__name__)

FAILURES = (asyncpg.PostgresError, *db.UNREACHABLE)


@dataclass(frozen=True)
class _Delta:
    """A part of the agent's current message. `after`: the sequence of the event before it."""

    after: int
    frame: bytes


class _DeltaNotification(BaseModel):
    """The payload of a notification on `deltas.CHANNEL`."""

    taskId: str  # noqa: N815
    after: int
    data: object


class _Watch:
    """A log with followers: its last known number, and a tail of its last entries."""

    def __init__(self, log_id: str, end: int) -> None:
        self.log_id = log_id
        self.end = end
        self.is_live = False  # some follower wants deltas, or wanted them
        self.followers: set[Follower] = set()
        self._tail = deque[LogEntry]()
        self._tail_bytes = 0

    def add(self, entry: LogEntry) -> None:
        if entry.number <= self.end:  # it was read for an earlier watch of this log
            return
        if entry.number > self.end + 1:  # those between were deleted: followers behind them find out
            self._tail.clear()
            self._tail_bytes = 0
        self.end = entry.number
        self._tail.append(entry)
        self._tail_bytes += len(entry.frame)
        while len(self._tail) > TAIL_EVENTS or (len(self._tail) > 1 and self._tail_bytes > TAIL_BYTES):
            self._tail_bytes -= len(self._tail.popleft().frame)

    def next(self, position: int) -> LogEntry | None:
        """The entry after this position, if it is in the tail."""
        index = position - self.end + len(self._tail)
        return self._tail[index] if 0 <= index < len(self._tail) else None

    def wake(self) -> None:
        for follower in self.followers:
            follower.wake()


class Follower:
    """A position in a log, and the deltas since. Its size is bounded, however far it is behind."""

    def __init__(self, hub: "Hub", watch: _Watch, log: Log, position: int, cut: Callable[[], None]) -> None:
        self.position = position
        self.is_stopped = False
        """The client left, its key was revoked, the process stops, the database does not answer, the log has ended, or
        its next entry was deleted."""
        self.cut = cut
        self._hub = hub
        self._watch = watch
        self._log = log
        self._page = deque[LogEntry]()
        self._deltas = deque[_Delta]()
        self._delta_bytes = 0
        self._last_message = 0  # sequence of the last message.completed that was sent
        self._reading: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    def stop(self) -> None:
        """End the stream."""
        self.is_stopped = True
        self._woken.set()

    def close(self) -> None:
        """Stop reading pages."""
        if self._reading is not None:
            self._reading.cancel()

    def add_delta(self, delta: _Delta) -> None:
        """Keep a delta until it is sent. If there are too many, drop the oldest: the full text follows as an event."""
        self._deltas.append(delta)
        self._delta_bytes += len(delta.frame)
        while len(self._deltas) > MAX_DELTAS or self._delta_bytes > MAX_DELTA_BYTES:
            self._delta_bytes -= len(self._deltas.popleft().frame)
        self._woken.set()

    def skip(self) -> None:
        """Go on after the last entry that is known now."""
        self.position = self._watch.end

    async def has_news(self, until: float) -> bool:
        """Wait until there is an event after our position; False if there is none before `until`."""
        while self._watch.end <= self.position:
            if self.is_stopped or not await self._is_woken(until):
                return False
        return True

    async def next(self, until: float) -> bytes:
        """Wait for the next frames, about `CHUNK_BYTES` at most. Empty after `until`, also if the database does not
        answer, or if the stream ends."""
        while not self.is_stopped:
            if chunk := self._take():
                return chunk
            if self._watch.end > self.position:
                self._read_ahead()
            if not await self._is_woken(until):
                break
        return b""

    def _take(self) -> bytes:
        frames: list[bytes] = []
        size = 0
        while size < CHUNK_BYTES and not self.is_stopped:
            frame = self._next_delta() or self._next_event()
            if frame is None:
                break
            frames.append(frame)
            size += len(frame)
        return b"".join(frames)

    def _next_delta(self) -> bytes | None:
        while self._deltas and self._deltas[0].after <= self.position:
            delta = self._deltas.popleft()
            self._delta_bytes -= len(delta.frame)
            if delta.after >= self._last_message:
                return delta.frame
        return None

    def _next_event(self) -> bytes | None:
        while (entry := self._page.popleft() if self._page else self._watch.next(self.position)) is not None:
            self.position = entry.number
            if self._log.shows(entry):
                break
        if entry is None:
            return None
        if entry.type == "message.completed":
            self._last_message = entry.number
        if entry.is_last:
            self.is_stopped = True
        return entry.frame

    def _read_ahead(self) -> None:
        """Start to read the entries before the tail, unless it is reading. Its end wakes the follower."""
        if self._reading is not None:
            if not self._reading.done():
                return
            self._reading.result()  # raises what was not expected
        self._reading = asyncio.create_task(self._read_page())
        self._reading.add_done_callback(lambda _: self.wake())

    async def _read_page(self) -> None:
        """Read the next page. If the database cannot be reached, it only pauses."""
        try:
            async with self._hub.pages:
                page = await logs.read(self._hub.pool, {self._watch.log_id: self.position})
        except FAILURES:
            await asyncio.sleep(db.RECONNECT_SECONDS)
            return
        self._page.extend(entry for entry, _ in page)
        if not self._page or self._page[0].number != self.position + 1:
            self.stop()  # retention deleted the next entry: the client learns it when it reconnects

    async def _is_woken(self, until: float) -> bool:
        try:
            async with asyncio.timeout_at(until):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True


class Hub:
    """The followers in this process. They get new entries only while `run` is running."""

    def __init__(self, pool: Pool, max_streams: int = MAX_STREAMS) -> None:
        self.pool = pool
        self._answered_at = 0.0  # when the database answered last, by the loop's clock
        self._max_streams = max_streams
        self.pages = asyncio.Semaphore(MAX_PAGE_READERS)
        self._watches: dict[str, _Watch] = {}
        self._counts = Counter[str]()  # followers by account
        self._unread: dict[str, None] = {}  # logs with new entries, in order of notification
        self._announcer = Announcer(pool, self._followed_live)
        self._has_unread = asyncio.Event()
        self._must_poll = asyncio.Event()
        self._is_closed = False

    def check_room(self, account_id: str) -> None:
        """Check that the account may have one more follower.

        Raises:
            RateLimited: it has `STREAMS_PER_ACCOUNT` streams, or this process has `max_streams`.
        """
        if self._counts.total() >= self._max_streams:
            raise RateLimited("This server has as many streams as it can serve. Try again later.", 10)
        if self._counts[account_id] >= STREAMS_PER_ACCOUNT:
            raise RateLimited(
                f"An account may have {STREAMS_PER_ACCOUNT} streams at once. Close others first.", 10
            )

    @contextmanager
    def follow(
        self, log: Log, position: int, cut: Callable[[], None] = lambda: None, *, is_live: bool = False
    ) -> Generator[Follower]:
        """Follow a log from `position` on. `cut` disconnects a stalled client. `is_live`: with deltas."""
        self._on_answer()  # the caller has just looked up the log
        account_id = log.account_id
        watch = self._watches.get(log.id)
        if watch is None:
            watch = self._watches[log.id] = _Watch(log.id, log.end)
            self._read([log.id])  # entries since `end` was read
        follower = Follower(self, watch, log, position, cut)
        follower.is_stopped = self._is_closed
        if is_live and not watch.is_live:
            watch.is_live = True
            self._announcer.add(log.id)
        watch.followers.add(follower)
        self._counts[account_id] += 1
        try:
            yield follower
        finally:
            follower.close()
            watch.followers.remove(follower)
            if not watch.followers:
                del self._watches[log.id]
            self._counts[account_id] -= 1
            if not self._counts[account_id]:
                del self._counts[account_id]

    async def run(self, url: str, more_handlers: Mapping[str, Callable[[str], None]] | None = None) -> None:
        """Listen for notifications, poll, and read new events, until cancelled.

        `more_handlers`: by channel, as those of `db.listen`, so that others need no connection of their own.
        """
        handlers: dict[str, Callable[[str], None]] = {
            events.CHANNEL: self._on_entry,
            feed.CHANNEL: self._on_entry,
            deltas.CHANNEL: self._on_delta,
            deltas.REQUEST_CHANNEL: lambda _: self._announcer.renew(),
            **(more_handlers or {}),
        }
        async with asyncio.TaskGroup() as group:
            listen = partial(db.listen, url, handlers, self._on_answer)
            for part in (listen, self._poll, self._read_unread, self._announcer.run, self._end_silent):
                group.create_task(repeat("reading events for streams", part, db.RECONNECT_SECONDS, FAILURES))

    def close(self) -> None:
        """End all streams, and those that still start, because the process stops. Cut those that do not end."""
        self._is_closed = True
        for follower in self._followers():
            follower.stop()
        asyncio.get_running_loop().call_later(CLOSING_SECONDS, self._cut_all)

    def _cut_all(self) -> None:
        for follower in self._followers():
            follower.cut()

    def _followers(self) -> list[Follower]:
        return [follower for watch in self._watches.values() for follower in watch.followers]

    def _followed_live(self) -> list[str]:
        return [watch.log_id for watch in self._watches.values() if watch.is_live]

    def _on_entry(self, log_id: str) -> None:
        if log_id in self._watches:
            self._read([log_id])
        elif not log_id:  # a new connection: notifications may have been missed
            self._must_poll.set()

    def _on_answer(self) -> None:
        self._answered_at = asyncio.get_running_loop().time()

    def _on_delta(self, payload: str) -> None:
        try:
            notification = _DeltaNotification.model_validate_json(payload)
        except ValidationError:  # also for "", which announces a new connection
            return
        watch = self._watches.get(notification.taskId)
        if watch is None:
            return
        delta = _Delta(notification.after, sse_frames.delta_frame(watch.log_id, notification.data))
        for follower in watch.followers:
            follower.add_delta(delta)

    def _read(self, log_ids: Iterable[str]) -> None:
        self._unread.update(dict.fromkeys(log_ids))
        if self._unread:
            self._has_unread.set()

    async def _poll(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._must_poll.wait()
            self._must_poll.clear()
            positions = {watch.log_id: watch.end for watch in self._watches.values()}
            if positions:
                self._read(await logs.find_behind(self.pool, positions))
                self._on_answer()

    async def _end_silent(self) -> None:
        """End all streams while the database does not answer."""
        while True:
            await asyncio.sleep(SILENCE_CHECK_SECONDS)
            followers = [follower for follower in self._followers() if not follower.is_stopped]
            silent_seconds = asyncio.get_running_loop().time() - self._answered_at
            if followers and silent_seconds > SILENT_SECONDS:
                logger.warning(
                    "%d streams end: the database did not answer for %.0f s", len(followers), silent_seconds
                )
                for follower in followers:
                    follower.stop()

    async def _read_unread(self) -> None:
        while True:
            await self._has_unread.wait()
            await self._read_some()

    async def _read_some(self) -> None:
        log_ids = list(self._unread)[:LOGS_PER_QUERY]
        for log_id in log_ids:
            del self._unread[log_id]
        if not self._unread:
            self._has_unread.clear()
        positions = {log_id: self._watches[log_id].end for log_id in log_ids if log_id in self._watches}
        if not positions:
            return
        try:
            page = await logs.read(self.pool, positions)
        except FAILURES:
            self._read(log_ids)
            raise
        changed: dict[str, int] = {}
        for entry, last in page:
            if entry.log_id in self._watches:
                self._watches[entry.log_id].add(entry)
                changed[entry.log_id] = last
        for log_id, last in changed.items():
            self._watches[log_id].wake()
            if self._watches[log_id].end < last:
                self._read([log_id])
