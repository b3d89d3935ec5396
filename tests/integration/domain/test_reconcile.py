"""A damaged task does not stop the reconciler from handling others."""

from agentcontainer import settings
from agentcontainer.db import Pool
from agentcontainer.domain.tasks.reconcile import reconcile

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
