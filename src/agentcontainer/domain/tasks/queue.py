"""Enqueues the PgQueuer jobs that tell runners of pending tasks, in the transaction that makes a task pending.

A job contains only the task's id. The claim decides which runner runs the task, so a lost or repeated job does no harm.
"""

from datetime import timedelta

from pgqueuer.queries import Queries

from agentcontainer.db import Connection


def entrypoint(region: str) -> str:
    """The PgQueuer entrypoint of a region's jobs."""
    return f"run:{region}"


async def enqueue(
    connection: Connection, task_id: str, attempt: int, region: str, delay: timedelta = timedelta(0)
) -> bool:
    """Enqueue a job for the task, to be delivered after `delay`. False: this attempt's job is queued already."""
    queries = Queries.from_asyncpg_connection(connection)  # pyright: ignore[reportArgumentType]
    ids = await queries.enqueue(
        entrypoint(region),
        task_id.encode(),
        execute_after=delay,
        dedupe_key=f"{task_id}:{attempt}",
        on_conflict="skip",
    )
    return ids[0] is not None
