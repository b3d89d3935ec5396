"""Creates a task in any status without a runner: the rows are those that the services write."""

from collections.abc import Awaitable, Callable

import pytest

from agentcontainer.db import Pool
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.agents import standard
from agentcontainer.ids import new_id

EXECUTION = {
    "provider": "anthropic",
    "model": "claude-sonnet-4-6",
    "weakModel": None,
    "internetAccess": False,
    "maxRuntimeSeconds": 60,
    "softFinishAfterSeconds": None,
    "outputPolicy": {"mode": "any"},
    "runtimeRegion": "any",
}
_INSERT = """
INSERT INTO tasks (id, account_id, agent_id, agent_version_id, mode, status, instructions, execution, attempt,
                   runner_id, container_started_at)
SELECT $1, $2, a.id, a.current_version_id, 'autonomous', $3, 'Do it.', $4, $5, $6,
       CASE WHEN $3 = 'running' THEN now() END
FROM agents a WHERE a.id = 'agt_standard_data'
"""
MakeTask = Callable[..., Awaitable[str]]


@pytest.fixture
async def account_id(pool: Pool) -> str:
    account_id, _ = await accounts.create_account(pool, name="Test", credit_micro_usd=10_000_000)
    return account_id


@pytest.fixture
async def make_task(pool: Pool, account_id: str) -> MakeTask:
    """`await make_task("running", attempt=2)` → the id of a task in that state."""
    await standard.install(pool)

    async def make(status: str, *, attempt: int = 1, runner_id: str | None = None) -> str:
        task_id = new_id("tsk")
        await pool.execute(_INSERT, task_id, account_id, status, EXECUTION, attempt, runner_id)
        return task_id

    return make
