"""Moves money: append-only entries, whose sum is always the account's balance.

A function that moves money runs in its caller's transaction and locks the account's row, so that simultaneous
dispatches cannot spend the same money. Amounts are integer micro-dollars; holds and charges are negative. To avoid
deadlocks, everybody locks the task's row before the account's.
"""

from dataclasses import dataclass
from datetime import datetime

from agentcontainer import db
from agentcontainer.db import Connection, Page, Pool, Record
from agentcontainer.domain.ledger.prices import dollars
from agentcontainer.errors import InsufficientBalance, NotFound
from agentcontainer.ids import new_id

_MOVE = """
WITH account AS (
    UPDATE accounts SET balance_micro_usd = balance_micro_usd + $2
    WHERE id = $1
    RETURNING id, balance_micro_usd
)
INSERT INTO ledger_entries (id, account_id, kind, counter_account, amount_micro_usd, balance_after_micro_usd, task_id)
SELECT $3, account.id, $4, $5, $2, account.balance_micro_usd, $6 FROM account
RETURNING balance_after_micro_usd
"""
# Not FOR UPDATE: two dispatches whose tasks refer to the account already would each wait for the other.
_ACCOUNT = "SELECT billing_mode, balance_micro_usd FROM accounts WHERE id = $1 FOR NO KEY UPDATE"
# Sorted by position, which is assigned under the account's lock. Ids of simultaneous entries may sort differently.
_PAGE = """
SELECT * FROM ledger_entries WHERE account_id = $1 AND ($2::text IS NULL OR position {sign}
    (SELECT position FROM ledger_entries WHERE id = $2 AND account_id = $1))
"""
_FORGOTTEN = """
WITH unreleased AS (
    SELECT task_id, account_id, -amount_micro_usd AS held FROM ledger_entries hold
    WHERE kind = 'hold' AND task_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM ledger_entries WHERE task_id = hold.task_id AND kind = 'release')
)
SELECT u.* FROM unreleased u LEFT JOIN tasks t ON t.id = u.task_id
WHERE t.id IS NULL OR t.status IN ('finished', 'failed', 'cancelled', 'expired')
UNION ALL SELECT id, account_id, 0 FROM tasks
WHERE hold_micro_usd > 0 AND status IN ('finished', 'failed', 'cancelled', 'expired')
    AND id NOT IN (SELECT task_id FROM unreleased)
"""
_UNBALANCED = """
SELECT a.id, a.balance_micro_usd, coalesce(sum(e.amount_micro_usd), 0)::bigint AS total
FROM accounts a LEFT JOIN ledger_entries e ON e.account_id = a.id
GROUP BY a.id HAVING a.balance_micro_usd <> coalesce(sum(e.amount_micro_usd), 0)
ORDER BY a.id LIMIT 1000
"""
_COUNTER_ACCOUNT = {
    "credit": "funding",
    "hold": "holds",
    "release": "holds",
    "charge": "revenue",
    "refund": "revenue",
}


@dataclass(frozen=True)
class Entry:
    """One line of the ledger."""

    id: str
    kind: str
    amount_micro_usd: int
    task_id: str | None
    balance_after_micro_usd: int
    created_at: datetime

    @classmethod
    def of(cls, row: Record) -> "Entry":
        return cls(
            row["id"], row["kind"], row["amount_micro_usd"], row["task_id"],
            row["balance_after_micro_usd"], row["created_at"],
        )  # fmt: skip


@dataclass(frozen=True)
class Hold:
    """Money set aside for a task. 0: the task's row records a hold, but the ledger has none that is not released."""

    task_id: str
    account_id: str
    micro_usd: int


async def credit(connection: Connection, account_id: str, micro_usd: int) -> int:
    """Add prepaid money; returns the new balance.

    Raises:
        NotFound: there is no such account.
    """
    return await _move(connection, account_id, "credit", micro_usd)


async def hold(connection: Connection, account_id: str, micro_usd: int, task_id: str) -> int:
    """Set money aside for a task; returns what was held: nothing for an `unlimited_grant` account.

    Raises:
        InsufficientBalance: the balance is below the hold; says both.
    """
    account = await connection.fetchrow(_ACCOUNT, account_id)
    if account is None:
        raise NotFound(f"account {account_id} does not exist")
    if account["billing_mode"] == "unlimited_grant" or micro_usd == 0:
        return 0
    if account["balance_micro_usd"] < micro_usd:
        raise InsufficientBalance(
            f"The balance is {dollars(account['balance_micro_usd'])}; a task needs {dollars(micro_usd)}. "
            "Add credit and dispatch again."
        )
    await _move(connection, account_id, "hold", -micro_usd, task_id)
    return micro_usd


async def settle(connection: Connection, account_id: str, task_id: str, held: int, cost: int) -> None:
    """At a task's end: release the hold and charge the actual cost, even if it is above the hold."""
    if held:
        await _move(connection, account_id, "release", held, task_id)
    if cost:
        await _move(connection, account_id, "charge", -cost, task_id)


async def unreleased_holds(pool: Pool) -> list[Hold]:
    """Holds of tasks that have ended, according to the ledger or to the task's row. Reads the whole ledger."""
    rows = await pool.fetch(_FORGOTTEN, timeout=600)
    return [Hold(row["task_id"], row["account_id"], row["held"]) for row in rows]


async def release_hold(connection: Connection, hold: Hold) -> None:
    """Release a hold that `unreleased_holds` found, and charge nothing."""
    if hold.micro_usd:
        await _move(connection, hold.account_id, "release", hold.micro_usd, hold.task_id)


async def unbalanced(pool: Pool) -> list[tuple[str, int, int]]:
    """(account id, balance, sum of its entries) of accounts whose balance is not that sum. Reads the whole ledger."""
    rows = await pool.fetch(_UNBALANCED, timeout=600)
    return [(row["id"], row["balance_micro_usd"], row["total"]) for row in rows]


async def list_page(
    pool: Pool, account_id: str, *, after_id: str | None, limit: int, is_descending: bool
) -> Page[Entry]:
    """The account's entries in the order in which they changed the balance, from `after_id` on."""
    sign, direction = ("<", "DESC") if is_descending else (">", "ASC")
    return await db.fetch_page(
        pool,
        _PAGE.format(sign=sign),
        account_id,
        after_id,
        order=f"position {direction}",
        limit=limit,
        of=Entry.of,
    )


async def is_unlimited(connection: Connection, account_id: str) -> bool:
    """Whether the account is never blocked or charged."""
    mode = await connection.fetchval("SELECT billing_mode FROM accounts WHERE id = $1", account_id)
    return mode == "unlimited_grant"


async def _move(
    connection: Connection, account_id: str, kind: str, amount: int, task_id: str | None = None
) -> int:
    balance = await connection.fetchval(
        _MOVE, account_id, amount, new_id("led"), kind, _COUNTER_ACCOUNT[kind], task_id
    )
    if balance is None:
        raise NotFound(f"account {account_id} does not exist")
    return int(balance)
