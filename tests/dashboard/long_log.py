"""A task whose log is nearly as long as a log may be, and events that are added to it."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from agentcontainer import db
from agentcontainer.domain.tasks import events
from agentcontainer.domain.tasks.event_data import Draft
from agentcontainer.embedded.location import url_of
from agentcontainer.ids import new_id

EVENTS = 99_000
_FILL = """
WITH task AS (
    UPDATE tasks SET last_event_sequence = last_event_sequence + $2 WHERE id = $1
    RETURNING last_event_sequence - $2 AS before
)
INSERT INTO events (task_id, sequence, id, type, data)
SELECT $1, before + number, 'evt_' || lpad((before + number)::text, 26, '0'),
    CASE WHEN number % 2 = 1 THEN 'tool.started' ELSE 'tool.completed' END,
    CASE WHEN number % 2 = 1
        THEN jsonb_build_object('activityId', 'act_' || number, 'callId', 'call_' || (number + 1) / 2, 'tool', 'bash',
            'input', jsonb_build_object('command', 'echo step ' || (number + 1) / 2), 'inputOmittedReason', null)
        ELSE jsonb_build_object('callId', 'call_' || number / 2, 'tool', 'bash', 'isError', number % 1000 = 10,
            'output', 'step ' || number / 2 || repeat(' of many', 20), 'durationMs', number % 900)
    END
FROM task, generate_series(1, $2::int) AS number
"""


def fill(data_dir: Path, task_id: str, count: int = EVENTS) -> None:
    """Add so many events to the log of a task: calls of a tool, one in 500 of which failed."""

    async def run() -> None:
        async with db.pool(url_of(data_dir), max_size=1) as pool:
            await pool.execute(_FILL, task_id, count, timeout=120)

    _in_thread(run())


@contextmanager
def appending(data_dir: Path, task_id: str, every_seconds: float = 0.1) -> Iterator[None]:
    """Add two events again and again during the block."""
    stopped = threading.Event()

    async def run() -> None:
        async with db.pool(url_of(data_dir), max_size=1) as pool:
            number = 0
            while not stopped.is_set():
                number += 1
                async with db.transaction(pool) as connection:
                    await events.append(connection, task_id, _call(number))
                await asyncio.sleep(every_seconds)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _call(number: int) -> list[Draft]:
    call = f"live_{number}"
    started = {
        "activityId": new_id("act"), "callId": call, "tool": "bash", "input": {"command": f"echo live {number}"},
        "inputOmittedReason": None,
    }  # fmt: skip
    completed = {
        "callId": call,
        "tool": "bash",
        "isError": False,
        "output": f"live {number}",
        "durationMs": 5,
    }
    return [Draft("tool.started", started), Draft("tool.completed", completed)]


def _in_thread(work: Coroutine[None, None, None]) -> None:
    """Run it where no event loop runs: Playwright's runs in the thread of the tests."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()
