"""Moves money: adds credit, holds and releases money for a task, and charges it.

Each function runs in its caller's transaction and locks the account's row, so that concurrent dispatches cannot
overdraw a balance. The lock order is the same everywhere: first the task's row, then the account's. Amounts are
whole micro-dollars.
"""

from agentcontainer.db import Connection
from agentcontainer.domain.ledger import store
from agentcontainer.domain.ledger.model import Hold, NewEntry
from agentcontainer.domain.ledger.prices import dollars
from agentcontainer.errors import InsufficientBalance, NotFound


async def credit(connection: Connection, account_id: str, micro_usd: int) -> int:
    """Add money to the balance; returns the new balance.

    Raises:
        NotFound: there is no such account.
    """
    return await _add(connection, NewEntry(account_id, "credit", micro_usd))


async def check_balance(connection: Connection, account_id: str, hold_micro_usd: int, tasks: int) -> None:
    """Lock the account until the transaction ends, and check that it has the holds of this many tasks.

    Raises:
        InsufficientBalance: the balance is below them; the message names both.
        NotFound: there is no such account.
    """
    account = await store.lock_account(connection, account_id)
    if account is None:
        raise _no_account(account_id)
    if account.is_unlimited or account.balance_micro_usd >= hold_micro_usd * tasks:
        return
    needs = f"a task needs {dollars(hold_micro_usd)}"
    if tasks > 1:
        needs = f"{tasks} tasks need {dollars(hold_micro_usd * tasks)}"
    raise InsufficientBalance(
        f"The balance is {dollars(account.balance_micro_usd)}; {needs}. Add credit and dispatch again."
    )


async def settle(
    connection: Connection, account_id: str, task_id: str, held_micro_usd: int, cost_micro_usd: int
) -> None:
    """At a task's end: release the hold and charge the cost, even if it is above the hold.

    An account with an unlimited grant is not charged.
    """
    if held_micro_usd or cost_micro_usd:
        await store.settle(connection, account_id, task_id, held_micro_usd, cost_micro_usd)


async def release_hold(connection: Connection, hold: Hold) -> None:
    """Release a hold and charge nothing."""
    if hold.micro_usd:
        await _add(connection, NewEntry(hold.account_id, "release", hold.micro_usd, hold.task_id))


async def _add(connection: Connection, entry: NewEntry) -> int:
    balance = await store.add(connection, entry)
    if balance is None:
        raise _no_account(entry.account_id)
    return balance


def _no_account(account_id: str) -> NotFound:
    return NotFound(f"Account {account_id} does not exist.")
