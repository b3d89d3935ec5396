"""Databases with any number of ended tasks, and always the same number of live ones.

The rows are written here as text and loaded by COPY, with ids as `new_id` makes them: their first ten characters are
the time. Each task has events, a file, a ledger entry, an entry of the feed, and a stored response. The number of
agents, versions, batches and turns grows with the number of tasks, and so do the uses of one file.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice

import asyncpg

MILLISECONDS_APART = 20_000  # a million tasks in 231 days
EVENTS_OF_A_TASK = 5
TASKS_OF_A_CUSTOMER = 10
LIVE = 100
LONG = 103  # the number of a conversation with a turn for each TASKS_OF_A_TURN tasks
TASKS_OF_A_BATCH = TASKS_OF_AN_AGENT = TASKS_OF_A_TURN = 20
AGENTS = 1000  # and more with the number of tasks: small tables have other plans
POPULAR = 1  # the number of a file that each twentieth of the ended tasks had as an input
TABLES = ("agents", "agent_versions", "batches", "tasks", "events", "files", "ledger_entries", "feed_entries",
          "idempotency_keys", "messages", "task_input_files")  # fmt: skip

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_EXECUTION = (
    '{"provider": "anthropic", "model": "claude-sonnet-4-6", "weakModel": null, "internetAccess": false, '
    '"maxRuntimeSeconds": 60, "softFinishAfterSeconds": null, "outputPolicy": {"mode": "any"}, '
    '"runtimeRegion": "any"}'
)
_INSTRUCTIONS = "Count the rows of the table. " * 20
_EVENT = (
    '{"callId": "call_1", "tool": "bash", "isError": false, "output": "North 12, South 7", "durationMs": 3}'
)
_CALL = (
    '{"activityId": "act_%d", "callId": "c%d", "tool": "bash", "turnNumber": %d, "attemptNumber": 1, "input": null, '
    '"inputOmittedReason": null, "isError": false, "durationMs": 3}'
)
_LATER = "2126-01-01T00:00:00Z"
_LINES_AT_ONCE = 20_000
_INDEXES = """
SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index
WHERE indrelid = ANY($1::regclass[]) AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
"""
_COUNTERS = """
INSERT INTO account_storage SELECT account_id, sum(size_bytes) FROM files GROUP BY account_id
ON CONFLICT (account_id) DO UPDATE SET used_bytes = excluded.used_bytes;
INSERT INTO feeds SELECT account_id, max(position) FROM feed_entries GROUP BY account_id
ON CONFLICT (account_id) DO UPDATE SET last_position = excluded.last_position;
INSERT INTO account_queues (account_id, running, queued, ready_any)
SELECT account_id, count(*) FILTER (WHERE status = 'running'), count(*) FILTER (WHERE status = 'pending'),
    count(*) FILTER (WHERE status = 'pending')
FROM tasks WHERE status IN ('pending', 'running') GROUP BY account_id
ON CONFLICT (account_id) DO UPDATE SET running = excluded.running, queued = excluded.queued,
    ready_any = excluded.ready_any
"""


@dataclass(frozen=True)
class Agent:
    """An agent whose version the tasks have."""

    id: str
    version_id: str


@dataclass(frozen=True)
class Writer:
    """Writes the lines of COPY for tasks 1 to `count`, of which 1 is the newest. Of the ended ones, 1 in 50 failed, 1
    in 20 is a conversation, and 1 in 10 is of another account."""

    account_id: str
    agents: list[Agent]
    now_ms: int
    count: int

    def id_of(self, prefix: str, n: int) -> str:
        ms = self.now_ms - n * MILLISECONDS_APART
        return (
            f"{prefix}_" + "".join(_PAIRS[ms >> shift & 1023] for shift in (40, 30, 20, 10, 0)) + f"{n:016d}"
        )

    def time_of(self, n: int, seconds_later: int = 0) -> str:
        ms = self.now_ms - n * MILLISECONDS_APART
        return datetime.fromtimestamp(ms / 1000 + seconds_later, UTC).isoformat()

    def account_of(self, n: int) -> str:
        return f"acc_{n % 1000}" if n % 10 == 0 else self.account_id

    def customer_of(self, n: int) -> int:
        return n % (self.count // TASKS_OF_A_CUSTOMER)

    def status_of(self, n: int) -> str:
        if n <= LIVE:
            return ("pending", "running", "awaiting_input", "hibernating")[n % 4]
        return "failed" if n % 50 == 7 else "finished"

    def batch_of(self, n: int) -> str:
        return self.id_of("bat", n - n % TASKS_OF_A_BATCH + 1)

    def agents_of_account(self) -> Iterator[int]:
        return iter(range(1, AGENTS * TASKS_OF_AN_AGENT + self.count + 1, TASKS_OF_AN_AGENT))

    def rows_of_agents(self) -> Iterator[str]:
        for n in self.agents_of_account():
            yield f"{self.id_of('agt', n)}\t{self.account_id}\tAgent {n}\t{self.id_of('agv', n)}"

    def rows_of_agent_versions(self) -> Iterator[str]:
        for n in self.agents_of_account():
            yield f"{self.id_of('agv', n)}\t{self.id_of('agt', n)}\t1\t{{}}"
            if 1 < n <= self.count:  # the first agent has many versions
                yield f"{self.id_of('agw', n)}\t{self.id_of('agt', 1)}\t{n}\t{{}}"

    def rows_of_batches(self) -> Iterator[str]:
        for n in range(1, self.count + 1, TASKS_OF_A_BATCH):
            yield f"{self.id_of('bat', n)}\t{self.account_id}\t{self.agents[0].id}\t{self.time_of(n)}"

    def rows_of_messages(self) -> Iterator[str]:
        for n in range(LIVE + 3, self.count + 1, 20):
            turns = self.count // TASKS_OF_A_TURN if n == LONG else 2
            task_id, message_id = self.id_of("tsk", n), self.id_of("msg", n)
            for turn in range(1, turns + 1):
                for number, role, status in ((0, "user", "delivered"), (3, "assistant", "created")):
                    sequence = 4 * turn + EVENTS_OF_A_TASK + number
                    yield f"{message_id}{sequence}\t{task_id}\t{sequence}\t{turn}\t{role}\t{status}\tHello."

    def rows_of_task_input_files(self) -> Iterator[str]:
        for n in range(LIVE + 5, self.count + 1, 10):
            yield f"{self.id_of('tsk', n)}\t{self.id_of('file', POPULAR if n % 20 == 5 else n)}\t0"

    def rows_of_tasks(self) -> Iterator[str]:
        for n in range(1, self.count + 1):
            status, agent, customer = self.status_of(n), self.agents[n % 3], self.customer_of(n)
            at, ended = self.time_of(n), self.time_of(n, 300) if n > LIVE else "\\N"
            is_conversation = status == "awaiting_input" or n % 20 == 3
            yield "\t".join((
                self.id_of("tsk", n), self.account_of(n), agent.id, agent.version_id,
                "conversation" if is_conversation else "autonomous", status,
                f"Report {n} of customer c{customer:06d}", _INSTRUCTIONS, f'{{"customer": "c-{customer}"}}', _EXECUTION,
                "1", at, at, at, ended, "complete" if status == "finished" else "\\N",
                "agent_stopped" if status == "failed" else "\\N", ended, str(EVENTS_OF_A_TASK),
                "rnr_1" if status == "running" else "\\N", _LATER if status == "awaiting_input" else "\\N", "3600",
                _LATER if status == "hibernating" else "\\N", self.batch_of(n),
            ))  # fmt: skip

    def rows_of_events(self) -> Iterator[str]:
        for n in range(1, self.count + 1):
            task_id, event_id = self.id_of("tsk", n), self.id_of("evt", n)
            for sequence in range(1, EVENTS_OF_A_TASK + 1):
                yield f"{task_id}\t{sequence}\t{event_id}{sequence}\ttool.completed\t{_EVENT}"
        task_id, event_id = self.id_of("tsk", LONG), self.id_of("evl", LONG)
        for turn in range(1, self.count // TASKS_OF_A_TURN + 1):
            for number, kind in ((1, "started"), (2, "completed")):
                sequence = 4 * turn + EVENTS_OF_A_TASK + number
                data = _CALL % (turn, turn, turn)
                yield f"{task_id}\t{sequence}\t{event_id}{sequence}\ttool.{kind}\t{data}"

    def rows_of_files(self) -> Iterator[str]:
        for n in range(1, self.count + 1):
            file_id = self.id_of("file", n)
            task_id = self.id_of("tsk", n) if n % 2 == 0 else "\\N"
            yield (
                f"{file_id}\t{self.account_of(n)}\treport.md\ttext/markdown\t1000\t\t{file_id}\t{task_id}\t"
                f"{self.time_of(n)}"
            )

    def rows_of_ledger_entries(self) -> Iterator[str]:
        for n in range(1, self.count + 1):
            yield (
                f"{self.id_of('led', n)}\t{self.account_of(n)}\tcharge\trevenue\t0\t0\t{self.id_of('tsk', n)}"
            )

    def rows_of_feed_entries(self) -> Iterator[str]:
        for n in range(self.count, 0, -1):
            yield (
                f"{self.account_of(n)}\t{self.count + 1 - n}\t{self.id_of('tsk', n)}\t{self.id_of('evt', n)}"
                f'\ttask.finished\t{{"status": "finished"}}\t{self.time_of(n)}'
            )

    def rows_of_idempotency_keys(self) -> Iterator[str]:
        for n in range(1, self.count + 1):
            yield (
                f"{self.account_of(n)}\tkey-{n}\tfingerprint\t201\t\\\\x00\t{self.id_of('tsk', n)}\t{self.time_of(n)}"
            )


_COLUMNS = {
    "tasks": "id account_id agent_id agent_version_id mode status title instructions metadata execution attempt "
    "created_at updated_at started_at completed_at completion error_code remains_at last_event_sequence runner_id "
    "expires_at session_ttl_seconds hibernate_until_at batch_id",
    "agents": "id account_id name current_version_id",
    "agent_versions": "id agent_id number defaults",
    "batches": "id account_id agent_id created_at",
    "messages": "id task_id sequence turn_number role status content",
    "task_input_files": "task_id file_id position",
    "events": "task_id sequence id type data",
    "files": "id account_id filename content_type size_bytes sha256 blob_key task_id created_at",
    "ledger_entries": "id account_id kind counter_account amount_micro_usd balance_after_micro_usd task_id",
    "feed_entries": "account_id position task_id id type data created_at",
    "idempotency_keys": "account_id key fingerprint status response task_id created_at",
}


async def fill(url: str, account_id: str, count: int) -> None:
    """Fill a migrated database that has the standard agents and this account."""
    connection = await asyncpg.connect(url, timeout=30)
    try:
        await connection.execute(
            "INSERT INTO accounts (id, name, billing_mode) "
            "SELECT 'acc_' || n * 10, 'Other', 'unlimited_grant' FROM generate_series(0, 99) AS n"
        )
        await connection.execute(
            "INSERT INTO runners (id, region, host, capacity, heartbeat_at) "
            "VALUES ('rnr_1', 'any', 'h', 99, now() + interval '1 day')"
        )
        agents = await connection.fetch("SELECT id, current_version_id FROM agents ORDER BY id LIMIT 3")
        now_ms = await connection.fetchval("SELECT (extract(epoch FROM now()) * 1000)::bigint")
        writer = Writer(account_id, [Agent(*row) for row in agents], now_ms, count)
        async with connection.transaction():
            await _load(connection, writer)
        await connection.execute("VACUUM (FREEZE, ANALYZE)", timeout=1800)
    finally:
        await connection.close()


async def _load(connection: asyncpg.Connection, writer: Writer) -> None:
    """Load without triggers, foreign keys and indexes, then make the indexes and counters."""
    indexes = await connection.fetch(_INDEXES, list(TABLES))
    await connection.execute("SET LOCAL session_replication_role = replica")
    await connection.execute("SET LOCAL maintenance_work_mem = '1GB'")
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['name']}")
    for table in TABLES:
        lines: Callable[[], Iterator[str]] = getattr(writer, f"rows_of_{table}")
        await connection.copy_to_table(
            table, source=_chunks(lines()), columns=_COLUMNS[table].split(), format="text", timeout=1800
        )
    for index in indexes:
        await connection.execute(index["definition"], timeout=1800)
    await connection.execute(_COUNTERS, timeout=600)


async def _chunks(lines: Iterator[str]) -> AsyncIterator[bytes]:
    for first in lines:
        yield ("\n".join(chain([first], islice(lines, _LINES_AT_ONCE))) + "\n").encode()
