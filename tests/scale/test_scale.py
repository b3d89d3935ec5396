"""What every named query reads does not grow with the history: 1,000 tasks against a million.

Counted are the buffers of our tables, their indexes and TOAST that a call of the product's own function touches.
SCALE_TASKS sets another number of tasks for the large database.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.retention import service as retention
from agentcontainer.domain.retention.store import MAX_USES
from agentcontainer.domain.tasks import listing
from agentcontainer.embedded.postgres import Postgres
from tests import data_folder
from tests.scale.calls import CALLS, MANY_MATCHES, POPULAR_FILE, dispatch_claim_end, prepare
from tests.scale.history import LIVE
from tests.scale.platform import Platform, kept_folder, opened

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(3600)]

SMALL = 1000
LARGE = int(os.environ.get("SCALE_TASKS", "1000000"))
FACTOR = 1.5
# Buffers of one call: an index of a million rows has one or two more levels, and the rows of a page are joined with
# others.
DEEPER_INDEXES = 16
LONGEST_WAIT = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - waitstart)), 0) FROM pg_locks AS waiting
WHERE NOT granted AND pg_blocking_pids(pid) && ARRAY(SELECT pid FROM pg_stat_activity WHERE application_name = 'purge')
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platforms(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[int, Platform]]:
    folder = kept_folder() or tmp_path_factory.mktemp("server")
    folder.chmod(0o755)
    server = Postgres(folder, service_uid=data_folder.SERVICE_UID, is_durable=False)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.stop)
        url = await server.start()
        blobs = tmp_path_factory.mktemp("blobs")
        yield {count: await stack.enter_async_context(opened(url, count, blobs)) for count in (SMALL, LARGE)}


async def test_what_is_read_does_not_grow_with_the_history(platforms: dict[int, Platform]) -> None:
    small, large = platforms[SMALL], platforms[LARGE]
    for name, call in CALLS.items():
        for platform in (small, large):
            await platform.measure(name, call)
    print(table(small, large))
    assert large.measured[MANY_MATCHES].buffers < 2 * listing.MAX_ROWS_READ
    assert large.measured[POPULAR_FILE].buffers < MAX_USES
    grown = [
        name for name in CALLS
        if name not in (MANY_MATCHES, POPULAR_FILE)
        and large.measured[name].buffers > FACTOR * small.measured[name].buffers + DEEPER_INDEXES
    ]  # fmt: skip
    assert grown == []
    assert {name: call.whole_tables for name, call in large.measured.items() if call.whole_tables} == {}


async def test_a_purge_under_load_makes_nobody_wait(platforms: dict[int, Platform]) -> None:
    """A tenth of the tasks is purged while others dispatch, end and upload. Nobody waits for a lock of the purge for
    200 ms."""
    platform = platforms[LARGE]
    count = LARGE // 10
    age = await platform.pool.fetchval(
        "SELECT now() - completed_at FROM tasks WHERE completed_at IS NOT NULL AND deleted_at IS NULL "
        "ORDER BY completed_at OFFSET $1 LIMIT 1", count,
    )  # fmt: skip
    url = platform.url
    waits: list[float] = []
    latencies: list[float] = []

    async def watch(pool: Pool) -> None:
        while True:
            waits.append(float(await pool.fetchval(LONGEST_WAIT)))
            await asyncio.sleep(0.02)

    async def work(pool: Pool) -> None:
        worker = replace(platform, pool=pool)
        while True:
            begin = time.perf_counter()
            await dispatch_claim_end(worker)
            await prepare(worker)
            latencies.append(time.perf_counter() - begin)

    purging = db.pool(f"{url}&application_name=purge", max_size=1)
    async with purging as purge_pool, db.pool(url, max_size=4) as pool, db.pool(url, max_size=1) as watcher:
        loops = [asyncio.create_task(work(pool)) for _ in range(3)] + [asyncio.create_task(watch(watcher))]
        begin = time.monotonic()
        removed = (await retention.purge_older(purge_pool, platform.blobs, "tasks", age)).rows
        seconds = time.monotonic() - begin
        for loop in loops:
            assert not loop.done()
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
    print(
        f"\npurged {removed} tasks in {seconds:.0f} s beside {len(latencies)} dispatches, ends and uploads "
        f"(longest {max(latencies) * 1000:.0f} ms); longest wait for a lock of the purge {max(waits) * 1000:.0f} ms"
    )
    assert removed >= count - LIVE
    assert max(waits) < 0.2


def table(small: Platform, large: Platform) -> str:
    rows: list[str] = []
    for name in CALLS:
        before, after = small.measured[name], large.measured[name]
        cells = [
            name, before.buffers, after.buffers, f"{after.buffers / max(1, before.buffers):.2f}",
            f"{before.milliseconds:.1f}", f"{after.milliseconds:.1f}", ", ".join(after.indexes + after.whole_tables),
        ]  # fmt: skip
        rows.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    head = f"| query | buffers at {SMALL} | at {LARGE} | ratio | ms at {SMALL} | at {LARGE} | indexes at {LARGE} |"
    return "\n".join(
        ["", head, "| --- | --: | --: | --: | --: | --: | --- |", *rows, "", str(datetime.now(UTC))]
    )
