"""What do events cost in one table, purged by deleting rows, and in partitions by the task's creation, purged by DROP?

    .venv/bin/python benchmarks/event_storage.py [--rows 5000000]

Fills both with the same rows on an embedded PostgreSQL of its own (not durable: only ratios count), 50 events a task,
one partition for each tenth of the tasks. Then it measures an append of 5 events, a read of one task's log, and the
removal of the oldest tenth: by DELETE in batches of 1,000 rows while appends go on, and by DETACH and DROP while a
transaction reads another partition. Takes about three minutes.
"""

import argparse
import asyncio
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from statistics import quantiles

import asyncpg

sys.path.insert(0, str(Path(__file__).parents[1]))

from agentcontainer.embedded.postgres import running

SERVICE_UID = 699_999
EVENTS_OF_A_TASK = 50
PARTITIONS = 10
BATCH = 1000
TASKS_AT_ONCE = 50
READER_SECONDS = 2.0
SCHEMA = """
CREATE TABLE tasks (id text PRIMARY KEY, made int NOT NULL);
CREATE TABLE plain (
    task_id text NOT NULL REFERENCES tasks, sequence bigint NOT NULL, id text NOT NULL, type text NOT NULL,
    data jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE parted (
    made int NOT NULL, task_id text NOT NULL REFERENCES tasks, sequence bigint NOT NULL, id text NOT NULL,
    type text NOT NULL, data jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT clock_timestamp()
) PARTITION BY LIST (made);
"""
INDEXES = {
    "plain": (
        "ALTER TABLE plain ADD PRIMARY KEY (task_id, sequence)",
        "CREATE INDEX plain_tools ON plain (task_id, sequence) WHERE type IN ('tool.started', 'tool.completed')",
    ),
    "parted": (
        "ALTER TABLE parted ADD PRIMARY KEY (made, task_id, sequence)",
        "CREATE INDEX parted_tools ON parted (task_id, sequence) WHERE type IN ('tool.started', 'tool.completed')",
    ),
}
FILL_TASKS = """
INSERT INTO tasks SELECT 'tsk_' || lpad(n::text, 26, '0'), n * {parts} / $1 FROM generate_series(0, $1::int - 1) AS n
"""
FILL = {
    "plain": "INSERT INTO plain (task_id, sequence, id, type, data) SELECT {event}",
    "parted": "INSERT INTO parted_{number} (made, task_id, sequence, id, type, data) SELECT {number}, {event}",
}
EVENT = """
    t.id, sequence, 'evt_' || md5(t.id || sequence), (ARRAY['tool.started', 'message.completed'])[sequence % 2 + 1],
    jsonb_build_object('callId', 'call_' || sequence, 'output', repeat('North 12, South 7. ', 8))
FROM (SELECT * FROM tasks WHERE made = {number} ORDER BY id) AS t CROSS JOIN generate_series(1, {events}) AS sequence
"""
APPEND = {
    "plain": "INSERT INTO plain (task_id, sequence, id, type, data) "
    "SELECT $1, $2::bigint + n, 'evt_' || n, 'tool.started', '{}' FROM generate_series(1, 5) AS n",
    "parted": "INSERT INTO parted (made, task_id, sequence, id, type, data) "
    "SELECT $3::int, $1, $2::bigint + n, 'evt_' || n, 'tool.started', '{}' FROM generate_series(1, 5) AS n",
}
READ = {
    "plain": "SELECT * FROM plain WHERE task_id = $1 ORDER BY sequence LIMIT 20",
    "parted": "SELECT * FROM parted WHERE made = $2 AND task_id = $1 ORDER BY sequence LIMIT 20",
    "parted, creation unknown": "SELECT * FROM parted WHERE task_id = $1 ORDER BY sequence LIMIT 20",
}
DELETE = """
DELETE FROM plain WHERE ctid = ANY(ARRAY(SELECT ctid FROM plain WHERE task_id = ANY($1::text[]) LIMIT $2))
"""


async def timed(call: Callable[[], Awaitable[object]]) -> float:
    begin = time.perf_counter()
    await call()
    return time.perf_counter() - begin


async def measure(url: str, rows: int) -> None:
    connection = await asyncpg.connect(url)
    await fill(connection, rows)
    some = await connection.fetch("SELECT id, made FROM tasks WHERE made > 0 ORDER BY random() LIMIT 500")
    for name, statement in APPEND.items():
        times = [await timed(append(connection, statement, row, 10**6)) for row in some]
        show(f"append 5 events, {name}", times)
    for name, statement in READ.items():
        times = [await timed(read(connection, statement, row)) for row in random.Random(1).sample(some, 300)]
        show(f"read a log, {name}", times)
    async with asyncio.timeout(600):
        await delete_oldest(url, connection, some)
        await drop_oldest(url, connection, some)
    vacuum = await timed(lambda: connection.execute("VACUUM plain", timeout=1800))
    print(f"VACUUM after the DELETE: {vacuum:.1f} s", flush=True)
    await connection.close()


async def fill(connection: asyncpg.Connection, rows: int) -> None:
    """Fill both tables without the checks of their foreign keys, then make the indexes."""
    await connection.execute(SCHEMA)
    await connection.execute("SET session_replication_role = replica; SET maintenance_work_mem = '512MB'")
    for number in range(PARTITIONS):
        await connection.execute(f"CREATE TABLE parted_{number} PARTITION OF parted FOR VALUES IN ({number})")
    await connection.execute(FILL_TASKS.format(parts=PARTITIONS), rows // EVENTS_OF_A_TASK)
    for table in ("plain", "parted"):
        begin = time.perf_counter()
        for number in range(PARTITIONS):
            event = EVENT.format(number=number, events=EVENTS_OF_A_TASK)
            await connection.execute(FILL[table].format(number=number, event=event), timeout=600)
        for statement in INDEXES[table]:
            await connection.execute(statement, timeout=600)
        seconds = time.perf_counter() - begin
        size = await connection.fetchval(
            "SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree($1::regclass)", table
        ) or await connection.fetchval("SELECT pg_total_relation_size($1::regclass)", table)
        print(f"{table}: filled and indexed in {seconds:.0f} s, {size / 1e6:.0f} MB", flush=True)
    await connection.execute("SET session_replication_role = origin")
    await connection.execute("VACUUM (FREEZE, ANALYZE)", timeout=600)


def append(
    connection: asyncpg.Connection, statement: str, row: asyncpg.Record, after: int
) -> Callable[[], Awaitable[object]]:
    made = [row["made"]] if "$3" in statement else []
    return lambda: connection.execute(statement, row["id"], after, *made)


def read(
    connection: asyncpg.Connection, statement: str, row: asyncpg.Record
) -> Callable[[], Awaitable[object]]:
    made = [row["made"]] if "$2" in statement else []
    return lambda: connection.fetch(statement, row["id"], *made)


def show(name: str, times: list[float]) -> None:
    cuts = quantiles(times, n=100)
    print(f"{name}: p50 {cuts[49] * 1000:.2f} ms, p99 {cuts[98] * 1000:.2f} ms", flush=True)


@asynccontextmanager
async def appending(url: str, table: str, rows: list[asyncpg.Record]) -> AsyncGenerator[list[float]]:
    """Another session appends to logs of tasks that stay, during the block; yields how long each append took."""
    connection = await asyncpg.connect(url)
    times: list[float] = []

    async def loop() -> None:
        for number in count(1):
            row = rows[number % len(rows)]
            times.append(await timed(append(connection, APPEND[table], row, 10**7 + 10 * number)))

    task = asyncio.create_task(loop())
    try:
        yield times
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        connection.terminate()


async def delete_oldest(url: str, connection: asyncpg.Connection, rows: list[asyncpg.Record]) -> None:
    ids = [row["id"] for row in await connection.fetch("SELECT id FROM tasks WHERE made = 0 ORDER BY id")]
    batches: list[float] = []
    removed = 0
    async with appending(url, "plain", rows) as times:
        for first in range(0, len(ids), TASKS_AT_ONCE):
            while True:
                begin = time.perf_counter()
                tag = await connection.execute(DELETE, ids[first : first + TASKS_AT_ONCE], BATCH)
                batches.append(time.perf_counter() - begin)
                removed += int(tag.split()[-1])
                if int(tag.split()[-1]) < BATCH:
                    break
    print(f"DELETE of {removed} rows: {sum(batches):.1f} s in {len(batches)} batches", flush=True)
    show("a batch of 1,000 rows", batches)
    show("an append meanwhile", times)


async def drop_oldest(url: str, connection: asyncpg.Connection, rows: list[asyncpg.Record]) -> None:
    """DETACH needs the whole table for itself: it waits for each transaction that uses any partition, and all others
    wait for it."""
    reader = await asyncpg.connect(url)
    transaction = reader.transaction()
    await transaction.start()
    await reader.fetch(READ["parted"], rows[0]["id"], rows[0]["made"])
    async with appending(url, "parted", rows) as times:
        await asyncio.sleep(0.5)
        detaching = asyncio.create_task(
            timed(lambda: connection.execute("ALTER TABLE parted DETACH PARTITION parted_0"))
        )
        await asyncio.sleep(READER_SECONDS)
        await transaction.rollback()
        seconds = await detaching
        await asyncio.sleep(0.5)
    drop = await timed(lambda: connection.execute("DROP TABLE parted_0"))
    print(
        f"DETACH beside a transaction of {READER_SECONDS:.0f} s: {seconds:.2f} s, longest append {max(times):.2f} s; "
        f"DROP {drop * 1000:.0f} ms",
        flush=True,
    )
    await reader.close()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=5_000_000)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ac-bench-", dir="/tmp"))
    if os.geteuid() == 0:
        folder.chmod(0o755)
    try:
        async with running(folder, service_uid=SERVICE_UID, is_durable=False) as url:
            await measure(url, arguments.rows)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    asyncio.run(main())
