"""Inserts a task that waits for a runner, without the API."""

from agentcontainer.db import Pool
from agentcontainer.domain.agents import standard


async def add_task(pool: Pool, account_id: str, task_id: str, region: str, minutes: int) -> None:
    await standard.install(pool)
    await pool.execute(
        "INSERT INTO tasks (id, account_id, agent_id, agent_version_id, mode, status, instructions, execution, "
        "pending_since) SELECT $1, $2, id, current_version_id, 'autonomous', 'pending', 'canary', $3, "
        "now() - make_interval(mins => $4) FROM agents WHERE id = 'agt_standard_data'",
        task_id, account_id, {"runtimeRegion": region}, minutes,
    )  # fmt: skip
