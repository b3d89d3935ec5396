"""Reads, checks and deletes files, and decides which file names are valid."""

import logging
from collections.abc import Sequence, Set

from agentcontainer import db
from agentcontainer.db import Connection, Pool
from agentcontainer.domain.files import store
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.files.cleanup import delete_unowned
from agentcontainer.domain.files.model import File
from agentcontainer.domain.files.use import find_use
from agentcontainer.errors import Conflict, NotFound, Unavailable, ValidationError

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


async def delete(pool: Pool, blobs: Blobs, account_id: str, file_id: str) -> None:
    """Delete a file and its bytes.

    Raises:
        NotFound: it does not exist, is deleted, or is another account's.
        Conflict: a live task or an agent version uses it.
    """
    async with db.transaction(pool) as connection:
        # A transaction that is about to use the file has locked its row (`check_inputs`), so that either the check
        # for users sees its task, or it sees that the file is deleted.
        file = await store.lock(connection, account_id, file_id)
        if file is None:
            raise _not_found(file_id)
        use = await find_use(connection, account_id, [file_id])
        if use is not None:
            raise Conflict(f"File {file_id} is used by {use.user}.")
        await store.set_deleted(connection, [file_id])
    try:
        await delete_unowned(pool, blobs, [file.blob_key])
    except Unavailable:
        logger.warning("the bytes of %s will be removed by the clean-up", file_id)


async def check_inputs(
    connection: Connection, account_id: str, file_ids: Sequence[str], field: str = "inputFileIds"
) -> None:
    """Check the files that a client named in `field`, and keep them from being deleted during this transaction.

    Raises:
        ValidationError: one is named twice, does not exist, or is another account's.
    """
    if not file_ids:
        return
    check_named(await store.lock_for_use(connection, account_id, file_ids), file_ids, field)


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
