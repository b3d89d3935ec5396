"""Event streams are bounded: slow readers, a process that stops, and connections to the database."""

import asyncio
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from .conftest import AGENT, Account, Bed
from .stream_bed import Api, delta, digest, serving, tools, within

pytestmark = pytest.mark.asyncio(loop_scope="session")
MB = 1024 * 1024


class TestSlowReaders:
    async def test_slow_readers_are_disconnected_use_little_memory_and_can_resume(
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
                assert len(await within(30, brisk.some(101))) == 101, "other requests are served meanwhile"
            deadline = time.monotonic() + 60
            while _connected(process) & {stream.port for stream in stalled}:
                assert time.monotonic() < deadline, "the slow reader is not disconnected"
                await asyncio.sleep(0.1)
            received = [frame async for frame in stalled[0].frames() if frame.id]
            assert not stalled[0].is_whole
            assert 0 < len(received) < 20
            for stream in stalled:
                stream.cut()
            await alice.post(f"/api/v1/tasks/{task_id}/cancel")
            async with await api.follow(task_id, alice, last_event_id=received[-1].id) as resumed:
                received += await within(30, resumed.rest())
            assert digest([frame.data for frame in received]) == digest(await api.list(task_id, alice))
            assert "Traceback" not in api.log
            assert "without completing" not in api.log


def _connected(process: psutil.Process) -> set[int]:
    """The client ports of the open connections."""
    return {connection.raddr.port for connection in process.net_connections("tcp") if connection.raddr}


class TestShutdown:
    async def test_shutdown_ends_all_streams_at_once_and_cleanly(
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
                assert time.monotonic() < deadline, "the process waits for a stalled reader"
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
        "two pools, the LISTEN connection, and one of the test server"
    )
    for stream in streams:
        stream.cut()
