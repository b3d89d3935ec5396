"""What the tasks of an API key and of an account cost today, in UTC, and whether their limits allow more.

The cost is that of `GET /usage`: container time and model requests. A live task counts with what it has used since it
was counted last, and if it was dispatched today, with the hold at least.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agentcontainer.db import Connection
from agentcontainer.domain.accounts.principal import Principal
from agentcontainer.domain.ledger.prices import dollars
from agentcontainer.domain.unset import UNSET, Unset
from agentcontainer.errors import CostLimitReached
from agentcontainer.settings import Settings

_LIMIT = "SELECT max_cost_micro_usd_per_day FROM accounts WHERE id = $1"
# The lock makes the sum exact: who waits for it sees what the other has dispatched.
_LOCK = """
INSERT INTO daily_use AS today (owner_id, day) VALUES ($1, (clock_timestamp() AT TIME ZONE 'UTC')::date)
ON CONFLICT (owner_id, day) DO UPDATE SET tasks = today.tasks
"""
_COST = """
SELECT ends_at, ceil(extract(epoch FROM ends_at - clock_timestamp()))::int AS seconds, coalesce((
    SELECT sum(cost_micro_usd + model_cost_micro_usd) FROM usage
    WHERE account_id = $1 AND usage.day = today.day AND ($2::text IS NULL OR api_key_id = $2)
), 0)::bigint + coalesce((
    SELECT sum(greatest(CASE WHEN created_at >= begins_at THEN $3::bigint ELSE 0 END,
        model_cost_micro_usd - counted_model_cost_micro_usd - counted_cost_micro_usd + (container_micro_seconds
        + coalesce(extract(epoch FROM clock_timestamp() - container_started_at) * 1000000, 0)::bigint) * $4::bigint
        / 60000000))
    FROM tasks WHERE account_id = $1 AND status IN ('pending', 'running', 'awaiting_input', 'hibernating')
        AND deleted_at IS NULL AND ($2::text IS NULL OR api_key_id = $2)
), 0)::bigint AS micro_usd
FROM (SELECT day, day::timestamp AT TIME ZONE 'UTC' AS begins_at, (day + 1)::timestamp AT TIME ZONE 'UTC' AS ends_at
      FROM (SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date AS day) AS now) AS today
"""


@dataclass(frozen=True)
class _Limit:
    """What a key, or the whole account (None), may use on a day."""

    key_id: str | None
    micro_usd: int


async def check(
    connection: Connection,
    settings: Settings,
    account_id: str,
    caller: Principal | None,
    new_tasks: int,
    account_limit: int | Unset | None = UNSET,
) -> None:
    """Check that this many new tasks, or a new turn of a conversation (0), may begin today. What the transaction
    inserts then counts for those that check later. `account_limit`: that of the account, if it was read already.

    Raises:
        CostLimitReached: the account or the caller's key would use more than it may on a day.
    """
    for limit in await _limits(connection, account_id, caller, account_limit):
        await connection.execute(_LOCK, limit.key_id or account_id)
        if (fault := await _fault(connection, settings, account_id, limit, new_tasks)) is not None:
            raise fault


async def fault(
    connection: Connection, settings: Settings, account_id: str, caller: Principal | None, new_tasks: int
) -> CostLimitReached | None:
    """What `check` would raise now."""
    for limit in await _limits(connection, account_id, caller):
        if (fault := await _fault(connection, settings, account_id, limit, new_tasks)) is not None:
            return fault
    return None


async def _limits(
    connection: Connection,
    account_id: str,
    caller: Principal | None,
    account_limit: int | Unset | None = UNSET,
) -> Sequence[_Limit]:
    of_key = None if caller is None or caller.key_id is None else caller.limits.cost_micro_usd_per_day
    of_account: int | None = (
        await connection.fetchval(_LIMIT, account_id) if isinstance(account_limit, Unset) else account_limit
    )
    limits = [] if of_key is None or caller is None else [_Limit(caller.key_id, of_key)]
    return limits if of_account is None else [*limits, _Limit(None, of_account)]


async def _fault(
    connection: Connection, settings: Settings, account_id: str, limit: _Limit, new_tasks: int
) -> CostLimitReached | None:
    rate, hold = settings.container_micro_usd_per_minute, settings.hold_micro_usd
    today = await connection.fetchrow(_COST, account_id, limit.key_id, hold, rate)
    assert today is not None
    needed = new_tasks * hold
    left = limit.micro_usd - today["micro_usd"]
    if left >= needed and (left > 0 or needed > 0):
        return None
    more = f", and this needs {dollars(needed)} more" if needed else ""
    return CostLimitReached(
        f"This {'account' if limit.key_id is None else 'key'} may use {dollars(limit.micro_usd)} a day: "
        f"{dollars(today['micro_usd'])} is used or set aside for its live tasks{more}. "
        f"A new day begins at {today['ends_at']:%Y-%m-%d %H:%M} UTC.",
        today["seconds"],
    )
