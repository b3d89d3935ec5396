"""Reads, lists, checks and deletes files: those that clients upload and those that agents produce."""

import logging
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from agentcontainer import db
from agentcontainer.db import Connection, Page, Pool, Record
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.errors import Conflict, NotFound, Unavailable, ValidationError

logger = logging.getLogger(__name__)

MAX_FILENAME_BYTES = 255

_GET = "SELECT * FROM files WHERE id = $1 AND account_id = $2 AND deleted_at IS NULL"
_PAGE = """
SELECT * FROM files WHERE account_id = $1 AND deleted_at IS NULL AND ($2::text IS NULL OR task_id = $2)
    AND ($3::text IS NULL OR CASE WHEN $4 THEN id < $3 ELSE id > $3 END)
"""
_USER = """
SELECT 'task ' || t.id || ', which has not ended' FROM tasks t
WHERE t.account_id = $1 AND t.status IN ('pending', 'running', 'awaiting_input', 'hibernating')
    AND (t.id = $3 OR t.skills @> $4
         OR EXISTS (SELECT FROM task_input_files i WHERE i.task_id = t.id AND i.file_id = $2)
         OR EXISTS (SELECT FROM messages m JOIN message_files i ON i.message_id = m.id
                    WHERE m.task_id = t.id AND i.file_id = $2))
UNION ALL
SELECT 'agent ' || v.agent_id || ', version ' || v.number FROM agents a JOIN agent_versions v ON v.agent_id = a.id
WHERE a.account_id = $1 AND (v.reference_file_ids @> ARRAY[$2::text] OR v.skills @> $4)
LIMIT 1
"""
_INPUTS = """
SELECT f.* FROM task_input_files i JOIN files f ON f.id = i.file_id WHERE i.task_id = $1 ORDER BY i.position
"""
_OF_MESSAGE = """
SELECT f.* FROM message_files i JOIN files f ON f.id = i.file_id WHERE i.message_id = $1 ORDER BY i.position
"""
_REFERENCES = """
SELECT f.* FROM agent_versions v CROSS JOIN unnest(v.reference_file_ids) WITH ORDINALITY AS r (id, position)
JOIN files f ON f.id = r.id WHERE v.id = $1 ORDER BY r.position
"""
_SKILLS = """
SELECT f.* FROM tasks t CROSS JOIN jsonb_array_elements_text(t.skills) WITH ORDINALITY AS s (id, position)
JOIN files f ON f.id = s.id AND f.deleted_at IS NULL WHERE t.id = $1 ORDER BY s.position
"""
_KNOWN = """
SELECT id FROM files WHERE account_id = $1 AND id = ANY($2::text[]) AND deleted_at IS NULL FOR SHARE
"""


@dataclass(frozen=True)
class File:
    """A stored file. `task_id` is set on an output."""

    id: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    blob_key: str
    task_id: str | None
    output_name: str | None
    is_partial: bool
    created_at: datetime

    @classmethod
    def of(cls, row: Record) -> "File":
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


def filename_fault(name: str) -> str | None:
    """What is wrong with a file name from a client or an agent; None: it is a plain name without a path."""
    if not name or name in (".", ".."):
        return "must be a file name"
    if "/" in name or "\\" in name:
        return "must be a name, not a path: no / or \\"
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        return "must not hold control characters"
    if len(name.encode()) > MAX_FILENAME_BYTES:
        return f"must be at most {MAX_FILENAME_BYTES} bytes"
    return None


async def get(connection: Connection | Pool, account_id: str, file_id: str) -> File:
    """A file of the account.

    Raises:
        NotFound: it does not exist, is deleted, or is another account's.
    """
    row = await connection.fetchrow(_GET, file_id, account_id)
    if row is None:
        raise NotFound(f"File {file_id} does not exist.")
    return File.of(row)


async def list_page(
    pool: Pool,
    account_id: str,
    *,
    task_id: str | None,
    after_id: str | None,
    limit: int,
    is_descending: bool,
) -> Page[File]:
    """The account's files by id, from `after_id` on; with `task_id` that task's outputs only."""
    order = f"id {'DESC' if is_descending else 'ASC'}"
    return await db.fetch_page(
        pool, _PAGE, account_id, task_id, after_id, is_descending, order=order, limit=limit, of=File.of
    )


async def delete(pool: Pool, blobs: Blobs, account_id: str, file_id: str) -> None:
    """Delete a file and its bytes.

    Raises:
        NotFound: it does not exist, is deleted, or is another account's.
        Conflict: a live task or an agent version uses it.
    """
    async with db.transaction(pool) as connection:
        # `check_inputs` locks the same row, so either `_USER` finds the new user of the file, or that one finds the
        # file deleted.
        row = await connection.fetchrow(f"{_GET} FOR UPDATE", file_id, account_id)
        if row is None:
            raise NotFound(f"File {file_id} does not exist.")
        user = await connection.fetchval(_USER, account_id, file_id, row["task_id"], [file_id])
        if user is not None:
            raise Conflict(f"File {file_id} is used by {user}.")
        await connection.execute("UPDATE files SET deleted_at = now() WHERE id = $1", file_id)
    try:
        await blobs.delete(row["blob_key"])
    except Unavailable:
        logger.warning("the bytes of %s will be removed by the clean-up", file_id)


async def list_inputs(pool: Pool, task_id: str) -> list[File]:
    """A task's input files, in the order they were named."""
    return [File.of(row) for row in await pool.fetch(_INPUTS, task_id)]


async def list_of_message(pool: Pool, message_id: str) -> list[File]:
    """The files that came with a message, in the order they were named."""
    return [File.of(row) for row in await pool.fetch(_OF_MESSAGE, message_id)]


async def list_references(pool: Pool, version_id: str) -> list[File]:
    """An agent version's reference files, in the order they were named."""
    return [File.of(row) for row in await pool.fetch(_REFERENCES, version_id)]


async def list_skills(pool: Pool, task_id: str) -> list[File]:
    """The archives of a task's skills, those of its agent's version first."""
    return [File.of(row) for row in await pool.fetch(_SKILLS, task_id)]


async def check_inputs(
    connection: Connection, account_id: str, file_ids: Sequence[str], field: str = "inputFileIds"
) -> None:
    """Check the files that the client named in `field`. They cannot be deleted until this transaction ends.

    Raises:
        ValidationError: one is named twice, does not exist, or is another account's.
    """
    if not file_ids:
        return
    known = {row["id"] for row in await connection.fetch(_KNOWN, account_id, list(file_ids))}
    for position, file_id in enumerate(file_ids):
        if file_id not in known:
            raise ValidationError.at(f"{field}.{position}", f"file {file_id} does not exist")
        if file_id in file_ids[:position]:
            raise ValidationError.at(f"{field}.{position}", f"file {file_id} is named twice")
