"""Creates, changes, archives and reads agents and their versions.

Each function is one transaction.

An account can change its own agents and read the standard ones. A version never changes, since tasks refer to it.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import asyncpg

from agentcontainer import db
from agentcontainer.db import Connection, Page, Pool
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.agents import store
from agentcontainer.domain.agents.model import Agent, Change, Content, NewAgent, Version
from agentcontainer.domain.execution.model import DefaultsChange
from agentcontainer.domain.execution.service import change_defaults, platform_defaults
from agentcontainer.domain.files import service as files
from agentcontainer.domain.unset import UNSET
from agentcontainer.errors import Conflict, Forbidden, NotFound
from agentcontainer.ids import new_id
from agentcontainer.settings import Settings

_NAME_CONSTRAINT = "agents_name"


async def get(connection: Connection | Pool, account_id: str, agent_id: str) -> Agent:
    """An agent of the account, or a standard one.

    Raises:
        NotFound: it does not exist, or is another account's.
    """
    agent = await store.get(connection, account_id, agent_id)
    if agent is None:
        raise NotFound(f"Agent {agent_id} does not exist.")
    return agent


async def list_page(
    pool: Pool,
    account_id: str,
    *,
    agent_ids: Sequence[str] | None = None,
    after_id: str | None,
    limit: int,
    is_descending: bool,
) -> Page[Agent]:
    """The account's agents and the standard ones, by id from `after_id` on. `agent_ids`: only these."""
    return await store.list_page(
        pool, account_id, agent_ids=agent_ids, after_id=after_id, limit=limit, is_descending=is_descending
    )


async def create(pool: Pool, settings: Settings, account_id: str, name: str, change: Change) -> Agent:
    """Create an agent with its version 1.

    Raises:
        Conflict: the account has an agent of this name.
        ValidationError: a default or a file is not valid; names the field.
    """
    agent_id, version_id = new_id("agt"), new_id("agv")
    content = _content(Content(None, "", platform_defaults(settings), [], []), change, settings)
    agent = NewAgent(agent_id, account_id, name, change.description or "", version_id)
    with _name_must_be_free():
        async with db.transaction(pool) as connection:
            await _check_files(connection, account_id, change)
            await accounts.own_endpoint(
                connection, account_id, content.defaults.provider, "defaults.provider"
            )
            await store.insert(connection, agent)
            await store.insert_version(connection, version_id, agent_id, content)
            return await get(connection, account_id, agent_id)


async def change(
    pool: Pool, settings: Settings, account_id: str, agent_id: str, change: Change,
    if_version_id: str | None = None,
) -> Agent:  # fmt: skip
    """Change the agent: name and description in place, anything else by a new version, which becomes current.

    `if_version_id`: change nothing unless this version is current.

    Raises:
        NotFound: no such agent.
        Forbidden: it is a standard agent.
        Conflict: the name is taken, or another version is current.
        ValidationError: a default or a file is not valid; names the field.
    """
    with _name_must_be_free():
        async with db.transaction(pool) as connection:
            version = (await _lock(connection, account_id, agent_id)).current_version
            if if_version_id not in (None, version.id):
                raise Conflict(
                    f"The current version of {agent_id} is {version.id} now, not {if_version_id}. Read the agent again."
                )
            before = Content(
                version.container_image, version.base_prompt, version.defaults,
                version.reference_file_ids, version.skills,
            )  # fmt: skip
            content = _content(before, change, settings)
            if content != before:
                await _check_files(connection, account_id, change)
                if content.defaults.provider != before.defaults.provider:
                    await accounts.own_endpoint(
                        connection, account_id, content.defaults.provider, "defaults.provider"
                    )
                version_id = new_id("agv")
                await store.insert_version(connection, version_id, agent_id, content)
                await store.set_current(connection, agent_id, version_id)
            await store.describe(connection, agent_id, change.name, change.description)
            return await get(connection, account_id, agent_id)


async def archive(pool: Pool, account_id: str, agent_id: str) -> Agent:
    """Archive the agent: it takes no new tasks, and its name is free for another. An archived one stays as it is.

    Raises:
        NotFound: no such agent.
        Forbidden: it is a standard agent.
    """
    async with db.transaction(pool) as connection:
        agent = await _lock(connection, account_id, agent_id)
        await store.set_archived(connection, agent_id, agent.archived_at or datetime.now(UTC))
        return await get(connection, account_id, agent_id)


async def unarchive(pool: Pool, account_id: str, agent_id: str) -> Agent:
    """Let an archived agent take new tasks again.

    Raises:
        NotFound: no such agent.
        Forbidden: it is a standard agent.
        Conflict: another agent has its name now.
    """
    with _name_must_be_free():
        async with db.transaction(pool) as connection:
            await _lock(connection, account_id, agent_id)
            await store.set_archived(connection, agent_id, None)
            return await get(connection, account_id, agent_id)


async def activate(pool: Pool, account_id: str, agent_id: str, version_id: str) -> Agent:
    """Make one of the agent's versions current.

    Raises:
        NotFound: no such agent or version.
        Forbidden: it is a standard agent.
    """
    async with db.transaction(pool) as connection:
        await _lock(connection, account_id, agent_id)
        await _version(connection, agent_id, version_id)
        await store.set_current(connection, agent_id, version_id)
        return await get(connection, account_id, agent_id)


async def get_version(pool: Connection | Pool, account_id: str, agent_id: str, version_id: str) -> Version:
    """A version of the agent.

    Raises:
        NotFound: no such agent or version.
    """
    await get(pool, account_id, agent_id)
    return await _version(pool, agent_id, version_id)


async def list_versions(
    pool: Pool, account_id: str, agent_id: str, *, after_number: int | None, limit: int, is_descending: bool
) -> Page[Version]:
    """The agent's versions by number, from `after_number` on.

    Raises:
        NotFound: no such agent.
    """
    await get(pool, account_id, agent_id)
    return await store.list_versions(
        pool, agent_id, after_number=after_number, limit=limit, is_descending=is_descending
    )


async def _lock(connection: Connection, account_id: str, agent_id: str) -> Agent:
    is_own = await store.lock(connection, account_id, agent_id)
    agent = await get(connection, account_id, agent_id)
    if not is_own:
        raise Forbidden(f"Agent {agent_id} is a standard agent: you can use it, but not change it.")
    return agent


async def _version(connection: Connection | Pool, agent_id: str, version_id: str) -> Version:
    version = await store.get_version(connection, agent_id, version_id)
    if version is None:
        raise NotFound(f"Agent {agent_id} has no version {version_id}.")
    return version


def _content(before: Content, change: Change, settings: Settings) -> Content:
    """The content of the next version: the last one's with `change` applied."""
    has_new_defaults = change.defaults != DefaultsChange()
    return Content(
        container_image=before.container_image if change.container_image is UNSET else change.container_image,
        base_prompt=before.base_prompt if change.base_prompt is None else change.base_prompt,
        defaults=(
            change_defaults(before.defaults, change.defaults, settings)
            if has_new_defaults
            else before.defaults
        ),
        reference_file_ids=(
            before.reference_file_ids if change.reference_file_ids is None else change.reference_file_ids
        ),
        skills=before.skills if change.skills is None else change.skills,
    )


async def _check_files(connection: Connection, account_id: str, change: Change) -> None:
    """Check the files that the change names. Those of the last version exist: a file in use cannot be deleted."""
    await files.check_inputs(connection, account_id, change.reference_file_ids or (), "referenceFileIds")
    await files.check_inputs(connection, account_id, change.skills or (), "skills")


@contextmanager
def _name_must_be_free() -> Generator[None]:
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != _NAME_CONSTRAINT:
            raise
        raise Conflict("Another agent of this account has this name; archive or rename that one.") from None
