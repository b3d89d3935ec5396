"""An attempt's writer to the event log: small batches, in order, under the attempt's fence.

What the agent is saying goes the same way, to live streams only, so that it stays in order with the events.
"""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, cast

from agentcontainer import crash, db
from agentcontainer.db import Pool
from agentcontainer.domain.tasks import events
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.ids import new_id
from agentcontainer.redaction import Redactor, redact_text

BATCH_SECONDS = 0.03
MAX_BATCH = 500
OVERHEAD_BYTES = 100  # of an event, beside what it says
MAX_WAITING_BYTES = 4 * 1024**2  # held in memory; above it the writer of events waits


class ClaimLost(Exception):
    """The task is no longer this attempt's: drop everything, write nothing."""


@dataclass(frozen=True)
class _Delta:
    content: str
    data: dict[str, Any]


class EventLog:
    """`add` is immediate; `run` writes until cancelled; `flush` returns when all that was added is in.

    Secrets are taken out of every text, also where they come in pieces. Of what is more than `most` nothing is kept.
    """

    def __init__(self, pool: Pool, claim: Claim, most: events.Volume) -> None:
        self._secrets: tuple[bytes, ...] = ()
        self._speech = Redactor(())
        self._pool = pool
        self._claim = claim
        self._waiting: list[events.Draft | _Delta] = []
        self._waiting_bytes = 0
        self._most = most
        self._held = events.Volume(0, 0)
        self._is_over = False
        self._last = 0  # number of the last event before what comes
        self._added = asyncio.Event()
        self._in_doubt: list[str] = []
        """Ids of the first events that wait, if they may be in the log: a write of them broke off, or was cut off."""
        self._writing = asyncio.Lock()

    def begin(self, held: events.Volume, secrets: tuple[bytes, ...]) -> None:
        """The log holds so much, and these are never to be in it."""
        self._last = max(self._last, held.count)
        self._held = held
        self._secrets = secrets
        self._speech = Redactor(secrets)

    def scrub(self, text: str) -> str:
        """The text without secrets."""
        return redact_text(text, self._secrets)

    def add(self, type_: str, data: dict[str, Any]) -> None:
        """Queue one event; nothing, once the log is full."""
        if self._is_over:
            return
        if type_ == "message.completed":
            self._speech = Redactor(self._secrets)  # what it held back is told now
        data = cast("dict[str, Any]", self._scrubbed(db.storable(data)))
        size = len(json.dumps(data)) + OVERHEAD_BYTES
        self._held = events.Volume(self._held.count + 1, self._held.bytes + size)
        self._is_over = self._held.count > self._most.count or self._held.bytes > self._most.bytes
        if self._is_over:
            self._added.set()
        else:
            self._put((type_, data), size)

    def add_delta(self, content: str, data: dict[str, Any]) -> None:
        """Queue more of what the agent is saying, for live streams."""
        content = self._speech.feed(content.encode("utf-8", "replace")).decode("utf-8", "replace")
        if not content:
            return
        last = self._waiting[-1] if self._waiting else None
        if isinstance(last, _Delta) and last.data == data:
            content = self._waiting.pop() and last.content + content
        self._put(_Delta(content, data), len(content))

    @property
    def is_full(self) -> bool:
        """Whether whoever produces events should wait for `flush` first."""
        return self._waiting_bytes >= MAX_WAITING_BYTES

    async def run(self) -> None:
        """Write batches as events come, until cancelled; returns when the log is full, and written.

        Raises:
            ClaimLost: the fence moved.
        """
        while not self._is_over:
            await self._added.wait()
            await asyncio.sleep(BATCH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what waits.

        Raises:
            ClaimLost: the fence moved.
        """
        async with self._writing:
            while self._waiting:
                taken = self._waiting[:MAX_BATCH]
                drafts = _leading_drafts(taken)
                if drafts:
                    if self._in_doubt:
                        drafts = drafts[: len(self._in_doubt)]
                    await self._write(drafts)
                    del self._waiting[: len(drafts)]
                    self._in_doubt = []
                elif isinstance(delta := self._waiting.pop(0), _Delta):
                    await self._show(delta)
            self._waiting_bytes = 0
            self._added.clear()

    def _put(self, entry: events.Draft | _Delta, size: int) -> None:
        self._waiting.append(entry)
        self._waiting_bytes += size
        self._added.set()

    def _scrubbed(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.scrub(value)
        if isinstance(value, dict):
            entries = cast("dict[str, Any]", value).items()
            return {self.scrub(key): self._scrubbed(item) for key, item in entries}
        if isinstance(value, list):
            return [self._scrubbed(item) for item in cast("list[Any]", value)]
        return value

    async def _write(self, batch: list[events.Draft]) -> None:
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
        self._last = max(self._last, last)

    async def _show(self, delta: _Delta) -> None:
        for start in range(0, len(delta.content), events.DELTA_CHARACTERS):
            piece = delta.content[start : start + events.DELTA_CHARACTERS]
            try:
                await events.notify_delta(self._pool, self._claim, self._last, piece, delta.data)
            except db.UNREACHABLE:
                return  # `message.completed` will repeat it


def _leading_drafts(entries: list[events.Draft | _Delta]) -> list[events.Draft]:
    drafts: list[events.Draft] = []
    for entry in entries:
        if isinstance(entry, _Delta):
            break
        drafts.append(entry)
    return drafts
