"""Delivery of pending tasks to runners: PgQueuer jobs, enqueued in the transaction that makes a task pending.

A job is only a wake-up: its payload is the task's id, and the claim decides. The key makes a repeat harmless.
"""

from datetime import timedelta

from pgqueuer.queries import Queries

from agentcontainer.db import Connection


def entrypoint(region: str) -> str:
    """The job's entrypoint: one per region."""
    return f"run:{region}"


async def enqueue(
    connection: Connection, task_id: str, attempt: int, region: str, delay: timedelta = timedelta(0)
) -> bool:
    """Ask for a runner, after `delay`; False when the same request is already queued."""
    queries = Queries.from_asyncpg_connection(connection)  # pyright: ignore[reportArgumentType]
    ids = await queries.enqueue(
        entrypoint(region),
        task_id.encode(),
        execute_after=delay,
        dedupe_key=f"{task_id}:{attempt}",
        on_conflict="skip",
    )
    return ids[0] is not None
