"""SQL on ledger entries, and on the balance of an account, which changes only together with an entry."""

from agentcontainer import db
from agentcontainer.db import Connection, Page, Pool, Record
from agentcontainer.domain.ledger.model import Entry, EntryKind, Hold, Imbalance, LockedAccount, NewEntry
from agentcontainer.ids import new_id

_ADD = """
WITH account AS (
    UPDATE accounts SET balance_micro_usd = balance_micro_usd + $2,
        is_low_reported = is_low_reported AND $4 <> 'credit'  -- after a credit, a low balance is worth another event
    WHERE id = $1
    RETURNING id, balance_micro_usd
)
INSERT INTO ledger_entries (id, account_id, kind, counter_account, amount_micro_usd, balance_after_micro_usd, task_id)
SELECT $3, account.id, $4, $5, $2, account.balance_micro_usd, $6 FROM account
RETURNING balance_after_micro_usd
"""
_SETTLE = """
WITH account AS (
    UPDATE accounts SET balance_micro_usd = balance_micro_usd + $3::bigint - $4::bigint
    WHERE id = $1 AND billing_mode <> 'unlimited_grant'
    RETURNING id, balance_micro_usd
)
INSERT INTO ledger_entries (id, account_id, kind, counter_account, amount_micro_usd, balance_after_micro_usd, task_id)
SELECT entry.id, account.id, entry.kind, entry.counter_account, entry.amount,
    account.balance_micro_usd + entry.to_charge, $2::text
FROM account CROSS JOIN (VALUES (1, $5::text, 'release', 'holds', $3::bigint, $4::bigint),
    (2, $6::text, 'charge', 'revenue', -$4::bigint, 0)) AS entry (number, id, kind, counter_account, amount, to_charge)
WHERE entry.amount <> 0 ORDER BY entry.number
"""
# Common table expressions of the statement that inserts tasks, whose `new` has their number (1, 2, 3 …), id and
# ledger_id. $1: the account, $2: the hold of each task, $3: how many tasks. `allowed` has no row if there is no such
# account or its balance is too low; otherwise its `hold` is what is held for each: 0 with an unlimited grant.
HOLD_FOR_TASKS = """
payer AS (
    SELECT id, CASE WHEN billing_mode = 'unlimited_grant' THEN 0 ELSE $2::bigint END AS hold FROM accounts WHERE id = $1
), held AS (
    UPDATE accounts a SET balance_micro_usd = balance_micro_usd - payer.hold * $3::bigint FROM payer
    WHERE a.id = payer.id AND payer.hold > 0 AND a.balance_micro_usd >= payer.hold * $3::bigint
    RETURNING a.balance_micro_usd
), allowed AS (
    SELECT hold FROM payer WHERE hold = 0 OR EXISTS (SELECT FROM held)
), entry AS (
    INSERT INTO ledger_entries
        (id, account_id, kind, counter_account, amount_micro_usd, balance_after_micro_usd, task_id)
    SELECT new.ledger_id, $1, 'hold', 'holds', -payer.hold,
        held.balance_micro_usd + payer.hold * ($3::bigint - new.number), new.id
    FROM held, payer, new ORDER BY new.number
)
"""
# Not FOR UPDATE: a dispatch has inserted a task that refers to the account, so two of them would deadlock.
_LOCK_ACCOUNT = "SELECT billing_mode, balance_micro_usd FROM accounts WHERE id = $1 FOR NO KEY UPDATE"
# By position, which is assigned under the account's lock: the ids of concurrent entries may be in another order.
_PAGE = "SELECT * FROM ledger_entries WHERE account_id = $1"
_AFTER = " AND position {sign} (SELECT position FROM ledger_entries WHERE id = $2 AND account_id = $1)"
_UNRELEASED = """
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
_COUNTER_ACCOUNTS: dict[EntryKind, str] = {
    "credit": "funding",
    "hold": "holds",
    "release": "holds",
    "charge": "revenue",
    "refund": "revenue",
}
_SCAN_SECONDS = 600  # for a query that reads the whole ledger


async def add(connection: Connection, entry: NewEntry) -> int | None:
    """Add the entry and change the balance by it; returns the new balance. None: there is no such account."""
    return await connection.fetchval(
        _ADD, entry.account_id, entry.amount_micro_usd, new_id("led"), entry.kind, _COUNTER_ACCOUNTS[entry.kind],
        entry.task_id,
    )  # fmt: skip


async def lock_account(connection: Connection, account_id: str) -> LockedAccount | None:
    """Lock the account until the transaction ends. None: there is no such account."""
    row = await connection.fetchrow(_LOCK_ACCOUNT, account_id)
    if row is None:
        return None
    return LockedAccount(row["billing_mode"] == "unlimited_grant", row["balance_micro_usd"])


async def settle(
    connection: Connection, account_id: str, task_id: str, held_micro_usd: int, cost_micro_usd: int
) -> None:
    """Add the release of a task's hold and the charge of its cost, unless the account has an unlimited grant."""
    await connection.execute(
        _SETTLE, account_id, task_id, held_micro_usd, cost_micro_usd, new_id("led"), new_id("led")
    )


async def list_page(
    pool: Pool, account_id: str, *, after_id: str | None, limit: int, is_descending: bool
) -> Page[Entry]:
    """The account's entries in the order in which they changed the balance, from `after_id` on."""
    sign, direction = ("<", "DESC") if is_descending else (">", "ASC")
    query, arguments = (_PAGE, ()) if after_id is None else (_PAGE + _AFTER.format(sign=sign), (after_id,))
    return await db.fetch_page(
        pool, query, account_id, *arguments, order=f"position {direction}", limit=limit, of=_entry
    )


async def unreleased_holds(pool: Pool) -> list[Hold]:
    """Holds of tasks that have ended or do not exist, by the ledger or by the task's row. Reads the whole ledger."""
    rows = await pool.fetch(_UNRELEASED, timeout=_SCAN_SECONDS)
    return [Hold(row["task_id"], row["account_id"], row["held"]) for row in rows]


async def unbalanced(pool: Pool) -> list[Imbalance]:
    """Accounts whose balance is not the sum of their entries. Reads the whole ledger."""
    rows = await pool.fetch(_UNBALANCED, timeout=_SCAN_SECONDS)
    return [Imbalance(row["id"], row["balance_micro_usd"], row["total"]) for row in rows]


def _entry(row: Record) -> Entry:
    return Entry(**{name: row[name] for name in Entry.__dataclass_fields__})
