"""Creates tasks: checks a dispatch, inserts and enqueues its task, and holds the money for it."""

from agentcontainer import crash, db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.agents import service as agents
from agentcontainer.domain.execution import least_budget
from agentcontainer.domain.execution.service import resolve_for_account
from agentcontainer.domain.files import service as files
from agentcontainer.domain.ledger import service as ledger
from agentcontainer.domain.tasks import event_data, events, queue, repositories, service, store
from agentcontainer.domain.tasks.event_data import draft
from agentcontainer.domain.tasks.model import Dispatch, Mode, NewTask, Task
from agentcontainer.domain.tasks.state import Status
from agentcontainer.settings import Settings

MAX_TITLE_CHARACTERS = 80


async def dispatch(
    pool: Pool, settings: Settings, vault: Vault, account_id: str, agent_id: str, request: Dispatch
) -> Task:
    """Create a task, enqueue it, and hold the money for it.

    Raises:
        NotFound: the account has no such agent.
        Conflict: the agent is archived.
        ValidationError: the version, a file or an override is not valid; names the field.
        InsufficientBalance: the balance is below the hold.
    """
    async with db.transaction(pool) as connection:
        task_id = await create(connection, settings, vault, account_id, agent_id, request, "autonomous")
        task = await service.get(connection, account_id, task_id)
        await hold(connection, settings, account_id, task_id)
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
) -> str:
    """Insert and enqueue a task; returns its id. The caller must call `hold` last. Raises as `dispatch` does."""
    version = await agents.resolve_version(connection, account_id, agent_id, request.version_id)
    execution, price = await resolve_for_account(
        connection, account_id, version.defaults, request.overrides, settings,
        has_key=request.provider_api_key is not None,
    )  # fmt: skip
    least_budget.check(execution, settings, (version.base_prompt, request.instructions, message), price)
    await files.check_inputs(connection, account_id, request.input_file_ids)
    await files.check_inputs(connection, account_id, request.skills, "skills")
    repositories.check(request.input_repositories, settings)
    task_id = await store.reserve_id(connection, account_id)
    key = request.provider_api_key
    task = NewTask(
        id=task_id,
        account_id=account_id,
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
        hold_micro_usd=settings.hold_micro_usd,
        title_source=request.title_source,
        input_repositories=repositories.seal(request.input_repositories, vault, task_id),
        session_ttl_seconds=version.defaults.session_ttl_seconds if mode == "conversation" else None,
    )
    await store.insert(connection, task, request.input_file_ids)
    created = draft(event_data.TaskCreated(Status.PENDING, agent_id, mode))
    await events.append(connection, task_id, [created])
    await queue.enqueue(connection, task_id, 0, execution.runtime_region)
    return task_id


async def hold(connection: Connection, settings: Settings, account_id: str, task_id: str) -> None:
    """Hold a new task's money. Call it last in the transaction: the account's other dispatches wait from here on.

    Raises:
        InsufficientBalance: the balance is below the hold.
    """
    held_micro_usd = await ledger.hold(connection, account_id, settings.hold_micro_usd, task_id)
    if held_micro_usd != settings.hold_micro_usd:
        await store.set_hold(connection, task_id, held_micro_usd)


def title_of(instructions: str) -> str:
    """The first line of the instructions, shortened to a title."""
    line = next((line.strip("# \t") for line in instructions.splitlines() if line.strip("# \t")), "Task")
    return line if len(line) <= MAX_TITLE_CHARACTERS else line[: MAX_TITLE_CHARACTERS - 1].rstrip() + "…"
