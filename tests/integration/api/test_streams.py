"""Event streams of a real API process: resumed without loss, in order, bounded, and ended when they should be."""

import asyncio
import contextlib
import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from agentcontainer import db
from agentcontainer.domain.tasks import events
from tests.event_stream import Frame, Stream

from .conftest import AGENT, Account, Bed
from .stream_bed import Api, all_of, append, delta, digest, serving, tools, within

pytestmark = pytest.mark.asyncio(loop_scope="session")

MB = 1024 * 1024


class TestAStream:
    async def test_shows_the_log_then_what_is_added_and_ends_with_the_task(
        self, bed: Bed, alice: Account, api: Api
    ) -> None:
        task_id = (await alice.dispatch())["id"]
        await tools(bed, task_id, 2)
        async with await api.follow(task_id, alice) as stream:
            assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert stream.headers["cache-control"] == "no-store"
            assert stream.headers["x-accel-buffering"] == "no"
            frames = stream.frames()
            assert (await within(30, anext(frames))).retry == "1000"
            seen = [await within(30, anext(frames)) for _ in range(3)]
            await tools(bed, task_id, 1)
            seen.append(await within(30, anext(frames)))
            await alice.post(f"/api/v1/tasks/{task_id}/cancel")
            seen += await within(30, all_of(frames))
            assert stream.is_whole
        assert [frame.id for frame in seen] == [1, 2, 3, 4, 5]
        assert seen[-1].event == "task.cancelled"
        log = await api.list(task_id, alice)
        assert [frame.data for frame in seen] == log
        assert [frame.event for frame in seen] == [event["type"] for event in log]

    @pytest.mark.parametrize("status", ["finished", "failed", "cancelled", "expired"])
    async def test_ends_after_each_kind_of_end_and_then_says_204(
        self, bed: Bed, alice: Account, api: Api, status: str
    ) -> None:
        task_id = (await alice.dispatch())["id"]
        async with await api.follow(task_id, alice) as stream:
            await bed.pool.execute("UPDATE tasks SET status = $2 WHERE id = $1", task_id, status)
            await append(bed, task_id, (f"task.{status}", {"status": status}))
            assert [frame.id for frame in await within(30, stream.rest())] == [1, 2]
            assert stream.is_whole
        path = f"/api/v1/tasks/{task_id}/events?stream=true"
        async with await Stream.open(api.base_url, path, alice.key, last_event_id=2) as again:
            assert again.status == 204
            assert again.headers["access-control-allow-origin"] == "*"
        async with await api.follow(task_id, alice, last_event_id=1) as again:
            assert [frame.id for frame in await within(30, again.rest())] == [2]

    async def test_goes_on_where_the_client_was(self, bed: Bed, alice: Account, api: Api) -> None:
        task_id = (await alice.dispatch())["id"]
        await tools(bed, task_id, 5)
        await alice.post(f"/api/v1/tasks/{task_id}/cancel")
        for query, last_event_id, expected in (
            ("&after=4", None, [5, 6, 7]), ("", 4, [5, 6, 7]), ("&after=1", 6, [7]),
            ("&after=6", 1, [2, 3, 4, 5, 6, 7]), ("&after=0", None, [1, 2, 3, 4, 5, 6, 7]),
        ):  # fmt: skip
            async with await api.follow(task_id, alice, query, last_event_id=last_event_id) as stream:
                assert [frame.id for frame in await within(30, stream.rest())] == expected

    async def test_is_asked_for_by_the_query_or_by_accept(self, alice: Account, api: Api) -> None:
        task_id = (await alice.dispatch())["id"]
        await alice.post(f"/api/v1/tasks/{task_id}/cancel")
        for query, accept, is_stream in (
            ("", "text/event-stream", True), ("", "Text/Event-Stream; charset=utf-8, */*", True), ("", "*/*", False),
            ("", "text/event-stream;q=0", False), ("", "application/json, text/event-stream", False),
            ("?stream=true", "application/json", True), ("?stream=false", "text/event-stream", False),
        ):  # fmt: skip
            path = f"/api/v1/tasks/{task_id}/events{query}"
            async with await Stream.open(api.base_url, path, alice.key, accept=accept) as stream:
                kind = "text/event-stream; charset=utf-8" if is_stream else "application/json"
                assert stream.headers["content-type"] == kind, (query, accept)

    async def test_of_a_conversation(self, bed: Bed, alice: Account, api: Api) -> None:
        task_id = (await alice.converse())["task"]["id"]
        path = "/api/v1/conversations/{}/events?stream=true"
        async with await Stream.open(api.base_url, path.format(task_id), alice.key) as stream:
            await alice.post(f"/api/v1/tasks/{task_id}/cancel")
            seen = await within(30, stream.rest())
        assert [frame.data for frame in seen] == await api.list(task_id, alice)
        assert {"task.created", "message.created", "task.cancelled"} <= {frame.event for frame in seen}
        autonomous = (await alice.dispatch())["id"]
        for query in ("?stream=true", ""):
            answer = await alice.get(f"/api/v1/conversations/{autonomous}/events{query}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
        listed = await alice.get(f"/api/v1/conversations/{task_id}/events?after=1")
        assert listed.json()["data"][0]["sequence"] == 2


class TestNothingIsLost:
    async def test_with_two_writers_and_readers_who_come_at_any_time(
        self, bed: Bed, alice: Account, api: Api
    ) -> None:
        task_id = (await alice.dispatch())["id"]

        async def write(count: int) -> None:
            for _ in range(count):
                await tools(bed, task_id, random.randint(1, 5), random.choice((10, 10, 10_000)))

        async def read(after: int) -> list[Frame]:
            await asyncio.sleep(random.random() * 0.5)
            async with await api.follow(task_id, alice, f"&after={after}") as stream:
                return await stream.rest()

        readers = [asyncio.create_task(read(after)) for after in (0, 0, 0, 1, 1, 1, 0, 1)]
        await asyncio.gather(write(150), write(150))
        await alice.post(f"/api/v1/tasks/{task_id}/cancel")
        log = await api.list(task_id, alice)
        for number, seen in enumerate(await within(60, asyncio.gather(*readers))):
            assert [frame.data for frame in seen] == log[1 if number in (3, 4, 5, 7) else 0 :]

    async def test_through_two_processes(self, bed: Bed, alice: Account, api: Api, short_dir: Path) -> None:
        task_id = (await alice.dispatch())["id"]
        with serving(bed, short_dir) as other:
            async with await api.follow(task_id, alice) as one, await other.follow(task_id, alice) as two:
                await asyncio.gather(one.some(1), two.some(1))
                await delta(bed, task_id, 1, "I see")
                await tools(bed, task_id, 20)
                await alice.post(f"/api/v1/tasks/{task_id}/cancel")
                here, there = await within(30, asyncio.gather(one.rest(), two.rest()))
        assert here == there
        assert [frame.id for frame in here] == [None, *range(2, 23)]

    async def test_when_the_database_drops_every_connection(
        self, bed: Bed, alice: Account, short_dir: Path
    ) -> None:
        task_id = (await alice.dispatch())["id"]
        kill = """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> ALL ($1::int[])
        """
        ours = await bed.pool.fetchval(
            "SELECT array_agg(pid) FROM pg_stat_activity WHERE datname = current_database()"
        )
        with serving(bed, short_dir) as api:
            async with await api.follow(task_id, alice) as stream:
                reading = asyncio.create_task(stream.rest())
                for turn in range(3):
                    killed = await bed.pool.fetch(kill, ours)
                    assert len(killed) >= (1 if turn else 2), "the listening connection, and one of the pool"
                    await tools(bed, task_id, 3)  # nobody is told
                    await asyncio.sleep(1.5)
                    await tools(bed, task_id, 3)
                    await asyncio.sleep(1.5)
                await alice.post(f"/api/v1/tasks/{task_id}/cancel")
                seen = await within(60, reading)
            assert [frame.data for frame in seen] == await api.list(task_id, alice)
            assert len(seen) == 20

    async def test_of_a_long_log_with_large_events(self, bed: Bed, alice: Account, api: Api) -> None:
        task_id = (await alice.dispatch())["id"]
        for size in (10, 1000, 300_000, 70_000, 10):
            await tools(bed, task_id, 150 if size < 10_000 else 12, size)
        await tools(bed, task_id, 1, 5_000_000)
        await alice.post(f"/api/v1/tasks/{task_id}/cancel")
        async with await api.follow(task_id, alice) as stream:
            seen = await within(30, stream.rest())
        assert digest([frame.data for frame in seen]) == digest(await api.list(task_id, alice))
        assert len(seen) == 3 * 150 + 2 * 12 + 3

    @pytest.mark.parametrize("cuts", [100, pytest.param(1000, marks=pytest.mark.long)])
    async def test_over_random_cuts_while_a_writer_is_busy(
        self, bed: Bed, alice: Account, api: Api, short_dir: Path, cuts: int
    ) -> None:
        task_id = (await alice.dispatch())["id"]
        is_over = False

        async def write() -> None:
            while not is_over:
                await tools(bed, task_id, random.randint(1, 8), random.choice((10, 300, 20_000)))
                await delta(bed, task_id, 1, "…")
                await asyncio.sleep(random.random() * 0.02)
            await alice.post(f"/api/v1/tasks/{task_id}/cancel")

        received: list[dict[str, Any]] = []
        writing = asyncio.create_task(write())
        random_ = random.Random(cuts)
        with serving(bed, short_dir) as other:
            for _ in range(cuts):
                last = received[-1]["sequence"] if received else None
                process = random_.choice((api, other))
                async with await process.follow(task_id, alice, last_event_id=last) as stream:
                    await read_until_cut(stream, received, random_.choice((0, 1, 100, 5000, 100_000)))
            is_over = True
            await writing
            async with await api.follow(task_id, alice, last_event_id=received[-1]["sequence"]) as stream:
                received += [frame.data for frame in await within(60, stream.rest()) if frame.id]
        log = await api.list(task_id, alice)
        assert len(log) > cuts
        assert [event["sequence"] for event in received] == list(range(1, len(log) + 1))
        assert digest(received) == digest(log)


async def read_until_cut(stream: Stream, received: list[dict[str, Any]], size: int) -> None:
    """Take so many bytes, wherever that ends, and keep the whole events among them as a browser would."""
    buffer = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            async for chunk in stream.chunks():
                buffer += chunk
                if len(buffer) >= size:
                    break
    stream.cut()
    for frame in buffer[:size].split(b"\n\n")[:-1]:
        fields = dict(line.split(b": ", 1) for line in frame.split(b"\n"))
        if b"id" in fields:
            received.append(json.loads(fields[b"data"]))


class TestDeltas:
    async def test_come_between_the_events_where_they_belong(
        self, bed: Bed, alice: Account, api: Api
    ) -> None:
        task_id = (await alice.dispatch())["id"]
        async with await api.follow(task_id, alice) as stream:
            await within(30, stream.some(1))
            await delta(bed, task_id, 3, "only after the third")
            await delta(bed, task_id, 3, "and this")
            await asyncio.sleep(0.3)
            await tools(bed, task_id, 2)
            first = await within(30, stream.some(4))
            await append(bed, task_id, ("message.completed", {"role": "assistant", "content": "all of it"}))
            await within(30, stream.some(1))
            await delta(bed, task_id, 3, "too late: the whole text is out")
            await delta(bed, task_id, 4, "next")
            await alice.post(f"/api/v1/tasks/{task_id}/cancel")
            rest = await within(30, stream.rest())
        assert [(frame.id, frame.event) for frame in first] == [
            (2, "tool.started"), (3, "tool.started"), (None, "message.delta"), (None, "message.delta"),
        ]  # fmt: skip
        assert first[2].data == {
            "type": "message.delta", "taskId": task_id, "data": {"content": "only after the third"},
        }  # fmt: skip
        assert [(frame.event, frame.data["data"].get("content")) for frame in rest] == [
            ("message.delta", "next"), ("task.cancelled", None),
        ]  # fmt: skip
        assert "message.delta" not in {event["type"] for event in await api.list(task_id, alice)}

    async def test_of_others_and_nonsense_are_not_shown(self, bed: Bed, alice: Account, api: Api) -> None:
        task_id, other = (await alice.dispatch())["id"], (await alice.dispatch())["id"]
        async with await api.follow(task_id, alice) as stream:
            await within(30, stream.some(1))
            await delta(bed, other, 1, "not here")
            for payload in ("nonsense", "[]", "{}", f'{{"taskId": "{task_id}"}}', '{"taskId": []}', "7"):
                await bed.pool.execute("SELECT pg_notify($1, $2)", events.DELTA_CHANNEL, payload)
            await delta(bed, task_id, 1, "here")
            await alice.post(f"/api/v1/tasks/{task_id}/cancel")
            rest = await within(30, stream.rest())
        assert [frame.event for frame in rest] == ["message.delta", "task.cancelled"]

    async def test_beyond_the_bound_the_oldest_go(self, bed: Bed, alice: Account, api: Api) -> None:
        task_id = (await alice.dispatch())["id"]
        async with await api.follow(task_id, alice) as stream:
            await within(30, stream.some(1))
            async with db.transaction(bed.pool) as connection:
                for number in range(1000):
                    payload = {"taskId": task_id, "after": 2, "data": {"content": str(number)}}
                    await connection.execute(
                        "SELECT pg_notify($1, $2)", events.DELTA_CHANNEL, json.dumps(payload)
                    )
            await asyncio.sleep(0.3)
            await tools(bed, task_id, 1)
            await alice.post(f"/api/v1/tasks/{task_id}/cancel")
            said = [
                frame.data["data"]["content"] for frame in await within(30, stream.rest()) if frame.id is None
            ]
        assert said == [str(number) for number in range(1000 - len(said), 1000)]
        assert 100 < len(said) <= 256


class TestLongPoll:
    async def test_waits_for_the_next_event_and_no_longer(self, bed: Bed, alice: Account, api: Api) -> None:
        task_id = (await alice.dispatch())["id"]
        started = time.monotonic()
        assert len(await api.list(task_id, alice, after=0, wait=20)) == 1, "what is there comes at once"
        assert await api.list(task_id, alice, after=1, wait=1) == []
        assert 0.9 < time.monotonic() - started < 10
        waiting = asyncio.create_task(api.list(task_id, alice, after=1, wait=20))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await tools(bed, task_id, 1)
        assert [event["sequence"] for event in await within(10, waiting)] == [2]
        await alice.post(f"/api/v1/tasks/{task_id}/cancel")
        assert await within(10, api.list(task_id, alice, after=3, wait=20)) == [], (
            "nothing comes after the end"
        )

    async def test_ends_when_the_client_goes(self, alice: Account, api: Api) -> None:
        task_id = (await alice.dispatch())["id"]
        url = f"{api.base_url}/api/v1/tasks/{task_id}/events?after=1&wait=20"
        async with httpx.AsyncClient(trust_env=False) as http:
            with pytest.raises(httpx.ReadTimeout):
                await http.get(
                    url, headers={"Authorization": f"Bearer {alice.key}"}, timeout=httpx.Timeout(30, read=1)
                )
        deadline = time.monotonic() + 30
        while f"GET /api/v1/tasks/{task_id}/events 499" not in api.log:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


class TestSlowReaders:
    async def test_are_cut_cost_little_and_can_resume(
        self, bed: Bed, alice: Account, short_dir: Path
    ) -> None:
        task_id = (await alice.dispatch())["id"]
        for _ in range(10):
            await tools(bed, task_id, 10, 100_000)
        with serving(bed, short_dir, stream__SEND_SECONDS=3.0) as api:
            process = psutil.Process(api.pid)
            async with await api.follow(task_id, alice, receive_buffer=4096) as warm:
                await warm.some(5)
            await asyncio.sleep(0.5)
            before = process.memory_info().rss
            stalled = [await api.follow(task_id, alice, receive_buffer=4096) for _ in range(50)]
            await asyncio.sleep(1.5)
            for _ in range(10):
                await tools(bed, task_id, 10, 100_000)
                await delta(bed, task_id, 1, "x" * 5000)
            growth = process.memory_info().rss - before
            print(f"\n50 stalled readers of 20 MB: {growth / MB:.1f} MB more memory")
            assert growth < 50 * MB
            async with await api.follow(task_id, alice, "&after=100") as brisk:
                assert len(await within(30, brisk.some(101))) == 101, "others are served meanwhile"
            deadline = time.monotonic() + 60
            while _connected(process) & {stream.port for stream in stalled}:
                assert time.monotonic() < deadline, "not cut"
                await asyncio.sleep(0.1)
            seen = [frame async for frame in stalled[0].frames() if frame.id]
            assert not stalled[0].is_whole
            assert 0 < len(seen) < 20
            for stream in stalled:
                stream.cut()
            await alice.post(f"/api/v1/tasks/{task_id}/cancel")
            async with await api.follow(task_id, alice, last_event_id=seen[-1].id) as resumed:
                seen += await within(30, resumed.rest())
            assert digest([frame.data for frame in seen]) == digest(await api.list(task_id, alice))
            assert "Traceback" not in api.log
            assert "without completing" not in api.log


def _connected(process: psutil.Process) -> set[int]:
    """The ports from which clients are connected."""
    return {connection.raddr.port for connection in process.net_connections("tcp") if connection.raddr}


class TestShutdown:
    async def test_ends_all_streams_at_once_and_cleanly(
        self, bed: Bed, alice: Account, short_dir: Path
    ) -> None:
        task_id = (await alice.dispatch())["id"]
        large = (await alice.dispatch())["id"]
        for _ in range(10):
            await tools(bed, large, 10, 100_000)
        with serving(bed, short_dir) as api:
            streams = [await api.follow(task_id, alice) for _ in range(20)]
            stalled = await api.follow(large, alice, receive_buffer=4096)
            waiting = asyncio.create_task(api.list(task_id, alice, after=1, wait=20))
            await asyncio.gather(*(stream.some(1) for stream in streams))
            await asyncio.sleep(1)  # it waits
            os.kill(api.pid, signal.SIGTERM)
            started = time.monotonic()
            await within(30, asyncio.gather(*(stream.rest() for stream in streams)))
            assert time.monotonic() - started < 5
            assert all(stream.is_whole for stream in streams)
            assert await within(10, waiting) == []
            deadline = time.monotonic() + 30
            while psutil.Process(api.pid).status() != psutil.STATUS_ZOMBIE:
                assert time.monotonic() < deadline, "the process waits for the reader that is stuck"
                await asyncio.sleep(0.05)
            for stream in [*streams, stalled]:
                stream.cut()
            assert "Traceback" not in api.log
            assert "timeout graceful shutdown exceeded" not in api.log


async def test_streams_of_one_task_share_one_connection_to_listen(bed: Bed, alice: Account, api: Api) -> None:
    tasks = [(await alice.dispatch(title=AGENT))["id"] for _ in range(5)]
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    streams = [await api.follow(task_id, alice) for task_id in tasks * 20]
    await asyncio.gather(*(within(30, stream.some(1)) for stream in streams))
    assert await bed.pool.fetchval(count) <= 2 * 10 + 1 + 1, (
        "two pools, one that listens, one of the test server's"
    )
    for stream in streams:
        stream.cut()
