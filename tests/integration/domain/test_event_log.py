"""A task's event log is bounded, whatever its agent writes and however often it is restarted."""

import asyncio
import random
import secrets

import pytest

from agentcontainer.db import Pool
from agentcontainer.domain.tasks import events
from agentcontainer.domain.tasks.event_data import MessageCompleted
from agentcontainer.domain.tasks.events import LogSize
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.runner.live_text import LiveText
from agentcontainer.runner.log import EventLog

from .conftest import MakeTask


@pytest.mark.parametrize(("limit", "expected"), [(LogSize(25, 10**9), 25), (LogSize(10**9, 25 * 2000), 24)])
async def test_the_event_log_has_a_size_limit(
    pool: Pool, make_task: MakeTask, limit: LogSize, expected: int
) -> None:
    task_id = await make_task("running", attempt=1)
    for _ in range(3):  # attempts
        log = EventLog(pool, Claim(task_id, 1), limit, LiveText(pool))
        log.begin(await events.log_size(pool, task_id), ())
        writing = asyncio.create_task(log.run())
        for _ in range(20):
            log.add(MessageCompleted(secrets.token_urlsafe(1500)))
        await log.flush()
        size = await events.log_size(pool, task_id)
        if size.count == 20:
            writing.cancel()  # the log of the first attempt is not full
            await asyncio.gather(writing, return_exceptions=True)
        else:
            await asyncio.wait_for(writing, 10)  # a full log ends the call
    assert expected - 1 <= (await events.log_size(pool, task_id)).count <= expected


async def test_a_write_that_is_cut_off_at_any_moment_is_neither_lost_nor_repeated(
    pool: Pool, make_task: MakeTask
) -> None:
    task_id = await make_task("running", attempt=1)
    log = EventLog(pool, Claim(task_id, 1), LogSize(10**6, 10**9), LiveText(pool))
    log.begin(LogSize(0, 0), ())
    moments = random.Random(1)
    for number in range(150):
        log.add(MessageCompleted(str(number)))
        writing = asyncio.create_task(log.flush())
        await asyncio.sleep(moments.random() * 0.006)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        if number % 3 == 0:
            log.add(MessageCompleted(f"{number} and more"))
    await log.flush()
    written = [event.data["content"] for event in (await events.list_page(pool, task_id, limit=1000)).rows]
    expected = [text for n in range(150) for text in ((str(n), f"{n} and more") if n % 3 == 0 else (str(n),))]
    assert written == expected
    assert await events.gaps(pool) == []
