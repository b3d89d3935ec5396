"""Reads, checks and deletes files, and decides which file names are valid."""

import logging
from collections.abc import Sequence, Set

from agentcontainer import db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.accounts import visible
from agentcontainer.domain.accounts.principal import Principal
from agentcontainer.domain.audit import service as audit
from agentcontainer.domain.audit.model import COMMAND_LINE, Actor
from agentcontainer.domain.files import store
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.files.cleanup import delete_unowned
from agentcontainer.domain.files.model import File
from agentcontainer.domain.files.use import find_use
from agentcontainer.errors import Conflict, Forbidden, NotFound, Unavailable, ValidationError

logger = logging.getLogger(__name__)


async def get(connection: Connection | Pool, account_id: str, file_id: str) -> File:
    """A file of the account.

    Raises:
        NotFound: it does not exist, is deleted, or is another account's.
    """
    file = await store.get(connection, account_id, file_id)
    if file is None:
        raise _not_found(file_id)
    return file


async def delete(
    pool: Pool,
    blobs: Blobs,
    account_id: str,
    file_id: str,
    *,
    caller: Principal | None = None,
    by: Actor = COMMAND_LINE,
) -> None:
    """Delete a file and its bytes. A caller who is bound to agents deletes what it uploaded, and what their tasks made.

    Raises:
        NotFound: it does not exist, is deleted, or is another account's.
        Forbidden: it was neither uploaded by the caller's key nor made by its agents.
        Conflict: a live task or an agent version uses it.
    """
    async with db.transaction(pool) as connection:
        # A transaction that is about to use the file has locked its row (`check_inputs`), so that either the check
        # for users sees its task, or it sees that the file is deleted.
        file = await store.lock(connection, account_id, file_id)
        if file is None:
            raise _not_found(file_id)
        bound = caller if caller is not None and caller.agent_ids is not None else None
        if bound is not None and not await _is_own(connection, bound, file):
            raise Forbidden(
                "A key that is bound to agents can delete only what it uploaded itself, and what their tasks made."
            )
        use = await find_use(connection, account_id, [file_id])
        if use is not None:  # a caller who is bound to agents does not learn of tasks of others
            raise Conflict(f"File {file_id} is used{'' if bound else f' by {use.user}'}.")
        await store.set_deleted(connection, [file_id])
        await audit.record(connection, by, "file.deleted", file_id, account_id=account_id)
    try:
        await delete_unowned(pool, blobs, [file.blob_key])
    except Unavailable:
        logger.warning("the bytes of %s will be removed by the clean-up", file_id)


async def _is_own(connection: Connection, caller: Principal, file: File) -> bool:
    """Whether the caller's key uploaded the file, or a task of the caller's agents made it."""
    if file.task_id is None:
        return file.api_key_id is not None and file.api_key_id == caller.key_id
    return bool(await visible.visible_tasks(connection, caller, [file.task_id]))


async def check_inputs(
    connection: Connection,
    account_id: str,
    file_ids: Sequence[str],
    field: str = "inputFileIds",
    caller: Principal | None = None,
) -> None:
    """Check the files that a client named in `field`, and keep them from being deleted during this transaction.

    Raises:
        ValidationError: one is named twice, or does not exist for the caller.
    """
    if not file_ids:
        return
    existing = await store.lock_for_use(connection, account_id, file_ids)
    if caller is not None and caller.agent_ids is not None:
        existing = await visible.visible_files(connection, caller, list(existing))
    check_named(existing, file_ids, field)


def check_named(existing: Set[str], file_ids: Sequence[str], field: str = "inputFileIds") -> None:
    """Check the files that a client named in `field` against those that exist.

    Raises:
        ValidationError: one is named twice, or does not exist.
    """
    for position, file_id in enumerate(file_ids):
        if file_id not in existing:
            raise ValidationError.at(f"{field}.{position}", f"file {file_id} does not exist")
        if file_id in file_ids[:position]:
            raise ValidationError.at(f"{field}.{position}", f"file {file_id} is named twice")


def _not_found(file_id: str) -> NotFound:
    return NotFound(f"File {file_id} does not exist.")
