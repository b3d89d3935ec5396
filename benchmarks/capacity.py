"""What does one task, one running agent and one streamed second cost the database?

    .venv/bin/python benchmarks/capacity.py [--agents 8] [--seconds 20]

A real `agentcontainer up` with the scripted model. For each kind of work it reads the transactions of
`pg_stat_database`, the WAL of `pg_stat_wal` and the CPU time of PostgreSQL's processes before and after, and subtracts
what the platform costs while nothing happens. Takes about four minutes. docs/operations/capacity.md has the results.
"""

import argparse
import asyncio
import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

import asyncpg

from agentcontainer.embedded.location import url_of
from agentcontainer.gateway import scripted
from tests.acceptance.bed import COMMAND, Client, Platform, finish, script, waiting
from tests.ports import free_port

SETTLE_SECONDS = 2.0  # the server's processes report their statistics once a second
STATISTICS = """
SELECT xact_commit + xact_rollback AS transactions, (SELECT wal_bytes FROM pg_stat_wal) AS wal_bytes
FROM pg_stat_database WHERE datname = current_database()
"""


@dataclass(frozen=True)
class Cost:
    """What the database has done so far, or did between two times."""

    seconds: float
    transactions: float
    wal_bytes: float
    cpu_seconds: float

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(
            self.seconds - other.seconds,
            self.transactions - other.transactions,
            self.wal_bytes - other.wal_bytes,
            self.cpu_seconds - other.cpu_seconds,
        )

    def times(self, factor: float) -> "Cost":
        return Cost(
            self.seconds * factor,
            self.transactions * factor,
            self.wal_bytes * factor,
            self.cpu_seconds * factor,
        )


class Meter:
    """Reads the costs of a platform's database."""

    def __init__(self, platform: Platform) -> None:
        self._url = url_of(platform.data_dir)
        self._postgres = psutil.Process(platform.pid("postgres"))
        self.idle = Cost(1, 0, 0, 0)

    def read(self) -> Cost:
        time.sleep(SETTLE_SECONDS)
        row = asyncio.run(self._statistics())
        cpu = 0.0
        for process in [self._postgres, *self._postgres.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                cpu += times.user + times.system + times.children_user + times.children_system
        return Cost(time.monotonic(), float(row["transactions"]), float(row["wal_bytes"]), cpu)

    async def _statistics(self) -> asyncpg.Record:
        connection = await asyncpg.connect(self._url)
        try:
            row = await connection.fetchrow(STATISTICS)
            assert row is not None
            return row
        finally:
            await connection.close()

    def measure(self, work: Callable[[], None]) -> Cost:
        """What the work costs, without the idle platform's part, and how long it took."""
        before = self.read()
        work()
        spent = self.read() - before
        return replace(spent - self.idle.times(spent.seconds / self.idle.seconds), seconds=spent.seconds)


def run_tasks(client: Client, count: int, at_once: int) -> None:
    """Dispatch so many short tasks, some at a time, and wait for their ends."""
    left = [None] * count
    threads = [threading.Thread(target=_run_one_by_one, args=(client, left)) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _run_one_by_one(client: Client, left: list[None]) -> None:
    own = Client(client.base_url, client.api_key, client.account_id)
    while left:
        left.pop()
        task_id = own.dispatch(script({"bash": "echo x > out.txt"}, finish("out.txt")))
        while own.task(task_id)["status"] in ("pending", "running"):
            time.sleep(1)


@contextlib.contextmanager
def agents(client: Client, instructions: str, count: int, *, is_followed: bool = False) -> Iterator[None]:
    """So many agents that work on these instructions during the block, each with one event stream if followed."""
    task_ids = [client.dispatch(instructions) for _ in range(count)]
    for task_id in task_ids:
        client.wait(task_id, "running", seconds=120)
        client.until_event(task_id, lambda event: event["type"] in ("tool.started", "message.completed"), 120)
    followers = [threading.Thread(target=_follow, args=(client, id_), daemon=True) for id_ in task_ids]
    for follower in followers if is_followed else ():
        follower.start()
    try:
        yield
    finally:
        for task_id in task_ids:
            client.cancel(task_id)
        time.sleep(3)


def _follow(client: Client, task_id: str) -> None:
    with contextlib.suppress(Exception), client.sdk.tasks.get(task_id).stream(timeout=600) as stream:
        for _ in stream:
            pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--agents", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    count, seconds = options.agents, options.seconds
    table = Table("work", "transactions", "WAL kB", "CPU ms of PostgreSQL")

    def show(what: str, cost: Cost) -> None:
        numbers = (cost.transactions, cost.wal_bytes / 1000, cost.cpu_seconds * 1000)
        table.add_row(what, *(f"{number:.2f}" for number in numbers))

    with scripted_model() as model_url, Platform(model_url, capacity=str(count)) as platform:
        client, meter = platform.account(), Meter(platform)
        client.run(script(finish()))
        before = meter.read()
        time.sleep(seconds)
        meter.idle = meter.read() - before
        show("idle API and runner, a second", meter.idle.times(1 / meter.idle.seconds))
        for part, arguments in (("runner", ["runner"]), ("API", ["api", "--port", str(free_port())])):
            with more(platform, arguments, 4 if part == "runner" else 1) as started:
                cost = meter.measure(lambda: time.sleep(seconds))
                show(f"another idle {part}, a second", cost.times(1 / (started * cost.seconds)))
        tasks = 5 * count
        show(
            "task, from dispatch to end",
            meter.measure(lambda: run_tasks(client, tasks, count)).times(1 / tasks),
        )
        with agents(client, script(waiting()), count):
            cost = meter.measure(lambda: time.sleep(seconds))
            show("agent that waits for a command, a minute", cost.times(60 / (count * cost.seconds)))
        with agents(client, script(*[{"bash": "sleep 1"}] * 300), count):
            cost = meter.measure(lambda: time.sleep(seconds))
            show("agent with a tool call a second, a minute", cost.times(60 / (count * cost.seconds)))
        say = {"say": "word " * 20_000, "bash": "true", "slow": 0.05}
        for what, is_followed in (("nobody", False), ("one client", True)):
            with agents(client, script({"bash": "true"}, say), count, is_followed=is_followed):
                cost = meter.measure(lambda: time.sleep(seconds))
                show(f"streaming agent that {what} follows, a second", cost.times(1 / (count * cost.seconds)))
    Console().print(table)


@contextlib.contextmanager
def more(platform: Platform, arguments: list[str], count: int) -> Iterator[int]:
    """So many more processes of the installation during the block."""
    started = [
        subprocess.Popen([*COMMAND, *arguments], env=platform.environment, stderr=subprocess.DEVNULL)
        for _ in range(count)
    ]
    try:
        time.sleep(15)
        yield count
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(60)


@contextlib.contextmanager
def scripted_model() -> Iterator[str]:
    """The scripted model in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    model = asyncio.run_coroutine_threadsafe(scripted.serve(), loop).result(10)
    try:
        yield model.url
    finally:
        asyncio.run_coroutine_threadsafe(model.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)


if __name__ == "__main__":
    main()
