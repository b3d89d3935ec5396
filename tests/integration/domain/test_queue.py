"""Which task a runner claims next, and that a claim costs the same however many tasks are pending."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from agentcontainer import db, settings
from agentcontainer.db import Pool
from agentcontainer.domain.accounts import administration
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.accounts.administration import AccountChange, LimitChange
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.tasks import creation, events, queue, runners
from agentcontainer.domain.tasks.event_data import TaskClaimed, draft
from agentcontainer.domain.tasks.model import Claim, Dispatch
from agentcontainer.domain.tasks.state import Status

from .conftest import EXECUTION, MakeTask

RUNNER = "rnr_1"
LOST_AFTER_SECONDS = 10.0
MAX_BUFFERS = 100  # that a claim may touch
_FILL = """
INSERT INTO tasks (id, account_id, agent_id, agent_version_id, mode, status, instructions, execution)
SELECT 'tsk_' || lpad(number::text, 26, '0'), ($1::text[])[1 + number % array_length($1::text[], 1)], a.id,
    a.current_version_id, 'autonomous', 'pending', 'Do it.', $3
FROM generate_series(1, $2) AS number, agents a WHERE a.id = 'agt_standard_data'
"""
_COUNT = """
INSERT INTO account_queues (account_id, queued, ready_any)
SELECT account_id, count(*), count(*) FROM tasks GROUP BY account_id
ON CONFLICT (account_id) DO UPDATE SET queued = excluded.queued, ready_any = excluded.ready_any
"""
Claiming = Callable[[], Awaitable[str | None]]


@pytest.fixture
async def claim(pool: Pool) -> Claiming:
    """`await claim()` → the id of the task that the runner, of region `any`, has claimed."""
    await runners.register(pool, RUNNER, "any", "here", 4)

    async def claim() -> str | None:
        claimed = await claim_by(pool, RUNNER)
        return claimed and claimed.task_id

    return claim


async def claim_by(pool: Pool, runner_id: str, region: Any = "any") -> Claim | None:
    async with pool.acquire() as connection:
        return await queue.claim(connection, runner_id, region, LOST_AFTER_SECONDS)


async def new_account(pool: Pool) -> str:
    account_id, _ = await accounts.create_account(pool, name="Another", credit_micro_usd=10_000_000)
    return account_id


async def dispatch(pool: Pool, account_id: str) -> str:
    configured = settings.load(data_dir=Path("/tmp"), database_url="postgresql:///x", secret_key="k" * 32)
    request = Dispatch("Count the rows.")
    vault = Vault("k" * 32)
    return (await creation.dispatch(pool, configured, vault, account_id, "agt_standard_data", request)).id


async def change(pool: Pool, task_id: str, **columns: Any) -> None:
    for name, value in columns.items():
        await pool.execute(f"UPDATE tasks SET {name} = $2 WHERE id = $1", task_id, value)


async def fill(pool: Pool, account_ids: Sequence[str], count: int) -> None:
    """Insert that many pending tasks, as if they had come one by one: their triggers would take long."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(_FILL, list(account_ids), count, EXECUTION)
        await connection.execute(_COUNT)


async def test_the_next_task_is_by_priority_then_what_has_begun_then_age(
    pool: Pool, claim: Claiming, make_task: MakeTask
) -> None:
    names = ("low", "old", "new", "message", "interrupted", "urgent")
    tasks = {name: await make_task("pending", attempt=0) for name in names}
    await change(pool, tasks["low"], priority=-1)
    await change(pool, tasks["message"], mode="conversation")
    await change(pool, tasks["interrupted"], attempt=1)
    await change(pool, tasks["urgent"], priority=10)
    order = [await claim() for _ in tasks]
    assert order == [tasks[name] for name in ("urgent", "message", "interrupted", "old", "new", "low")]
    assert await claim() is None


async def test_accounts_take_turns_however_much_one_has_pending(
    pool: Pool, claim: Claiming, account_id: str, make_task: MakeTask
) -> None:
    await make_task("pending")
    other = await new_account(pool)
    await fill(pool, [account_id], 1000)
    assert [await account_of(pool, await claim()) for _ in range(3)] == [account_id] * 3
    late = [await make_task("pending") for _ in range(3)]
    await pool.execute("UPDATE tasks SET account_id = $1 WHERE id = ANY($2::text[])", other, late)
    await recount(pool)
    claimed = [await account_of(pool, await claim()) for _ in range(7)]
    assert claimed[:3] == [other] * 3, "it has fewer running tasks"
    assert claimed[3:] == [account_id] * 4


async def test_one_task_beside_ten_thousand_of_another_account_waits_for_one_slot_at_most(
    pool: Pool, claim: Claiming, account_id: str, make_task: MakeTask
) -> None:
    await make_task("pending")
    other = await new_account(pool)
    await fill(pool, [account_id], 10_000)
    running = [await claim() for _ in range(8)]  # the runner's slots are full of the first account's tasks
    await dispatch(pool, other)
    await pool.execute("UPDATE tasks SET status = 'finished' WHERE id = $1", running[0])
    assert await account_of(pool, await claim()) == other
    assert await account_of(pool, await claim()) == account_id


async def test_among_accounts_with_equally_many_running_tasks_the_one_served_longest_ago_is_next(
    pool: Pool, claim: Claiming, account_id: str, make_task: MakeTask
) -> None:
    await make_task("pending")
    account_ids = [account_id, await new_account(pool), await new_account(pool)]
    await fill(pool, account_ids, 30)
    claimed = [await account_of(pool, await claim()) for _ in range(12)]
    for turn in range(0, 12, 3):
        assert set(claimed[turn : turn + 3]) == set(account_ids)


async def test_a_runner_takes_tasks_of_its_regions(pool: Pool, make_task: MakeTask) -> None:
    somewhere, european = [await make_task("pending", attempt=0) for _ in range(2)]
    await change(pool, european, execution=EXECUTION | {"runtimeRegion": "eu"}, priority=1)
    for region in ("any", "eu"):
        await runners.register(pool, f"rnr_{region}", region, "here", 4)
    assert (await queue.count_due(pool, "any", 10), await queue.count_due(pool, "eu", 10)) == (1, 2)
    assert await claim_by(pool, "rnr_any", "any") == Claim(somewhere, 1)
    assert await claim_by(pool, "rnr_any", "any") is None
    assert await claim_by(pool, "rnr_eu", "eu") == Claim(european, 1)
    another, urgent = [await make_task("pending", attempt=0) for _ in range(2)]
    await change(pool, urgent, priority=2)
    assert await claim_by(pool, "rnr_eu", "eu") == Claim(urgent, 1)
    assert await claim_by(pool, "rnr_eu", "eu") == Claim(another, 1)


async def test_a_runner_that_stopped_is_silent_or_unknown_claims_nothing(
    pool: Pool, make_task: MakeTask
) -> None:
    task_id = await make_task("pending", attempt=0)
    for runner_id in ("rnr_stopped", "rnr_silent", "rnr_living"):
        await runners.register(pool, runner_id, "any", "here", 4)
    await runners.stop(pool, ["rnr_stopped"])
    await pool.execute("UPDATE runners SET heartbeat_at = now() - interval '11 s' WHERE id = 'rnr_silent'")
    for runner_id in ("rnr_stopped", "rnr_silent", "rnr_unknown"):
        assert await claim_by(pool, runner_id) is None
    assert await claim_by(pool, "rnr_living") == Claim(task_id, 1)


async def test_a_conversations_next_turn_is_left_to_the_runner_of_its_last_container(
    pool: Pool, make_task: MakeTask
) -> None:
    for runner_id in ("rnr_last", "rnr_other"):
        await runners.register(pool, runner_id, "any", "here", 1)
    turn = await make_task("pending", attempt=0)
    later = await pool.fetchval("SELECT now() + interval '1 hour'")
    await change(pool, turn, mode="conversation", last_runner_id="rnr_last", pending_since=later)
    assert await claim_by(pool, "rnr_other") is None
    assert await queue.count_due(pool, "any", 10) == 1, "the other runner looks again soon"
    new = await make_task("pending", attempt=0)
    assert await claim_by(pool, "rnr_other") == Claim(new, 1), "tasks behind it are claimed meanwhile"
    assert await claim_by(pool, "rnr_last") == Claim(turn, 1)


@pytest.mark.parametrize(
    "change_of_runner",
    [
        "stopped_at = now()",
        "draining_at = now()",
        "heartbeat_at = now() - interval '11 s'",
        "capacity = 0",  # so that it has no free slot
    ],
)
async def test_a_turn_does_not_wait_for_a_runner_that_cannot_take_it(
    pool: Pool, claim: Claiming, make_task: MakeTask, change_of_runner: str
) -> None:
    await runners.register(pool, "rnr_last", "any", "here", 1)
    turn = await make_task("pending", attempt=0)
    later = await pool.fetchval("SELECT now() + interval '1 hour'")
    await change(pool, turn, mode="conversation", last_runner_id="rnr_last", pending_since=later)
    assert await claim() is None
    await pool.execute(f"UPDATE runners SET {change_of_runner} WHERE id = 'rnr_last'")
    assert await claim() == turn


async def test_a_turn_waits_for_its_last_runner_for_200_milliseconds_and_a_task_that_is_no_conversation_not(
    pool: Pool, claim: Claiming, make_task: MakeTask
) -> None:
    await runners.register(pool, "rnr_last", "any", "here", 9)
    turn, task_id = [await make_task("pending", attempt=0) for _ in range(2)]
    earlier, later = await pool.fetchrow("SELECT now() - interval '0.2 s', now() + interval '1 hour'") or ()
    await change(pool, turn, mode="conversation", last_runner_id="rnr_last", pending_since=earlier)
    await change(pool, task_id, last_runner_id="rnr_last", pending_since=later)
    assert [await claim(), await claim()] == [turn, task_id]


async def test_no_task_is_claimed_twice_and_none_is_left_by_concurrent_claims(
    pool: Pool, claim: Claiming, account_id: str, make_task: MakeTask
) -> None:
    await make_task("pending")
    await fill(pool, [account_id, await new_account(pool)], 200)

    async def work() -> list[str]:
        claimed = list[str]()
        while await queue.count_due(pool, "any", 1):
            if (task_id := await claim()) is not None:
                claimed.append(task_id)
        return claimed

    claimed = Counter(task_id for ids in await asyncio.gather(*(work() for _ in range(8))) for task_id in ids)
    assert set(claimed.values()) == {1}
    assert len(claimed) == 201


async def test_exactly_as_many_tasks_run_as_the_limit_says(
    pool: Pool, claim: Claiming, account_id: str, make_task: MakeTask
) -> None:
    tasks = await asyncio.gather(*(make_task("pending") for _ in range(60)))
    await pool.execute("UPDATE account_queues SET max_running = 7")
    claimed = [task_id for task_id in await asyncio.gather(*(claim() for _ in range(40))) if task_id]
    while (task_id := await claim()) is not None:
        claimed.append(task_id)
    assert len(claimed) == len(set(claimed)) == 7
    assert await queue.count_due(pool, "any", 100) == 0
    await pool.execute("UPDATE tasks SET status = 'finished' WHERE id = ANY($1::text[])", claimed[:2])
    assert len([await claim() for _ in range(2)]) == 2
    assert await claim() is None
    assert len(tasks) == 60


async def test_the_limit_holds_at_every_moment_while_200_are_dispatched_claimed_and_ended_at_once(
    pool: Pool, database_url: str, account_id: str, make_task: MakeTask
) -> None:
    """Each of the claimers has a connection, as each runner has."""
    limit, dispatches, claimers = 7, 200, 12
    await make_task("finished")
    await administration.change(pool, account_id, AccountChange(limits=LimitChange(running_tasks=limit)))
    await pool.execute("UPDATE accounts SET billing_mode = 'unlimited_grant'")
    for number in range(claimers):
        await runners.register(pool, f"rnr_{number}", "any", "here", 4)
    ended, most = list[str](), 0

    async def dispatch_all() -> None:
        await asyncio.gather(*(dispatch(pool, account_id) for _ in range(dispatches)))

    async def work(number: int) -> None:
        connection = await db.connect(database_url)
        await queue.prepare(connection)
        while len(ended) < dispatches:
            claimed = await queue.claim(connection, f"rnr_{number}", "any", 3600.0)  # they send no heartbeats
            if claimed is None:
                await asyncio.sleep(0.03)
                continue
            await asyncio.sleep(random.uniform(0.05, 0.12))
            await connection.execute("UPDATE tasks SET status = 'finished' WHERE id = $1", claimed.task_id)
            ended.append(claimed.task_id)
        await connection.close()

    async def watch() -> None:
        nonlocal most
        while len(ended) < dispatches:
            most = max(most, await pool.fetchval("SELECT count(*) FROM tasks WHERE status = 'running'"))
            await asyncio.sleep(0.01)

    await asyncio.gather(dispatch_all(), watch(), *(work(number) for number in range(claimers)))
    assert len(set(ended)) == dispatches
    assert most == limit
    counted = await pool.fetchrow("SELECT running, queued, ready_any FROM account_queues")
    assert counted is not None and tuple(counted) == (0, 0, 0)


@pytest.mark.parametrize("account_count", [1, 100])
async def test_a_claim_reads_a_few_rows_however_many_tasks_are_pending(
    pool: Pool, claim: Claiming, account_id: str, make_task: MakeTask, account_count: int
) -> None:
    await make_task("pending")
    await pool.execute("ANALYZE")  # the statistics know of no pending task: the plan must not depend on them
    others = [await new_account(pool) for _ in range(account_count - 1)]
    await fill(pool, [account_id, *others], 20_000)
    for region in ("any", "eu"):
        assert await buffers(pool, queue.claim_statement(region), RUNNER, region) < MAX_BUFFERS
    await pool.execute("ANALYZE")
    assert await buffers(pool, queue.claim_statement("any"), RUNNER, "any") < MAX_BUFFERS


async def test_a_claim_appends_its_event_and_notifies(
    pool: Pool, claim: Claiming, account_id: str, make_task: MakeTask
) -> None:
    await make_task("finished")
    task_id = await dispatch(pool, account_id)
    heard = asyncio.Queue[object]()
    async with pool.acquire() as connection:
        listener = db.payload_only(heard.put_nowait)
        await connection.add_listener(events.CHANNEL, listener)
        assert await claim() == task_id
        assert await asyncio.wait_for(heard.get(), 5) == task_id
        await connection.remove_listener(events.CHANNEL, listener)
    page = await events.list_page(pool, task_id, limit=10)
    assert [(event.sequence, event.type) for event in page.rows] == [(1, "task.created"), (2, "task.claimed")]
    assert page.rows[1].data == draft(TaskClaimed(Status.RUNNING, 1, RUNNER)).data
    assert await claim() is None
    assert await events.gaps(pool) == []


async def buffers(pool: Pool, statement: str, runner_id: str, region: Any) -> int:
    """How many buffers a claim touches."""
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await queue.prepare(connection)
        arguments = queue.claim_arguments(runner_id, region, LOST_AFTER_SECONDS)
        explained = await connection.fetchval(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *arguments
        )
        await transaction.rollback()
    [plan] = json.loads(explained) if isinstance(explained, str) else explained
    return plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]


async def account_of(pool: Pool, task_id: str | None) -> str:
    assert task_id is not None
    return await pool.fetchval("SELECT account_id FROM tasks WHERE id = $1", task_id)


async def recount(pool: Pool) -> None:
    """Set the counters after a change that the product never makes: a task of another account."""
    await pool.execute(
        "INSERT INTO account_queues (account_id, running, queued, ready_any) SELECT account_id, "
        "count(*) FILTER (WHERE status = 'running'), count(*) FILTER (WHERE status = 'pending'), "
        "count(*) FILTER (WHERE status = 'pending') FROM tasks GROUP BY account_id "
        "ON CONFLICT (account_id) DO UPDATE SET running = excluded.running, queued = excluded.queued, "
        "ready_any = excluded.ready_any"
    )
