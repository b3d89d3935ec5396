"""What `doctor` finds and fixes about tasks and money while no API and no runner is running."""

from datetime import timedelta

import pytest

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.doctor.database import DATABASE_CHECKS, Database
from agentcontainer.doctor.examination import Examination
from agentcontainer.domain.ledger import store as ledger
from agentcontainer.domain.ledger.model import NewEntry
from agentcontainer.domain.tasks import runners, service, store
from agentcontainer.domain.tasks.state import EndReason
from agentcontainer.settings import Settings

from .conftest import MakeTask

DELAY = "UPDATE tasks SET not_before = now() + $2::interval WHERE id = ANY($1::text[])"
HOUR = timedelta(hours=1)


async def examined(pool: Pool, database_url: str, *, is_fixing: bool = True) -> Examination:
    examination = Examination(is_fixing, lambda _: None)
    await examination.run(DATABASE_CHECKS, Database(pool, Settings(database_url=database_url)))
    assert examination.not_examined == []
    return examination


def problems(examination: Examination) -> dict[str, str]:
    """The findings: place → description."""
    return {item.finding.where: item.finding.what for item in examination.found}


async def test_stuck_tasks_are_found(pool: Pool, database_url: str, make_task: MakeTask) -> None:
    await runners.register(pool, "rnr_living", "any", "here", 1)
    living = await make_task("running", runner_id="rnr_living")
    lost = await make_task("running", runner_id="rnr_gone")
    asleep, overslept = await make_task("hibernating"), await make_task("hibernating")
    await pool.execute("UPDATE tasks SET hibernate_until_at = now() + interval '1 h' WHERE id = $1", asleep)
    await pool.execute(
        "UPDATE tasks SET hibernate_until_at = now() - interval '1 h' WHERE id = $1", overslept
    )
    ready, delayed, overdue = [await make_task("pending") for _ in range(3)]
    await pool.execute(DELAY, [delayed], HOUR)
    await pool.execute(DELAY, [overdue], -HOUR)
    await pool.execute(
        "UPDATE runners SET heartbeat_at = now() + interval '1 h'"
    )  # the heartbeats do not expire during this test

    expected = {
        lost: "a task whose runner is gone",
        overslept: "a task that hibernates past its deadline",
        overdue: "a pending task whose delay is over",
    }
    assert problems(await examined(pool, database_url, is_fixing=False)) == expected
    examination = await examined(pool, database_url)
    assert (problems(examination), examination.is_healthy) == (expected, True)
    assert problems(await examined(pool, database_url)) == {}
    assert await pool.fetchval("SELECT ready_any FROM account_queues") == len({ready, overdue, overslept})
    assert await pool.fetchval("SELECT status FROM tasks WHERE id = $1", living) == "running"


@pytest.mark.long
async def test_stuck_tasks_beyond_one_page_are_counted(
    pool: Pool, database_url: str, make_task: MakeTask
) -> None:
    tasks = [await make_task("pending") for _ in range(510)]
    await pool.execute(DELAY, tasks, -HOUR)
    examination = await examined(pool, database_url)
    assert examination.is_healthy
    assert set(problems(examination)) <= set(tasks)
    assert await pool.fetchval("SELECT ready_any FROM account_queues") == 510


async def test_wrong_counters_of_the_queue_are_found(
    pool: Pool, database_url: str, account_id: str, make_task: MakeTask
) -> None:
    await runners.register(pool, "rnr_1", "any", "here", 3)
    await pool.execute("UPDATE runners SET heartbeat_at = now() + interval '1 h'")
    _, _, delayed, eu = [await make_task("pending") for _ in range(4)]
    await make_task("running", runner_id="rnr_1")
    await pool.execute(DELAY, [delayed], HOUR)
    region = """UPDATE tasks SET execution = execution || '{"runtimeRegion": "eu"}' WHERE id = $1"""
    await pool.execute(region, eu)
    assert problems(await examined(pool, database_url)) == {}
    counters = "SELECT running, queued, ready_any, ready_eu FROM account_queues"
    right = tuple(await pool.fetchrow(counters) or ())
    assert right == (1, 4, 2, 1)
    await pool.execute("UPDATE account_queues SET running = 0, queued = 9, ready_eu = ready_eu + 1")
    what = (
        "the queue counts 0 running and 9 pending tasks, 2 ready for any region and 2 for eu, but there are "
        "1 running and 4 pending tasks, 2 ready for any region and 1 for eu"
    )
    assert problems(await examined(pool, database_url, is_fixing=False)) == {account_id: what}
    async with db.transaction(pool) as connection:  # its change is counted at its COMMIT
        await connection.execute("UPDATE tasks SET not_before = NULL WHERE id = $1", delayed)
        assert (await examined(pool, database_url)).is_healthy
    assert tuple(await pool.fetchrow(counters) or ()) == (1, 4, 3, 1)
    await pool.execute("DELETE FROM account_queues")
    assert (await examined(pool, database_url)).is_healthy
    assert tuple(await pool.fetchrow(counters) or ()) == (1, 4, 3, 1)
    assert problems(await examined(pool, database_url)) == {}


async def test_holds_of_ended_tasks_are_found(
    pool: Pool, database_url: str, account_id: str, make_task: MakeTask
) -> None:
    settled, live, forgotten = [await make_task("running", runner_id="rnr_1") for _ in range(3)]
    await runners.register(pool, "rnr_1", "any", "here", 3)
    await pool.execute("UPDATE runners SET heartbeat_at = now() + interval '1 h'")
    for task_id in (settled, live, forgotten):
        async with db.transaction(pool) as connection:
            await ledger.add(connection, NewEntry(account_id, "hold", -500_000, task_id))
            await store.set_hold(connection, task_id, 500_000)
    async with db.transaction(pool) as connection:
        await service.end(connection, Settings(database_url=database_url), settled, EndReason.CANCELLED)
    await pool.execute(
        "UPDATE tasks SET status = 'failed' WHERE id = $1", forgotten
    )  # a state that the platform's code never writes
    before = await pool.fetchval("SELECT balance_micro_usd FROM accounts")
    examination = await examined(pool, database_url)
    assert problems(examination) == {
        f"{forgotten} of {account_id}": "hold of $0.50 for a task that has ended or does not exist"
    }
    assert examination.is_healthy
    assert await pool.fetchval("SELECT balance_micro_usd FROM accounts") == before + 500_000
    assert await pool.fetchval("SELECT hold_micro_usd FROM tasks WHERE id = $1", live) == 500_000
    assert problems(await examined(pool, database_url)) == {}
