"""What doctor sees of other hosts in the database."""

from agentcontainer.db import Pool
from agentcontainer.doctor.database import Database
from agentcontainer.doctor.finding import Finding
from agentcontainer.doctor.processes import PROCESS_CHECKS
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.processes import store
from agentcontainer.domain.tasks import runners
from agentcontainer.settings import Settings
from tests.pending_task import add_task


async def found(pool: Pool, settings: Settings) -> dict[str, list[Finding]]:
    database = Database(pool, settings)
    return {check.name: [finding async for finding in check.find(database)] for check in PROCESS_CHECKS}


async def test_a_region_without_a_runner_is_found(pool: Pool) -> None:
    settings = Settings()
    account_id, _ = await accounts.create_account(pool, name="Ann")
    await add_task(pool, account_id, "tsk_1", "eu", 5)
    [stopped] = (await found(pool, settings))["regions"]
    assert stopped.is_notice, "nothing runs: tasks wait for the installation's start"
    await store.beat(pool, "api_1", "web1", 8080, "1")
    await runners.register(pool, "rnr_any", "any", "run1", 1, "run1-1")
    [finding] = (await found(pool, settings))["regions"]
    assert (finding.where, finding.is_notice) == ("eu", False)
    assert finding.what.startswith("region without a runner: 1 tasks wait, the oldest for 30")
    await runners.register(pool, "rnr_eu", "eu", "run2", 1, "run2-1")
    assert (await found(pool, settings))["regions"] == []


async def test_a_dead_runner_with_tasks_is_found(pool: Pool) -> None:
    account_id, _ = await accounts.create_account(pool, name="Ann")
    await add_task(pool, account_id, "tsk_1", "any", 5)
    await runners.register(pool, "rnr_dead", "any", "run1", 1, "run1-1")
    await pool.execute("UPDATE tasks SET status = 'running', runner_id = 'rnr_dead', attempt = 1")
    assert (await found(pool, Settings()))["dead runners"] == []
    await pool.execute("UPDATE runners SET heartbeat_at = now() - interval '2 h'")
    [finding] = (await found(pool, Settings()))["dead runners"]
    assert (finding.where, "still has 1 tasks" in finding.what) == ("run1-1 (rnr_dead) on run1", True)


async def test_processes_of_several_versions_are_a_notice(pool: Pool) -> None:
    await store.beat(pool, "api_1", "web1", 8080, "0.0.1")
    await runners.register(pool, "rnr_1", "any", "run1", 1, "run1-1")
    [finding] = (await found(pool, Settings()))["versions"]
    assert finding.is_notice
    assert "0.0.1: API on web1" in finding.where
    await store.remove(pool, "api_1")
    assert (await found(pool, Settings()))["versions"] == []
