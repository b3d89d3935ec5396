"""Dispatches many tasks at once, all or none, and cancels them."""

from collections.abc import Sequence

from agentcontainer import crash, db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.batches import store
from agentcontainer.domain.batches.model import Batch
from agentcontainer.domain.tasks import creation, service
from agentcontainer.domain.tasks.model import Dispatch
from agentcontainer.errors import Conflict, NotFound
from agentcontainer.ids import new_id
from agentcontainer.settings import Settings


async def dispatch(
    pool: Pool, settings: Settings, vault: Vault, account_id: str, agent_id: str, requests: Sequence[Dispatch]
) -> tuple[Batch, list[str]]:
    """Create a task for each request, or none; returns the batch and the ids of its tasks, in the order of `requests`.

    Raises:
        creation.InvalidTask: a request is not valid.
        Others as `creation.dispatch`.
    """
    async with db.transaction(pool) as connection:
        batch_id = new_id("bat")
        news = await creation.prepare_all(
            connection, settings, vault, account_id, agent_id, requests, batch_id
        )
        await store.insert(connection, batch_id, account_id, agent_id)
        tasks = await creation.insert(connection, settings, account_id, news)
        batch = await get(connection, account_id, batch_id)
        crash.reach("dispatch")
    return batch, [task.id for task in tasks]


async def get(pool: Connection | Pool, account_id: str, batch_id: str) -> Batch:
    """The batch.

    Raises:
        NotFound: it does not exist, or is another account's.
    """
    batch = await store.get(pool, account_id, batch_id)
    if batch is None:
        raise NotFound(f"Batch {batch_id} does not exist.")
    return batch


async def cancel(pool: Pool, settings: Settings, account_id: str, batch_id: str) -> Batch:
    """Cancel the batch's tasks that have not ended. Each is a transaction of its own, so a repeat continues.

    Raises:
        NotFound: it does not exist, or is another account's.
    """
    await get(pool, account_id, batch_id)
    for task_id in await store.live_tasks(pool, batch_id):
        try:
            await service.cancel(pool, settings, account_id, task_id)
        except (Conflict, NotFound):  # it has ended, or was deleted, meanwhile
            continue
    return await get(pool, account_id, batch_id)
