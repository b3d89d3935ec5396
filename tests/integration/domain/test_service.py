"""The effects of an attempt's end on money, requeue and tries; and what the reconciler finds."""

import asyncio
from datetime import timedelta

import pytest

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.checkpoints.model import Checkpoint
from agentcontainer.domain.ledger import store as ledger
from agentcontainer.domain.ledger.model import NewEntry
from agentcontainer.domain.tasks import events, queue, reconcile, runners, service, store
from agentcontainer.domain.tasks.model import Claim, Task
from agentcontainer.domain.tasks.state import MAX_TRIES, EndReason, Status
from agentcontainer.errors import Conflict
from agentcontainer.settings import Settings
from tests import claims

from .conftest import MakeTask

CREDIT = 10_000_000
DELAYED = "SELECT not_before - pending_since FROM tasks WHERE id = $1"


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url)


async def running(pool: Pool, account_id: str, make_task: MakeTask, *, seconds: float = 0) -> str:
    """A running task with its hold, whose container has been up that long."""
    task_id = await make_task("running")
    async with db.transaction(pool) as connection:
        await ledger.add(connection, NewEntry(account_id, "hold", -500_000, task_id))
    await pool.execute(
        "UPDATE tasks SET hold_micro_usd = $2, container_started_at = now() - $3::interval WHERE id = $1",
        task_id, 500_000, timedelta(seconds=seconds),
    )  # fmt: skip
    return task_id


async def end(
    pool: Pool, settings: Settings, task_id: str, reason: EndReason, attempt: int | None = None
) -> Task:
    async with db.transaction(pool) as connection:
        await service.end(connection, settings, task_id, reason, attempt=attempt, message="Because.")
    task = await store.get(pool, task_id)
    assert task is not None
    return task


async def balance(pool: Pool, account_id: str) -> int:
    """The balance, checked to be the sum of the ledger's entries."""
    total = await pool.fetchval(
        "SELECT sum(amount_micro_usd)::bigint FROM ledger_entries WHERE account_id = $1", account_id
    )
    stored = await pool.fetchval("SELECT balance_micro_usd FROM accounts WHERE id = $1", account_id)
    assert total == stored
    return stored


async def test_the_hold_becomes_the_cost_per_started_second(
    pool: Pool, settings: Settings, account_id: str, make_task: MakeTask
) -> None:
    task_id = await running(pool, account_id, make_task, seconds=119.5)
    assert await balance(pool, account_id) == CREDIT - 500_000
    task = await end(pool, settings, task_id, EndReason.COMPLETE)
    assert (task.status, task.completion, task.cost_micro_usd) == (Status.FINISHED, "complete", 100_000)
    assert await balance(pool, account_id) == CREDIT - 100_000


async def test_a_cost_above_the_hold_is_charged_in_full(
    pool: Pool, settings: Settings, account_id: str, make_task: MakeTask
) -> None:
    task_id = await running(pool, account_id, make_task, seconds=3600 * 2 - 0.5)
    await end(pool, settings, task_id, EndReason.CANCELLED)
    assert await balance(pool, account_id) == CREDIT - 6_000_000


async def test_a_lost_runner_costs_nothing_and_the_third_loss_fails_the_task(
    pool: Pool, settings: Settings, account_id: str, make_task: MakeTask
) -> None:
    task_id = await running(pool, account_id, make_task, seconds=600)
    for attempt in (1, 2):
        task = await end(pool, settings, task_id, EndReason.RUNNER_LOST, attempt)
        assert (task.status, task.container_micro_seconds) == (Status.PENDING, 0)
        assert await pool.fetchval(DELAYED, task_id) == pytest.approx(
            timedelta(seconds=2 * 2**attempt), abs=timedelta(seconds=1)
        )
        async with db.transaction(pool) as connection:
            assert await claims.claim(connection, task_id, "rnr_next")
    task = await end(pool, settings, task_id, EndReason.RUNNER_LOST, 3)
    assert (task.status, task.error_code, task.cost_micro_usd) == (Status.FAILED, "infrastructure_error", 0)
    assert await balance(pool, account_id) == CREDIT
    log = await events.list_page(pool, task_id, limit=10)
    assert [event.type for event in log.rows] == ["task.requeued", "task.requeued", "task.failed"]


async def test_a_drain_gives_the_task_back_without_using_a_try(
    pool: Pool, settings: Settings, account_id: str, make_task: MakeTask
) -> None:
    task = await end(pool, settings, await running(pool, account_id, make_task), EndReason.DRAINED)
    assert (task.status, task.tries) == (Status.PENDING, 0)


async def test_a_concurrent_cancel_and_finish_settle_the_money_once(
    pool: Pool, settings: Settings, account_id: str, make_task: MakeTask
) -> None:
    for _ in range(5):
        task_id = await running(pool, account_id, make_task, seconds=59.5)
        results = await asyncio.gather(
            end(pool, settings, task_id, EndReason.COMPLETE, 1),
            service.cancel(pool, settings, account_id, task_id),
            return_exceptions=True,
        )
        task = await store.get(pool, task_id)
        assert task is not None
        assert task.status in (Status.FINISHED, Status.CANCELLED)
        assert isinstance(results[1], Conflict) == (task.status is Status.FINISHED)
        kinds = await pool.fetch(
            "SELECT kind FROM ledger_entries WHERE task_id = $1 ORDER BY position", task_id
        )
        assert [row["kind"] for row in kinds] == ["hold", "release", "charge"]
    assert await balance(pool, account_id) == CREDIT - 5 * 50_000


async def test_the_ledger_refuses_changes(pool: Pool, account_id: str) -> None:
    for statement in ("UPDATE ledger_entries SET amount_micro_usd = 0", "DELETE FROM ledger_entries"):
        with pytest.raises(Exception, match="append-only"):
            await pool.execute(statement)


async def test_the_reconciler_finds_a_task_whose_runner_is_gone(
    pool: Pool, settings: Settings, account_id: str, make_task: MakeTask
) -> None:
    await runners.register(pool, "rnr_alive", "any", "here", 4)
    await runners.register(pool, "rnr_silent", "any", "here", 4)
    await runners.register(pool, "rnr_stopped", "any", "here", 4)
    await pool.execute(
        "UPDATE runners SET heartbeat_at = now() - interval '11 seconds' WHERE id = 'rnr_silent'"
    )
    await runners.stop(pool, ["rnr_stopped"])
    alive = await make_task("running", runner_id="rnr_alive")
    lost = [
        await make_task("running", runner_id=name) for name in ("rnr_silent", "rnr_stopped", "rnr_unheard_of")
    ]
    assert await reconcile.reconcile(pool, settings) == 3
    statuses = {row["id"]: row["status"] for row in await pool.fetch("SELECT id, status FROM tasks")}
    assert statuses == {alive: "running"} | dict.fromkeys(lost, "pending")
    assert await reconcile.reconcile(pool, settings) == 0


async def test_the_reconciler_ends_the_delay_of_a_lost_task(
    pool: Pool, settings: Settings, account_id: str, make_task: MakeTask
) -> None:
    task_id, later = [await make_task("pending") for _ in range(2)]
    async with db.transaction(pool) as connection:
        await queue.delay(connection, task_id, timedelta(0))
        await queue.delay(connection, later, timedelta(hours=1))
    await runners.register(pool, "rnr_1", "any", "here", 1)
    assert await queue.count_due(pool, "any", 10) == 0
    assert await reconcile.reconcile(pool, settings) == 1
    async with pool.acquire() as connection:
        assert await queue.claim(connection, "rnr_1", "any", 10) == Claim(task_id, 2)
        assert await queue.claim(connection, "rnr_1", "any", 10) is None


async def test_a_checkpoint_of_an_attempt_resets_the_count_of_tries(
    pool: Pool, settings: Settings, account_id: str, make_task: MakeTask
) -> None:
    """Three outages in a long task that makes progress between them do not fail it."""
    task_id = await running(pool, account_id, make_task)
    for attempt in range(1, 6):
        checkpoint_id = f"ckp_{attempt}"
        insert = "INSERT INTO checkpoints (id, task_id, blob_key) VALUES ($1, $2, $1)"
        await pool.execute(insert, checkpoint_id, task_id)
        checkpoint = Checkpoint(checkpoint_id, checkpoint_id, 1, "", 1)
        async with db.transaction(pool) as connection:
            assert await service.save(connection, Claim(task_id, attempt), checkpoint, 0)
        task = await end(pool, settings, task_id, EndReason.RUNNER_LOST, attempt)
        assert (task.status, task.tries) == (Status.PENDING, 1)
        assert await claims.claim(pool, task_id, "rnr_next")


async def test_a_fenced_attempt_cannot_end_the_requeued_task(
    pool: Pool, settings: Settings, account_id: str, make_task: MakeTask
) -> None:
    """The attempt number does not change before the next claim."""
    task_id = await running(pool, account_id, make_task)
    assert (await end(pool, settings, task_id, EndReason.RUNNER_LOST, attempt=1)).status is Status.PENDING
    for reason in (EndReason.AGENT_CRASHED, EndReason.COMPLETE, EndReason.DRAINED, EndReason.PROVIDER_ERROR):
        assert (await end(pool, settings, task_id, reason, attempt=1)).status is Status.PENDING


async def test_a_fault_of_the_host_is_no_try(
    pool: Pool, settings: Settings, account_id: str, make_task: MakeTask
) -> None:
    task_id = await running(pool, account_id, make_task, seconds=60)
    for attempt in range(1, MAX_TRIES + 3):
        task = await end(pool, settings, task_id, EndReason.HOST_FAULT, attempt)
        assert (task.status, task.tries, task.container_micro_seconds) == (Status.PENDING, 0, 0)
        async with db.transaction(pool) as connection:
            assert await claims.claim(connection, task_id, "rnr_next") is not None
