"""Live text is sent for tasks that somebody follows, and for no others."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agentcontainer import db
from agentcontainer.api.hub import Follower, Hub
from agentcontainer.api.logs import Log
from agentcontainer.db import Pool
from agentcontainer.domain.tasks import deltas
from agentcontainer.domain.tasks.events import LogSize
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.runner.live_text import LiveText
from agentcontainer.runner.log import EventLog

from .conftest import MakeTask

LIMIT = LogSize(10**6, 10**9)


@asynccontextmanager
async def running(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def hub(pool: Pool, database_url: str) -> AsyncIterator[Hub]:
    """The followers of an API process."""
    hub = Hub(pool)
    async with running(hub.run(database_url)):
        yield hub


@asynccontextmanager
async def runner(pool: Pool, url: str, **options: float) -> AsyncIterator[LiveText]:
    """The part of a runner that sends text."""
    live_text = LiveText(pool, **options)
    async with running(live_text.run(), db.listen(url, {deltas.FOLLOW_CHANNEL: live_text.on_announcement})):
        yield live_text


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def text_of(follower: Follower, seconds: float) -> str:
    """The text that a stream shows for so long."""
    frames = b""
    end = asyncio.get_running_loop().time() + seconds
    while chunk := await follower.next(end):
        frames += chunk
    data = [line[6:] for line in frames.decode().splitlines() if line.startswith("data: ")]
    return "".join(json.loads(line)["data"]["content"] for line in data)


async def test_nothing_is_sent_until_somebody_follows_and_then_what_is_said_from_there_on(
    pool: Pool, database_url: str, make_task: MakeTask, hub: Hub
) -> None:
    task_id, other = await make_task("running"), await make_task("running")
    sent: list[str] = []
    async with (
        runner(pool, database_url) as live_text,
        running(db.listen(database_url, {deltas.CHANNEL: sent.append})),
    ):
        logs = [EventLog(pool, Claim(id_, 1), LIMIT, live_text) for id_ in (task_id, other)]
        await until(lambda: sent == [""])

        async def say(text: str) -> None:
            for log in logs:
                log.add_delta(text)
                await log.flush()

        await say("Before. ")
        await asyncio.sleep(0.2)
        with hub.follow(Log(task_id, "acc_1", 0), 0, is_live=True) as follower:
            await until(lambda: live_text.is_followed(task_id))
            for _ in range(3):  # equal pieces, which PostgreSQL would deliver once
                await say("x" * deltas.MAX_CHARACTERS)
                await say("x" * deltas.MAX_CHARACTERS)
            await say("The end.")
            text = await text_of(follower, 0.5)
        assert text == "x" * 6 * deltas.MAX_CHARACTERS + "The end."
        assert {json.loads(payload)["taskId"] for payload in sent[1:]} == {task_id}


async def test_a_runner_that_connects_later_learns_what_is_followed(
    pool: Pool, database_url: str, make_task: MakeTask, hub: Hub
) -> None:
    task_id = await make_task("running")
    with hub.follow(Log(task_id, "acc_1", 0), 0, is_live=True):
        await asyncio.sleep(0.3)  # announced to nobody
        async with runner(pool, database_url) as live_text:
            await until(lambda: live_text.is_followed(task_id))


async def test_text_ceases_when_nobody_follows_any_more(
    pool: Pool, database_url: str, make_task: MakeTask, hub: Hub
) -> None:
    task_id = await make_task("running")
    async with runner(pool, database_url, follow_seconds=0.5) as live_text:
        with hub.follow(Log(task_id, "acc_1", 0), 0, is_live=True):
            await until(lambda: live_text.is_followed(task_id))
        await until(lambda: not live_text.is_followed(task_id))
        with hub.follow(Log(task_id, "acc_1", 0), 0):  # a request that waits for an event shows no text
            await asyncio.sleep(0.3)
            assert not live_text.is_followed(task_id)


async def test_an_attempt_that_lost_its_claim_is_not_heard(
    pool: Pool, database_url: str, make_task: MakeTask, hub: Hub
) -> None:
    task_id = await make_task("running", attempt=2)
    async with runner(pool, database_url) as live_text:
        with hub.follow(Log(task_id, "acc_1", 0), 0, is_live=True) as follower:
            await until(lambda: live_text.is_followed(task_id))
            for attempt, text in ((1, "Old."), (2, "New."), (1, "Old.")):
                live_text.add(Claim(task_id, attempt), 0, text, None)
            assert await text_of(follower, 0.5) == "New."
