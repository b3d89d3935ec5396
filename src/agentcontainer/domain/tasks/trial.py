"""Tries a dispatch without creating anything: what the task would run with, what is held for it, what is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from agentcontainer import db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.accounts import daily_cost
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.execution.model import AgentDefaults, Execution, Overrides
from agentcontainer.domain.execution.service import platform_defaults
from agentcontainer.domain.ledger.prices import dollars
from agentcontainer.domain.tasks import creation, queue
from agentcontainer.domain.tasks.insertion import Named
from agentcontainer.domain.tasks.model import Dispatch
from agentcontainer.domain.unset import UNSET
from agentcontainer.errors import AgentContainerError, ValidationError
from agentcontainer.settings import Settings

Origin = Literal["platform", "version", "task"]


@dataclass(frozen=True)
class Problem:
    """Why the dispatch would be refused. `path`: the field of the request; None: it is about no field."""

    code: str
    path: str | None
    message: str


@dataclass(frozen=True)
class Trial:
    """What a dispatch would do. `execution` None: it cannot be told, for a reason that `problems` has. `origins`: which
    layer decided each of its fields, and `priority`."""

    agent_version_id: str | None
    execution: Execution | None
    priority: int
    origins: Mapping[str, Origin]
    hold_micro_usd: int
    balance_after_micro_usd: int
    problems: Sequence[Problem]


async def try_dispatch(
    pool: Pool, settings: Settings, vault: Vault, account_id: str, agent_id: str, request: Dispatch
) -> Trial:
    """What `creation.dispatch` would do with this request now.

    Raises:
        NotFound: the account has no such agent.
    """
    async with db.transaction(pool) as connection:
        named = await creation.read(connection, settings, account_id, agent_id, request)
        account = await accounts.get(connection, account_id)
        full = await _queue_fault(connection, account_id, named)
        cost = await daily_cost.fault(connection, settings, account_id, request.caller, 1)
    problems = list[Problem]()
    execution = None
    try:
        execution = creation.prepare(settings, vault, agent_id, named, request, "autonomous", "").execution
    except AgentContainerError as fault:
        problems += _problems_of(fault)
    hold = 0 if account.billing_mode == "unlimited_grant" else settings.hold_micro_usd
    for limit in (full, cost):
        if limit is not None:
            problems += _problems_of(limit)
    if hold > account.balance_micro_usd:
        message = (
            f"The balance is {dollars(account.balance_micro_usd)}; a task needs {dollars(hold)}. Add credit."
        )
        problems.append(Problem("insufficient_balance", None, message))
    version = named.version
    return Trial(
        version.id if version else None,
        execution,
        request.overrides.effective_priority,
        _origins(settings, version.defaults, request.overrides, execution) if version and execution else {},
        hold,
        account.balance_micro_usd - hold,
        problems,
    )


async def _queue_fault(connection: Connection, account_id: str, named: Named) -> AgentContainerError | None:
    if named.max_queued is None:
        return None
    return await queue.room_fault(connection, account_id, 1)


def _problems_of(fault: AgentContainerError) -> list[Problem]:
    if isinstance(fault, ValidationError) and fault.details:
        return [Problem(fault.code, detail.path, detail.message) for detail in fault.details]
    return [Problem(fault.code, None, str(fault))]


def _origins(
    settings: Settings, defaults: AgentDefaults, overrides: Overrides, execution: Execution
) -> dict[str, Origin]:
    """Where each value comes from. A version stores all its defaults, so one that equals the platform's is said to
    come from there. A value that is inherited but had to be replaced comes from the task's settings, if it has any."""
    platform = platform_defaults(settings)
    can_replace = overrides.provider is not UNSET or overrides.max_runtime_seconds is not UNSET
    origins: dict[str, Origin] = {"priority": "platform" if overrides.priority is UNSET else "task"}
    for name in [field.name for field in fields(execution)]:
        value, inherited = getattr(execution, name), getattr(defaults, name, None)
        if getattr(overrides, name) is not UNSET or (can_replace and value != inherited):
            origins[name] = "task"
        elif value != inherited or value == getattr(platform, name, None):
            origins[name] = "platform"
        else:
            origins[name] = "version"
    return origins
