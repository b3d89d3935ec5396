"""Creates tasks: checks a dispatch, inserts its task, and holds the money for it."""

from collections.abc import Sequence
from dataclasses import replace

from agentcontainer import crash, db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.accounts import daily_cost, daily_use, restrictions, visible
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.agents.model import Version
from agentcontainer.domain.execution import least_budget
from agentcontainer.domain.execution.service import platform_defaults, provider_of, resolve_with_endpoint
from agentcontainer.domain.files import service as files
from agentcontainer.domain.ledger import service as ledger
from agentcontainer.domain.tasks import insertion, queue, repositories
from agentcontainer.domain.tasks.insertion import Named
from agentcontainer.domain.tasks.model import Dispatch, Mode, NewTask, Task
from agentcontainer.domain.unset import UNSET
from agentcontainer.errors import Conflict, NotFound, ValidationError
from agentcontainer.ids import new_id
from agentcontainer.settings import Settings

MAX_TITLE_CHARACTERS = 80


async def dispatch(
    pool: Pool, settings: Settings, vault: Vault, account_id: str, agent_id: str, request: Dispatch
) -> Task:
    """Create a task, which runners may claim from then on, and hold the money for it.

    Raises:
        NotFound: the account has no such agent.
        Conflict: the agent is archived.
        ValidationError: the version, a file or an override is not valid; names the field.
        Forbidden: an override gives it wider access than the key of the request may give.
        LimitReached: the account has too many pending tasks, or the key has begun too many today.
        CostLimitReached: the account or the key has used as much money as it may today.
        InsufficientBalance: the balance is below the hold.
    """
    async with db.transaction(pool) as connection:
        task = await create(connection, settings, vault, account_id, agent_id, request, "autonomous")
        crash.reach("dispatch")
    crash.reach("dispatched")
    return task


async def create(
    connection: Connection,
    settings: Settings,
    vault: Vault,
    account_id: str,
    agent_id: str,
    request: Dispatch,
    mode: Mode,
    message: str = "",
) -> Task:
    """Insert a task, and hold the money for it: the account's other dispatches wait for this transaction
    from here on. Raises as `dispatch` does."""
    named = await read(connection, settings, account_id, agent_id, request)
    new = prepare(settings, vault, agent_id, named, request, mode, message)
    restrictions.check_account_priority(named.max_priority, request.overrides)
    if named.max_queued is not None:
        await queue.check_room(connection, account_id, 1)
    await daily_use.take(connection, request.caller, 1)
    limit = named.max_cost_micro_usd_per_day
    await daily_cost.check(connection, settings, account_id, request.caller, 1, limit)
    [task] = await insert(connection, settings, account_id, [new])
    return task


async def prepare_all(
    connection: Connection, settings: Settings, vault: Vault, account_id: str, agent_id: str,
    requests: Sequence[Dispatch], batch_id: str,
) -> list[NewTask]:  # fmt: skip
    """Check the dispatches of a batch. What several of them name alike is read once.

    Raises:
        InvalidTask: one is not valid.
        LimitReached: the account may not have as many pending tasks.
        NotFound, Conflict: as `dispatch`.
    """
    file_ids = [file_id for request in requests for file_id in (*request.input_file_ids, *request.skills)]
    read: dict[object, Named] = {}
    tasks = list[NewTask]()
    for index, request in enumerate(requests):
        alike = (request.version_id, request.overrides.provider)
        if alike not in read:
            read[alike] = await _read(connection, settings, account_id, agent_id, request, file_ids)
        try:
            task = prepare(settings, vault, agent_id, read[alike], request, "autonomous", "")
            restrictions.check_account_priority(read[alike].max_priority, request.overrides)
        except ValidationError as fault:
            raise InvalidTask(index, fault) from None
        tasks.append(replace(task, batch_id=batch_id))
    if any(named.max_queued is not None for named in read.values()):
        await queue.check_room(connection, account_id, len(tasks))
    await daily_use.take(connection, requests[0].caller, len(tasks))
    limit = next(iter(read.values())).max_cost_micro_usd_per_day
    await daily_cost.check(connection, settings, account_id, requests[0].caller, len(tasks), limit)
    return tasks


class InvalidTask(Exception):
    """One dispatch of a batch is not valid: which, and why."""

    def __init__(self, index: int, fault: ValidationError) -> None:
        super().__init__(str(fault))
        self.index = index
        self.fault = fault


async def read(
    connection: Connection, settings: Settings, account_id: str, agent_id: str, request: Dispatch
) -> Named:
    """Read what a dispatch names. The files that it names cannot be deleted during this transaction.

    Raises:
        NotFound: the account has no such agent.
    """
    file_ids = [*request.input_file_ids, *request.skills]
    return await _read(connection, settings, account_id, agent_id, request, file_ids)


async def _read(
    connection: Connection, settings: Settings, account_id: str, agent_id: str, request: Dispatch,
    file_ids: Sequence[str],
) -> Named:  # fmt: skip
    provider = request.overrides.provider
    if provider is None:
        provider = platform_defaults(settings).provider
    named = await insertion.read(
        connection,
        account_id,
        agent_id,
        request.version_id,
        None if provider is UNSET else provider,
        file_ids,
    )
    if named is None:
        raise NotFound(f"Agent {agent_id} does not exist.")
    if request.caller is not None and request.caller.agent_ids is not None:
        seen = await visible.visible_files(connection, request.caller, list(named.file_ids))
        return replace(named, file_ids=frozenset(seen))
    return named


def prepare(
    settings: Settings, vault: Vault, agent_id: str, named: Named, request: Dispatch, mode: Mode, message: str
) -> NewTask:
    """Check a dispatch. `named`: what the database has of that which it names. Raises as `dispatch` does."""
    version = _version(agent_id, named, request.version_id)
    restrictions.check_overrides(request.caller, request.overrides, version.defaults)
    provider = provider_of(version.defaults, request.overrides, settings)
    key, task_id = request.provider_api_key, new_id("tsk")
    execution, price = resolve_with_endpoint(
        accounts.checked_endpoint(named.endpoint, provider, "overrides.provider"), version.defaults,
        request.overrides, settings, has_key=key is not None,
    )  # fmt: skip
    least_budget.check(execution, settings, (version.base_prompt, request.instructions, message), price)
    files.check_named(named.file_ids, request.input_file_ids)
    files.check_named(named.file_ids, request.skills, "skills")
    repositories.check(request.input_repositories, settings)
    return NewTask(
        id=task_id,
        agent_id=agent_id,
        agent_version_id=version.id,
        mode=mode,
        title=request.title or title_of(request.instructions),
        instructions=request.instructions,
        metadata=request.metadata,
        overrides=request.overrides,
        execution=execution,
        skills=list(dict.fromkeys([*version.skills, *request.skills])),
        provider_key_ciphertext=vault.seal(key, task_id) if key else None,
        title_source=request.title_source,
        input_file_ids=request.input_file_ids,
        input_repositories=repositories.seal(request.input_repositories, vault, task_id),
        session_ttl_seconds=version.defaults.session_ttl_seconds if mode == "conversation" else None,
        api_key_id=request.api_key_id,
        traceparent=request.traceparent,
    )


def _version(agent_id: str, named: Named, version_id: str | None) -> Version:
    if named.archived_at is not None:
        raise Conflict(f"Agent {agent_id} is archived and takes no new tasks.")
    if named.version is None:
        raise ValidationError.at("versionId", f"agent {agent_id} has no version {version_id}")
    return named.version


async def insert(
    connection: Connection, settings: Settings, account_id: str, tasks: Sequence[NewTask]
) -> list[Task]:
    """Insert tasks, and hold the money for each of them.

    Raises:
        InsufficientBalance: the balance is below their holds; nothing is inserted.
    """
    hold = settings.hold_micro_usd
    inserted = await insertion.insert(connection, account_id, tasks, hold)
    if not inserted:
        await ledger.check_balance(connection, account_id, hold, len(tasks))
        inserted = await insertion.insert(connection, account_id, tasks, hold)  # credit was added meanwhile
    return inserted


def title_of(instructions: str) -> str:
    """The first line of the instructions, shortened to a title."""
    line = next((line.strip("# \t") for line in instructions.splitlines() if line.strip("# \t")), "Task")
    return line if len(line) <= MAX_TITLE_CHARACTERS else line[: MAX_TITLE_CHARACTERS - 1].rstrip() + "…"
