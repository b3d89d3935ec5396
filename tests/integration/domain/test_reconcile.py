"""A damaged task does not stop the reconciler from handling others."""

import logging
from datetime import timedelta

import pytest

from agentcontainer import settings
from agentcontainer.db import Pool
from agentcontainer.domain.tasks import runners
from agentcontainer.domain.tasks.reconcile import reconcile
from agentcontainer.periodic import FailureLog

from .conftest import MakeTask

_DAMAGE = "UPDATE tasks SET execution = execution - 'runtimeRegion' WHERE id = ANY($1::text[])"
_SLEEP = "UPDATE tasks SET hibernate_until_at = now() WHERE status = 'hibernating'"


async def test_a_task_that_fails_to_move_on_does_not_block_others(pool: Pool, make_task: MakeTask) -> None:
    lost = [await make_task("running", runner_id="rnr_gone") for _ in range(3)]
    asleep = [await make_task("hibernating") for _ in range(3)]
    await pool.execute(_SLEEP)
    await pool.execute(
        _DAMAGE, [lost[0], lost[2], asleep[0], asleep[2]]
    )  # the first and the last, so that a damaged one precedes the healthy one in either order
    assert await reconcile(pool, settings.load()) == 2
    rows = await pool.fetch("SELECT id FROM tasks WHERE status = 'pending'")
    assert {row["id"] for row in rows} == {lost[1], asleep[1]}


async def test_a_damaged_task_is_logged_once_and_not_at_every_pass(
    pool: Pool, make_task: MakeTask, caplog: pytest.LogCaptureFixture
) -> None:
    lost = [await make_task("running", runner_id="rnr_gone") for _ in range(3)]
    await pool.execute(_DAMAGE, lost)
    failures = FailureLog("reconciling a task")
    for _ in range(3):
        assert await reconcile(pool, settings.load(), failures) == 0
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("reconciling a task failed: AssertionError: the stored execution")


async def test_after_an_outage_only_runners_that_stopped_are_lost_at_once(
    pool: Pool, make_task: MakeTask
) -> None:
    for runner_id in ("rnr_silent", "rnr_stopped"):
        await runners.register(pool, runner_id, "any", "host", 1)
    await pool.execute("UPDATE runners SET heartbeat_at = now() - $1::interval", timedelta(minutes=5))
    await runners.stop(pool, ["rnr_stopped"])
    silent, stopped = [await make_task("running", runner_id=name) for name in ("rnr_silent", "rnr_stopped")]
    assert await reconcile(pool, settings.load(), are_silent_lost=False) == 1
    rows = await pool.fetch("SELECT id FROM tasks WHERE status = 'pending'")
    assert [row["id"] for row in rows] == [stopped]
    assert await reconcile(pool, settings.load()) == 1
    assert await pool.fetchval("SELECT status FROM tasks WHERE id = $1", silent) == "pending"
