"""What an account changes of itself, and what an operator does to accounts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from agentcontainer import db
from agentcontainer.db import Connection, Page, Pool, Record
from agentcontainer.domain.accounts import store
from agentcontainer.domain.accounts.model import Account, BillingMode
from agentcontainer.domain.audit import service as audit
from agentcontainer.domain.audit.actions import Action
from agentcontainer.domain.audit.model import COMMAND_LINE, Actor
from agentcontainer.domain.ledger import service as ledger
from agentcontainer.domain.unset import UNSET, Unset
from agentcontainer.errors import Conflict, NotFound

_LIST = """
SELECT a.*, q.max_running, q.max_queued, coalesce(q.running, 0) AS running, coalesce(q.queued, 0) AS queued,
    (SELECT count(*) FROM api_keys k WHERE k.account_id = a.id AND k.revoked_at IS NULL) AS api_keys
FROM accounts a LEFT JOIN account_queues q ON q.account_id = a.id
"""
_PAGE = f"""
{_LIST} WHERE a.deleted_at IS NULL AND ($1::text IS NULL OR CASE WHEN $2 THEN a.id < $1 ELSE a.id > $1 END)
"""
_LOCK = "SELECT FROM accounts WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE"
_SET = """
UPDATE accounts SET name = $2, email = $3, low_balance_micro_usd = $4, max_cost_micro_usd_per_day = $5,
    max_priority = $6, usage_metadata_keys = $7 WHERE id = $1
"""
# What a suspended account may run when it is active again is kept in its own row.
_SET_QUEUE = """
INSERT INTO account_queues AS q (account_id, max_running, max_queued) VALUES ($1, $2, $3)
ON CONFLICT (account_id) DO UPDATE SET max_running = $2, max_queued = $3
"""
_SUSPEND = "UPDATE accounts SET suspended_at = now(), max_running_when_active = $2 WHERE id = $1"
_RESUME = "UPDATE accounts SET suspended_at = NULL, max_running_when_active = NULL WHERE id = $1"
_SET_ACTIVE_LIMIT = "UPDATE accounts SET max_running_when_active = $2 WHERE id = $1"
_COUNT_OTHER_OPERATORS = (
    "SELECT count(*) FROM accounts WHERE is_operator AND suspended_at IS NULL AND id <> $1"
)
T = TypeVar("T")
OPERATORS_LOCK = 0x61676670  # an arbitrary number, the same in every process


@dataclass(frozen=True)
class AccountLimits:
    """What an operator allows an account. None: no limit."""

    running_tasks: int | None = None
    queued_tasks: int | None = None
    cost_micro_usd_per_day: int | None = None
    max_priority: int | None = None


@dataclass(frozen=True)
class LimitChange:
    """Changes of the limits. None removes one; UNSET leaves it."""

    running_tasks: int | Unset | None = UNSET
    queued_tasks: int | Unset | None = UNSET
    cost_micro_usd_per_day: int | Unset | None = UNSET
    max_priority: int | Unset | None = UNSET

    def applied_to(self, limits: AccountLimits) -> AccountLimits:
        """The limits after the change."""
        return AccountLimits(
            _changed(self.running_tasks, limits.running_tasks),
            _changed(self.queued_tasks, limits.queued_tasks),
            _changed(self.cost_micro_usd_per_day, limits.cost_micro_usd_per_day),
            _changed(self.max_priority, limits.max_priority),
        )


@dataclass(frozen=True)
class AccountChange:
    """Changes of an account. None in `email` and `low_balance_micro_usd` removes it; UNSET leaves a field."""

    name: str | Unset = UNSET
    email: str | Unset | None = UNSET
    low_balance_micro_usd: int | Unset | None = UNSET
    usage_metadata_keys: Sequence[str] | Unset = UNSET
    limits: LimitChange = LimitChange()
    is_suspended: bool | Unset = UNSET


@dataclass(frozen=True)
class AccountState:
    """An account as an operator sees it."""

    id: str
    name: str
    email: str | None
    billing_mode: BillingMode
    balance_micro_usd: int
    is_operator: bool
    suspended_at: datetime | None
    created_at: datetime
    limits: AccountLimits
    running_tasks: int
    queued_tasks: int
    api_keys: int


async def list_page(
    pool: Pool, *, after_id: str | None, limit: int, is_descending: bool
) -> Page[AccountState]:
    """All accounts by id, from `after_id` on."""
    order = f"id {'DESC' if is_descending else 'ASC'}"
    return await db.fetch_page(pool, _PAGE, after_id, is_descending, order=order, limit=limit, of=_state)


async def get_state(connection: Connection | Pool, account_id: str) -> AccountState:
    """The account as an operator sees it.

    Raises:
        NotFound: there is no such account.
    """
    row = await connection.fetchrow(f"{_LIST} WHERE a.id = $1 AND a.deleted_at IS NULL", account_id)
    if row is None:
        raise NotFound(f"Account {account_id} does not exist.")
    return _state(row)


async def change(
    pool: Pool, account_id: str, change: AccountChange, *, by: Actor = COMMAND_LINE
) -> AccountState:
    """Change an account. While it is suspended, its requests are refused, and no runner takes its tasks; those that
    run go on.

    Raises:
        NotFound: there is no such account.
        Conflict: it is the last operator's, and would be suspended.
    """
    async with db.transaction(pool) as connection:
        before = await _lock(connection, account_id)
        state = await get_state(connection, account_id)
        limits = change.limits.applied_to(state.limits)
        await connection.execute(
            _SET, account_id, _changed(change.name, before.name), _changed(change.email, before.email),
            _changed(change.low_balance_micro_usd, before.low_balance_micro_usd), limits.cost_micro_usd_per_day,
            limits.max_priority, _changed(change.usage_metadata_keys, before.usage_metadata_keys),
        )  # fmt: skip
        is_suspended = state.suspended_at is not None
        will_be = _changed(change.is_suspended, is_suspended)
        if will_be and not is_suspended:
            await _check_not_last_operator(connection, before)
        await _set_running(connection, account_id, limits, was_suspended=is_suspended, is_suspended=will_be)
        for action in _actions(before, state.limits, change, limits, was=is_suspended, will_be=will_be):
            await audit.record(connection, by, action, account_id, account_id=account_id)
        return await get_state(connection, account_id)


async def credit(pool: Pool, account_id: str, micro_usd: int, *, by: Actor = COMMAND_LINE) -> int:
    """Add money to the account's balance; returns the new balance.

    Raises:
        NotFound: there is no such account.
    """
    async with db.transaction(pool) as connection:
        await _lock(connection, account_id)
        balance = await ledger.credit(connection, account_id, micro_usd)
        await audit.record(connection, by, "account.credited", account_id, account_id=account_id)
        return balance


async def set_operator(pool: Pool, account_id: str, *, is_operator: bool, by: Actor = COMMAND_LINE) -> None:
    """Let the account operate the installation, or no longer.

    Raises:
        NotFound: there is no such account.
    """
    async with db.transaction(pool) as connection:
        before = await _lock(connection, account_id)
        await connection.execute(
            "UPDATE accounts SET is_operator = $2 WHERE id = $1", account_id, is_operator
        )
        if before.is_operator != is_operator:
            action: Action = "account.operator_set" if is_operator else "account.operator_unset"
            await audit.record(connection, by, action, account_id, account_id=account_id)


async def _lock(connection: Connection, account_id: str) -> Account:
    if await connection.fetchrow(_LOCK, account_id) is None:
        raise NotFound(f"Account {account_id} does not exist.")
    account = await store.get(connection, account_id)
    assert account is not None
    return account


async def _check_not_last_operator(connection: Connection, account: Account) -> None:
    if not account.is_operator:
        return
    await connection.execute("SELECT pg_advisory_xact_lock($1)", OPERATORS_LOCK)  # two suspend each other
    if not await connection.fetchval(_COUNT_OTHER_OPERATORS, account.id):
        raise Conflict("This is the last account that operates the installation, so it cannot be suspended.")


async def _set_running(
    connection: Connection, account_id: str, limits: AccountLimits, *, was_suspended: bool, is_suspended: bool
) -> None:
    """Store the limits of running and queued tasks; while the account is suspended, none may begin."""
    running = 0 if is_suspended else limits.running_tasks
    await connection.execute(_SET_QUEUE, account_id, running, limits.queued_tasks)
    if is_suspended and not was_suspended:
        await connection.execute(_SUSPEND, account_id, limits.running_tasks)
    elif is_suspended:
        await connection.execute(_SET_ACTIVE_LIMIT, account_id, limits.running_tasks)
    elif was_suspended:
        await connection.execute(_RESUME, account_id)


def _actions(
    before: Account, limits_before: AccountLimits, change: AccountChange, limits: AccountLimits, *,
    was: bool, will_be: bool,
) -> Sequence[Action]:  # fmt: skip
    """What the audit log says of a change. Nothing, if nothing changes."""
    fields = (
        (change.name, before.name),
        (change.email, before.email),
        (change.low_balance_micro_usd, before.low_balance_micro_usd),
        (change.usage_metadata_keys, before.usage_metadata_keys),
    )
    is_changed = limits != limits_before or any(_changed(new, old) != old for new, old in fields)
    actions: list[Action] = ["account.changed"] if is_changed else []
    if was != will_be:
        actions.append("account.suspended" if will_be else "account.resumed")
    return actions


def _changed(new: T | Unset, old: T) -> T:
    return old if isinstance(new, Unset) else new


def _state(row: Record) -> AccountState:
    is_suspended = row["suspended_at"] is not None
    running = row["max_running_when_active"] if is_suspended else row["max_running"]
    return AccountState(
        row["id"], row["name"], row["email"], row["billing_mode"], row["balance_micro_usd"], row["is_operator"],
        row["suspended_at"], row["created_at"],
        AccountLimits(running, row["max_queued"], row["max_cost_micro_usd_per_day"], row["max_priority"]),
        row["running"], row["queued"], row["api_keys"],
    )  # fmt: skip
