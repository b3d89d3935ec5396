"""A metadata filter stays cheap in a full table: the database finds the few rows by index and reads no others."""

import json
from typing import Any

from agentcontainer.db import Connection, Pool
from agentcontainer.domain.tasks import listing
from agentcontainer.domain.tasks.model import TaskFilter

from .conftest import EXECUTION, MakeTask

FILL = """
INSERT INTO tasks (id, account_id, agent_id, agent_version_id, mode, status, instructions, execution, metadata)
SELECT 'tsk_' || lpad(n::text, 26, '0'), $1, a.id, a.current_version_id, 'autonomous', 'finished', 'Do it.', $2,
    jsonb_build_object('customer', 'c-' || n % 5000, 'env', 'production', 'n', n)
FROM agents a, generate_series(1, 20000) AS n WHERE a.id = 'agt_standard_data'
"""


class ExplainingPool:
    """Takes the place of the pool and runs each query with EXPLAIN ANALYZE.

    Asked often enough for the database to consider one plan for all values, as it is in production.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.plan: dict[str, Any] = {}

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        texts = [value if isinstance(value, str) else json.dumps(value) for value in arguments]
        literals = [await self._connection.fetchval("SELECT quote_literal($1::text)", text) for text in texts]
        await self._connection.execute(f"PREPARE listing AS {query}")
        for _ in range(8):
            explain = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE listing ({', '.join(literals)})"
            self.plan = json.loads(await self._connection.fetchval(explain))[0]["Plan"]
        await self._connection.execute("DEALLOCATE listing")
        return []


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


def rows_read(plan: dict[str, Any]) -> int:
    """The number of task rows that the query read, both returned and discarded."""
    on_tasks = [node for node in nodes(plan) if node.get("Alias") == "t"]
    assert on_tasks
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0))
        * node["Actual Loops"]
        for node in on_tasks
    )  # fmt: skip


async def test_the_rows_a_metadata_filter_reads(pool: Pool, account_id: str, make_task: MakeTask) -> None:
    await make_task("pending")
    await pool.execute(FILL, account_id, EXECUTION)
    await pool.execute("VACUUM ANALYZE tasks")
    for metadata, expected, most_read in (
        ({"customer": "c-17"}, 4, 8),
        ({"customer": "c-17", "env": "production"}, 4, 8),
        ({"customer": "nobody"}, 0, 0),
        ({"env": "production"}, 21, 40),
    ):
        async with pool.acquire() as connection:
            explaining = ExplainingPool(connection)
            explained: Any = explaining
            await listing.list_page(
                explained,
                account_id,
                TaskFilter(metadata=metadata),
                after=None,
                limit=20,
                is_descending=True,
            )
        assert explaining.plan["Actual Rows"] == expected
        assert rows_read(explaining.plan) <= most_read, explaining.plan
