"""SQL on `files`, and on what names files: inputs, messages, versions and skills."""

from collections.abc import Sequence
from datetime import timedelta

from agentcontainer import db
from agentcontainer.db import Connection, Page, Pool, Record
from agentcontainer.domain.files import unowned
from agentcontainer.domain.files.model import File, NewFile, PreviewedFile

_GET = "SELECT * FROM files WHERE id = $1 AND account_id = $2 AND deleted_at IS NULL"
_FOR_PREVIEW = """
SELECT f.*, a.suspended_at IS NOT NULL AS is_account_suspended, now() AS read_at
FROM files f JOIN accounts a ON a.id = f.account_id WHERE f.id = $1
"""
_PAGE = "SELECT * FROM files WHERE account_id = $1 AND deleted_at IS NULL"
_LOCK_OUTPUTS = "SELECT id FROM files WHERE task_id = $1 AND deleted_at IS NULL FOR UPDATE"
# A deleted file that a task or message names keeps its row until they are deleted too.
_REMOVE_UNREFERENCED = """
DELETE FROM files f WHERE id = ANY($1::text[]) AND deleted_at IS NOT NULL
    AND NOT EXISTS (SELECT FROM task_input_files i WHERE i.file_id = f.id)
    AND NOT EXISTS (SELECT FROM message_files i WHERE i.file_id = f.id)
RETURNING blob_key
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
_LOCK_FOR_USE = """
SELECT id FROM files WHERE account_id = $1 AND id = ANY($2::text[]) AND deleted_at IS NULL FOR SHARE
"""
_INSERT = """
INSERT INTO files (id, account_id, filename, content_type, size_bytes, sha256, blob_key, api_key_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *
"""


async def insert(connection: Connection, file: NewFile) -> File:
    """Insert an uploaded file, whose blob is stored already."""
    row = await connection.fetchrow(
        _INSERT, file.id, file.account_id, file.filename, file.content_type, file.size_bytes, file.sha256,
        file.blob_key, file.api_key_id,
    )  # fmt: skip
    assert row is not None
    return _file(row)


async def get(connection: Connection | Pool, account_id: str, file_id: str) -> File | None:
    """A file of the account. None: it does not exist, or is deleted."""
    row = await connection.fetchrow(_GET, file_id, account_id)
    return _file(row) if row else None


async def find_for_preview(pool: Pool, file_id: str) -> PreviewedFile | None:
    """A file of any account, for a link whose signature is still to be checked. None: it never existed."""
    row = await pool.fetchrow(_FOR_PREVIEW, file_id)
    if row is None:
        return None
    file = _file(row) if row["deleted_at"] is None else None
    return PreviewedFile(row["account_id"], row["is_account_suspended"], file, row["read_at"])


async def lock(connection: Connection, account_id: str, file_id: str) -> File | None:
    """`get`, with the row locked until the transaction ends."""
    row = await connection.fetchrow(f"{_GET} FOR UPDATE", file_id, account_id)
    return _file(row) if row else None


async def list_page(
    pool: Pool,
    account_id: str,
    *,
    task_id: str | None,
    after_id: str | None,
    limit: int,
    is_descending: bool,
) -> Page[File]:
    """The account's files by id, from `after_id` on. With `task_id`: the outputs of that task only."""
    sign, direction = ("<", "DESC") if is_descending else (">", "ASC")
    query, arguments = _PAGE, [account_id]
    for condition, value in (("task_id =", task_id), (f"id {sign}", after_id)):
        if value is not None:
            arguments.append(value)
            query += f" AND {condition} ${len(arguments)}"
    return await db.fetch_page(pool, query, *arguments, order=f"id {direction}", limit=limit, of=_file)


async def lock_outputs(connection: Connection, task_id: str) -> list[str]:
    """Ids of the task's output files, their rows locked until the transaction ends."""
    return [row["id"] for row in await connection.fetch(_LOCK_OUTPUTS, task_id)]


async def set_deleted(connection: Connection, file_ids: Sequence[str]) -> None:
    """Delete files: nobody sees them any more, except in the messages that came with them."""
    query = "UPDATE files SET deleted_at = now() WHERE id = ANY($1::text[]) RETURNING blob_key"
    keys = [row["blob_key"] for row in await connection.fetch(query, list(file_ids))]
    await unowned.insert(connection, keys, timedelta(0))
    await connection.execute("DELETE FROM uploads WHERE file_id = ANY($1::text[])", list(file_ids))
    await remove_unreferenced(connection, file_ids)


async def remove_unreferenced(connection: Connection, file_ids: Sequence[str]) -> None:
    """Remove the rows of those of these files that are deleted and that no task or message names."""
    rows = await connection.fetch(_REMOVE_UNREFERENCED, list(file_ids)) if file_ids else []
    await unowned.insert(connection, [row["blob_key"] for row in rows], timedelta(0))


async def remove_with_references(connection: Connection, file_ids: Sequence[str]) -> list[str]:
    """Remove the rows of files and those that name them; returns the keys of their blobs."""
    for table in ("task_input_files", "message_files", "uploads"):
        await connection.execute(f"DELETE FROM {table} WHERE file_id = ANY($1::text[])", list(file_ids))  # noqa: S608
    query = "DELETE FROM files WHERE id = ANY($1::text[]) RETURNING blob_key"
    return [row["blob_key"] for row in await connection.fetch(query, list(file_ids))]


async def lock_for_use(connection: Connection, account_id: str, file_ids: Sequence[str]) -> set[str]:
    """Keep these files from being deleted until the transaction ends; returns the ids of those that exist."""
    return {row["id"] for row in await connection.fetch(_LOCK_FOR_USE, account_id, list(file_ids))}


async def list_inputs(pool: Pool, task_id: str) -> list[File]:
    """A task's input files, in the order in which they were named."""
    return [_file(row) for row in await pool.fetch(_INPUTS, task_id)]


async def list_input_ids(pool: Pool, task_id: str) -> list[str]:
    """The ids of a task's input files, also of deleted ones, in the order in which they were named."""
    query = "SELECT file_id FROM task_input_files WHERE task_id = $1 ORDER BY position"
    return [row["file_id"] for row in await pool.fetch(query, task_id)]


async def list_of_message(pool: Pool, message_id: str) -> list[File]:
    """The files that came with a message, in the order in which they were named."""
    return [_file(row) for row in await pool.fetch(_OF_MESSAGE, message_id)]


async def list_references(pool: Pool, version_id: str) -> list[File]:
    """An agent version's reference files, in the order in which they were named."""
    return [_file(row) for row in await pool.fetch(_REFERENCES, version_id)]


async def list_skills(pool: Pool, task_id: str) -> list[File]:
    """The archives of a task's skills, those of its agent's version first."""
    return [_file(row) for row in await pool.fetch(_SKILLS, task_id)]


def _file(row: Record) -> File:
    return File(**{name: row[name] for name in File.__dataclass_fields__})
