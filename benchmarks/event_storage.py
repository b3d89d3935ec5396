"""What do events cost in one table, purged by deleting rows, and in partitions by the task's creation, purged by DROP?

    .venv/bin/python benchmarks/event_storage.py [--rows 5000000]

Fills both with the same rows on an embedded PostgreSQL of its own (not durable: only ratios count), 50 events a task,
one partition for each tenth of the tasks. Then it measures an append of 5 events, a read of one task's log, and the
removal of the oldest tenth: by DELETE in batches of 1,000 rows, and by DETACH and DROP. Takes some minutes.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import mean

import asyncpg

sys.path.insert(0, str(Path(__file__).parents[1]))

from agentcontainer.embedded.postgres import running

SERVICE_UID = 699_999
EVENTS_OF_A_TASK = 50
PARTITIONS = 10
BATCH = 1000
SCHEMA = """
CREATE TABLE tasks (id text PRIMARY KEY, made int NOT NULL);
CREATE TABLE plain (
    task_id text NOT NULL REFERENCES tasks, sequence bigint NOT NULL, id text NOT NULL, type text NOT NULL,
    data jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (task_id, sequence));
CREATE INDEX plain_tools ON plain (task_id, sequence) WHERE type IN ('tool.started', 'tool.completed');
CREATE TABLE parted (
    made int NOT NULL, task_id text NOT NULL REFERENCES tasks, sequence bigint NOT NULL, id text NOT NULL,
    type text NOT NULL, data jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (made, task_id, sequence)) PARTITION BY LIST (made);
CREATE INDEX parted_tools ON parted (task_id, sequence) WHERE type IN ('tool.started', 'tool.completed');
"""
FILL_TASKS = """
INSERT INTO tasks SELECT 'tsk_' || lpad(n::text, 26, '0'), n * {parts} / $1 FROM generate_series(0, $1::int - 1) AS n
"""
EVENTS = """
SELECT {made} t.id, sequence, 'evt_' || md5(t.id || sequence),
    (ARRAY['tool.started', 'message.completed'])[sequence % 2 + 1],
    jsonb_build_object('callId', 'call_' || sequence, 'output', repeat('North 12, South 7. ', 8))
FROM tasks t, generate_series(1, {events}) AS sequence ORDER BY t.id, sequence
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
    await connection.execute(SCHEMA)
    for number in range(PARTITIONS):
        await connection.execute(f"CREATE TABLE parted_{number} PARTITION OF parted FOR VALUES IN ({number})")
    tasks = rows // EVENTS_OF_A_TASK
    await connection.execute(FILL_TASKS.format(parts=PARTITIONS), tasks)
    for table in ("plain", "parted"):
        columns = ("made, " if table == "parted" else "") + "task_id, sequence, id, type, data"
        select = EVENTS.format(made="t.made," if table == "parted" else "", events=EVENTS_OF_A_TASK)
        statement = f"INSERT INTO {table} ({columns}) {select}"
        seconds = await timed(lambda statement=statement: connection.execute(statement, timeout=1800))
        size = await connection.fetchval(
            "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree($1::regclass)", table
        ) or await connection.fetchval("SELECT pg_total_relation_size($1::regclass)", table)
        print(f"{table}: fill {seconds:.0f} s, {rows / seconds:.0f} rows/s, {size / 1e6:.0f} MB", flush=True)
    await connection.execute("VACUUM ANALYZE", timeout=1800)
    chance = random.Random(1)
    some = await connection.fetch("SELECT id, made FROM tasks WHERE made > 0 ORDER BY random() LIMIT 500")
    for name, statement in APPEND.items():
        times = [
            await timed(
                lambda row=row, statement=statement: connection.execute(
                    statement, row["id"], 10**6, *([row["made"]] if "$3" in statement else [])
                )
            )
            for row in some
        ]
        print(f"append 5 events, {name}: {mean(times) * 1000:.2f} ms", flush=True)
    for name, statement in READ.items():
        times = [
            await timed(
                lambda row=row, statement=statement: connection.fetch(
                    statement, row["id"], *([row["made"]] if "$2" in statement else [])
                )
            )
            for row in chance.sample(some, 300)
        ]
        print(f"read a log, {name}: {mean(times) * 1000:.2f} ms", flush=True)
    await remove_oldest(connection, tasks // PARTITIONS)
    await connection.close()


async def remove_oldest(connection: asyncpg.Connection, tasks: int) -> None:
    ids = [row["id"] for row in await connection.fetch("SELECT id FROM tasks WHERE made = 0 ORDER BY id")]
    assert len(ids) == tasks
    batches: list[float] = []
    removed = 0
    for first in range(0, len(ids), 50):
        some = ids[first : first + 50]
        while True:
            begin = time.perf_counter()
            count = int((await connection.execute(DELETE, some, BATCH)).split()[-1])
            batches.append(time.perf_counter() - begin)
            removed += count
            if count < BATCH:
                break
    print(
        f"DELETE of {removed} rows: {sum(batches):.1f} s in {len(batches)} batches, "
        f"median {sorted(batches)[len(batches) // 2] * 1000:.1f} ms, longest {max(batches) * 1000:.0f} ms",
        flush=True,
    )
    detach = await timed(lambda: connection.execute("ALTER TABLE parted DETACH PARTITION parted_0"))
    drop = await timed(lambda: connection.execute("DROP TABLE parted_0"))
    print(f"DETACH {detach * 1000:.0f} ms, DROP {drop * 1000:.0f} ms", flush=True)
    vacuum = await timed(lambda: connection.execute("VACUUM plain", timeout=1800))
    print(f"VACUUM after the DELETE: {vacuum:.1f} s", flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=5_000_000)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ac-bench-", dir="/tmp"))
    try:
        async with running(folder, service_uid=SERVICE_UID, is_durable=False) as url:
            await measure(url, arguments.rows)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    asyncio.run(main())
