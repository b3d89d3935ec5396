"""Checks for inconsistencies in the database: stuck tasks, orphaned holds, wrong balances and counters, gaps in event
logs."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import partial

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.doctor.finding import Check, Finding
from agentcontainer.domain.files import quota
from agentcontainer.domain.ledger import service as ledger
from agentcontainer.domain.ledger import store as ledger_store
from agentcontainer.domain.ledger.model import Hold
from agentcontainer.domain.ledger.prices import dollars
from agentcontainer.domain.tasks import events, queue_counts, reconcile, store
from agentcontainer.domain.tasks.state import TERMINAL
from agentcontainer.errors import AgentContainerError
from agentcontainer.settings import Settings

PATIENCE_SECONDS = 5.0  # a running API or runner reconciles every 2 s


@dataclass(frozen=True)
class Database:
    """The subject of the database checks."""

    pool: Pool
    settings: Settings


async def stuck_tasks(database: Database) -> AsyncGenerator[Finding]:
    """Tasks that the reconciler must move on, and that no running API or runner has moved for some seconds."""
    pool, settings = database.pool, database.settings
    examined = set[str]()
    while (
        suspects := (await reconcile.stuck(pool, settings)).keys() - examined
    ):  # the result is limited to a few hundred tasks
        await asyncio.sleep(PATIENCE_SECONDS)
        for task_id, what in (await reconcile.stuck(pool, settings)).items():
            if task_id in suspects:
                how = "start an API or a runner, which reconcile tasks every 2 s; if one runs, its log says why not"
                yield Finding(what, task_id, how, partial(_reconcile, database, task_id))
        examined |= suspects


async def holds(database: Database) -> AsyncGenerator[Finding]:
    """Money held for tasks that have ended or do not exist."""
    for hold in await ledger_store.unreleased_holds(database.pool):
        what = (
            f"hold of {dollars(hold.micro_usd)} for a task that has ended or does not exist"
            if hold.micro_usd
            else "hold recorded on a task without an entry in the ledger"
        )
        how = (
            "release it (ledger entry `release`)" if hold.micro_usd else "set hold_micro_usd of the task to 0"
        )
        yield Finding(what, f"{hold.task_id} of {hold.account_id}", how, partial(_release, database, hold))


async def balances(database: Database) -> AsyncGenerator[Finding]:
    """Accounts whose balance is not the sum of their ledger entries."""
    for account in await ledger_store.unbalanced(database.pool):
        balance, total = dollars(account.balance_micro_usd), dollars(account.sum_micro_usd)
        what = f"balance of {balance}, but the sum of the ledger entries is {total}"
        how = (
            "the ledger is append-only and decides: find out who changed the account, then set its "
            f"balance_micro_usd to {account.sum_micro_usd}"
        )
        yield Finding(what, account.account_id, how)


async def event_logs(database: Database) -> AsyncGenerator[Finding]:
    """Event logs whose numbers are not 1, 2, 3 … up to the task's last event."""
    for task_id in await events.gaps(database.pool):
        how = "only retention and deletions of tasks remove events: find out who did, and restore them from a backup"
        yield Finding("event log with a gap", task_id, how)


async def used_bytes(database: Database) -> AsyncGenerator[Finding]:
    """Accounts whose counter of stored bytes is not the sum of their files."""
    for account in await quota.wrong_counts(database.pool):
        what = f"{account.used_bytes} stored bytes counted, but the files have {account.sum_bytes}"
        fix = partial(quota.correct, database.pool, account.account_id)
        yield Finding(what, account.account_id, "set account_storage.used_bytes to the sum", fix)


async def queue_counters(database: Database) -> AsyncGenerator[Finding]:
    """Accounts whose counters of the queue are not what their tasks say."""
    for account in await queue_counts.wrong(database.pool):
        what = f"the queue counts {account.counters}, but there are {account.counted}"
        how = "set the counters in account_queues to the numbers of tasks; until then tasks may wait for nothing"
        yield Finding(
            what, account.account_id, how, partial(queue_counts.correct, database.pool, account.account_id)
        )


DATABASE_CHECKS: tuple[Check[Database], ...] = (
    Check("stuck tasks", stuck_tasks),
    Check("holds", holds),
    Check("balances", balances),
    Check("event logs", event_logs),
    Check("stored bytes", used_bytes),
    Check("queue counters", queue_counters),
)


async def _reconcile(database: Database, task_id: str) -> None:
    pool, settings = database.pool, database.settings
    if task_id in await reconcile.stuck(pool, settings):
        await reconcile.reconcile(pool, settings)
    if task_id in await reconcile.stuck(pool, settings):
        raise AgentContainerError("The task is still stuck. The log of the API says why.")


async def _release(database: Database, hold: Hold) -> None:
    async with db.transaction(database.pool) as connection:
        task = await store.lock(connection, hold.task_id)
        if task is None or task.status in TERMINAL:
            await ledger.release_hold(connection, hold)
            await store.set_hold(connection, hold.task_id, 0)
