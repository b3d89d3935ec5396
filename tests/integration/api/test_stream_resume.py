"""Event streams lose no event: with several writers and processes, lost database connections and random disconnects."""

import asyncio
import contextlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.event_stream import Frame, Stream

from .conftest import Account, Bed
from .stream_bed import Api, delta, digest, serving, tools, within

pytestmark = pytest.mark.asyncio(loop_scope="session")


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
        for number, frames in enumerate(await within(60, asyncio.gather(*readers))):
            assert [frame.data for frame in frames] == log[1 if number in (3, 4, 5, 7) else 0 :]

    async def test_through_two_processes(self, bed: Bed, alice: Account, api: Api, short_dir: Path) -> None:
        task_id = (await alice.dispatch())["id"]
        with serving(bed, short_dir) as other:
            async with (
                await api.follow(task_id, alice) as stream_a,
                await other.follow(task_id, alice) as stream_b,
            ):
                await asyncio.gather(stream_a.some(1), stream_b.some(1))
                await delta(bed, task_id, 1, "I see")
                await tools(bed, task_id, 20)
                await alice.post(f"/api/v1/tasks/{task_id}/cancel")
                frames_a, frames_b = await within(30, asyncio.gather(stream_a.rest(), stream_b.rest()))
        assert frames_a == frames_b
        assert [frame.id for frame in frames_a] == [None, *range(2, 23)]

    async def test_when_the_database_drops_every_connection(
        self, bed: Bed, alice: Account, short_dir: Path
    ) -> None:
        task_id = (await alice.dispatch())["id"]
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> ALL ($1::int[])"
        own_pids = await bed.pool.fetchval(
            "SELECT array_agg(pid) FROM pg_stat_activity WHERE datname = current_database()"
        )
        with serving(bed, short_dir) as api:
            async with await api.follow(task_id, alice) as stream:
                reading = asyncio.create_task(stream.rest())

                async def connected() -> None:
                    """Wait for the LISTEN connection and one of the pool, which reads what it announces."""
                    async with asyncio.timeout(60):
                        while await bed.pool.fetchval(f"SELECT count(*) {others}", own_pids) < 2:
                            await asyncio.sleep(0.05)

                for _ in range(3):
                    await connected()
                    await bed.pool.execute(f"SELECT pg_terminate_backend(pid) {others}", own_pids)
                    await tools(bed, task_id, 3)  # without a working LISTEN connection
                    await connected()
                    await tools(bed, task_id, 3)
                await alice.post(f"/api/v1/tasks/{task_id}/cancel")
                frames = await within(60, reading)
            assert [frame.data for frame in frames] == await api.list(task_id, alice)
            assert len(frames) == 20

    async def test_of_a_long_log_with_large_events(self, bed: Bed, alice: Account, api: Api) -> None:
        task_id = (await alice.dispatch())["id"]
        for size in (10, 1000, 300_000, 70_000, 10):
            await tools(bed, task_id, 150 if size < 10_000 else 12, size)
        await tools(bed, task_id, 1, 5_000_000)
        await alice.post(f"/api/v1/tasks/{task_id}/cancel")
        async with await api.follow(task_id, alice) as stream:
            frames = await within(30, stream.rest())
        assert digest([frame.data for frame in frames]) == digest(await api.list(task_id, alice))
        assert len(frames) == 3 * 150 + 2 * 12 + 3

    @pytest.mark.parametrize("cuts", [30, pytest.param(1000, marks=pytest.mark.long)])
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
    """Read `size` bytes, disconnect, and keep the complete events among them, as a browser would."""
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
