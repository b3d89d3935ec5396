"""Claims a certain task, which no runner can: `queue.claim` decides which task is the next one."""

from agentcontainer.db import Connection, Pool
from agentcontainer.domain.tasks.model import Claim

_CLAIM = """
UPDATE tasks SET status = 'running', updated_at = clock_timestamp(), attempt = attempt + 1, runner_id = $2
WHERE id = $1 AND status = 'pending' RETURNING attempt
"""


async def claim(pool: Connection | Pool, task_id: str, runner_id: str) -> Claim | None:
    """Claim this pending task, as the runner would if it were the next one. None: it is not pending."""
    attempt = await pool.fetchval(_CLAIM, task_id, runner_id)
    return None if attempt is None else Claim(task_id, attempt)
