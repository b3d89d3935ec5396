"""Finds the running processes that cannot use the schema to which `migrate` would bring a database."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import cast

from agentcontainer.migrations.schema import HEAD, connected

LIVING_WITHIN = timedelta(seconds=30)  # since the last heartbeat

# Rows as JSON: older schemas lack some of the columns, and those up to 0009 the second table.
_ROWS = """
SELECT to_jsonb(process)::text FROM {table} AS process WHERE heartbeat_at > now() - $1::interval {condition}
ORDER BY host, id LIMIT 100
"""
_OLDEST_CODE = "SELECT to_jsonb(installation) ->> 'oldest_code' FROM installation"
_HAS_TABLE = "SELECT to_regclass($1) IS NOT NULL"


async def left_behind(url: str) -> list[str]:
    """The living runners and APIs that would stop once the database has this version's schema, as "runner r1 (version
    0.1.0)". Processes that have not recorded what they know count as the oldest ones that can use the schema there is.
    """
    needed = _oldest_code_of_head()
    async with connected(url) as connection:
        if not await connection.fetchval(_HAS_TABLE, "installation"):
            return []
        known_at_least = await connection.fetchval(_OLDEST_CODE) or "0001"
        lines: list[str] = []
        for kind, table, condition in (
            ("runner", "runners", "AND stopped_at IS NULL"),
            ("API", "api_processes", ""),
        ):
            if not await connection.fetchval(_HAS_TABLE, table):
                continue
            for (text,) in await connection.fetch(
                _ROWS.format(table=table, condition=condition), LIVING_WITHIN
            ):
                process = cast("dict[str, str | None]", json.loads(text))
                if int(process.get("newest_schema") or known_at_least) < int(needed):
                    name = process.get("name") or process["host"]
                    lines.append(f"{kind} {name} (version {process.get('version') or 'unknown'})")
        return lines


def _oldest_code_of_head() -> str:
    """The newest schema that the oldest version knows which can use this version's schema."""
    [path] = (Path(__file__).parent / "versions").glob(f"{HEAD}_*.py")
    declared = re.search(r'^oldest_code = "([0-9]{4})"', path.read_text(), re.MULTILINE)
    assert declared is not None
    return declared[1]
