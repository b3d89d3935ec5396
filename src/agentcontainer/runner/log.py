"""Writes the events of an attempt: in small batches, in order, and only while the attempt has its claim.

Pieces of what the agent is saying ("deltas") pass through the same queue, so that live streams show them in order with
the events. They are not stored, and only sent if somebody follows the task.
"""

import asyncio
import json
from dataclasses import dataclass, replace
from typing import Any, cast

from agentcontainer import crash, db
from agentcontainer.db import Pool
from agentcontainer.domain.tasks import events
from agentcontainer.domain.tasks.event_data import Draft, EventData, MessageCompleted, TurnLabel, draft
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.ids import new_id
from agentcontainer.printable import without_controls
from agentcontainer.redaction import Redactor, redact_text
from agentcontainer.runner.ending import ClaimLost
from agentcontainer.runner.live_text import LiveText

BATCH_SECONDS = 0.03
MAX_BATCH = 500
OVERHEAD_BYTES = 100  # counted for each event in addition to its data
MAX_QUEUED_BYTES = 4 * 1024**2  # with more in memory, whoever adds events waits for a flush


@dataclass(frozen=True)
class _Delta:
    content: str
    turn: TurnLabel | None


class EventLog:
    """Events of one attempt. `add` queues an event; `run` writes what is queued until cancelled; `flush` returns when
    all of it is written.

    Provider keys are removed from every text, also where a key is split over several deltas. Once the log has reached
    `limit`, further events are dropped.
    """

    def __init__(self, pool: Pool, claim: Claim, limit: events.LogSize, live_text: LiveText) -> None:
        self.turn: TurnLabel | None = None
        """The turn that runs; every event names it."""
        self._pool = pool
        self._claim = claim
        self._limit = limit
        self._live_text = live_text
        self._size = events.LogSize(0, 0)
        self._is_over_limit = False
        self._secrets: tuple[bytes, ...] = ()
        self._delta_redactor = Redactor(())
        self._last_sequence = 0
        self._queue: list[Draft | _Delta] = []
        self._queued_bytes = 0
        self._added = asyncio.Event()
        self._in_doubt: list[str] = []
        """Ids of the first queued events, chosen by a write that failed but may have been committed."""
        self._writing = asyncio.Lock()

    def begin(self, size: events.LogSize, secrets: tuple[bytes, ...]) -> None:
        """Set the log's present size, and the secrets that must never appear in it."""
        self._last_sequence = max(self._last_sequence, size.count)
        self._size = size
        self._secrets = secrets
        self._delta_redactor = Redactor(secrets)

    def redact(self, text: str) -> str:
        """The text without secrets."""
        return redact_text(text, self._secrets)

    def clean(self, text: str) -> str:
        """The text without secrets, and without control characters, because it may be shown in a terminal."""
        return self.redact(without_controls(text, separators=False))

    def add(self, data: EventData) -> None:
        """Queue one event of the current turn; dropped if the log is full."""
        if self._is_over_limit:
            return
        if isinstance(data, MessageCompleted):
            self._delta_redactor = Redactor(self._secrets)  # the message contains what the redactor held back
        event = draft(data, self.turn)
        event = replace(event, data=self._redacted(db.storable(event.data)))
        size = len(json.dumps(event.data)) + OVERHEAD_BYTES
        self._size = events.LogSize(self._size.count + 1, self._size.bytes + size)
        self._is_over_limit = self._size.count > self._limit.count or self._size.bytes > self._limit.bytes
        if self._is_over_limit:
            self._added.set()
        else:
            self._enqueue(event, size)

    def add_delta(self, content: str) -> None:
        """Queue a piece of what the agent is saying, for live streams."""
        # Also when nobody follows: a secret may be split over this piece and the next.
        content = self._delta_redactor.feed(content.encode("utf-8", "replace")).decode("utf-8", "replace")
        if not content or not self._live_text.is_followed(self._claim.task_id):
            return
        last = self._queue[-1] if self._queue else None
        if isinstance(last, _Delta) and last.turn == self.turn:
            self._queue.pop()
            content = last.content + content
        self._enqueue(_Delta(content, self.turn), len(content))

    @property
    def is_full(self) -> bool:
        """Whether so much is queued that whoever adds events should `flush` first."""
        return self._queued_bytes >= MAX_QUEUED_BYTES

    async def run(self) -> None:
        """Write batches as events come; returns when the log has reached its limit and is written.

        Raises:
            ClaimLost: the claim is lost.
        """
        while not self._is_over_limit:
            await self._added.wait()
            await asyncio.sleep(BATCH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write everything that is queued.

        Raises:
            ClaimLost: the claim is lost.
        """
        async with self._writing:
            while self._queue:
                drafts = _leading_drafts(self._queue[:MAX_BATCH])
                if drafts:
                    if self._in_doubt:
                        drafts = drafts[: len(self._in_doubt)]
                    await self._write(drafts)
                    del self._queue[: len(drafts)]
                    self._in_doubt = []
                elif isinstance(delta := self._queue.pop(0), _Delta):
                    self._live_text.add(self._claim, self._last_sequence, delta.content, delta.turn)
            self._queued_bytes = 0
            self._added.clear()

    def _enqueue(self, entry: Draft | _Delta, size: int) -> None:
        self._queue.append(entry)
        self._queued_bytes += size
        self._added.set()

    def _redacted(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, dict):
            entries = cast("dict[str, Any]", value).items()
            return {self.redact(key): self._redacted(item) for key, item in entries}
        if isinstance(value, list):
            return [self._redacted(item) for item in cast("list[Any]", value)]
        return value

    async def _write(self, batch: list[Draft]) -> None:
        task_id = self._claim.task_id

        async def write() -> int | None:
            async with db.transaction(self._pool) as connection:
                if self._in_doubt:
                    last = await events.last_if_written(connection, task_id, self._in_doubt[0])
                    if last is not None:
                        return last
                else:
                    self._in_doubt = [new_id("evt") for _ in batch]
                crash.reach("event_append")
                return await events.append(connection, task_id, batch, self._claim, self._in_doubt)

        last = await db.retry_while_unavailable(write)
        if last is None:
            raise ClaimLost
        crash.reach("events_appended")
        self._last_sequence = max(self._last_sequence, last)


def _leading_drafts(entries: list[Draft | _Delta]) -> list[Draft]:
    """The events before the first delta."""
    drafts: list[Draft] = []
    for entry in entries:
        if isinstance(entry, _Delta):
            break
        drafts.append(entry)
    return drafts
