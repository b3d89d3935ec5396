"""Writes all that an account has into a tar archive: its rows as lines of JSON, and the bytes of its files.

The archive is a stream. No more than a page of rows and a part of a file are in memory.
"""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.audit import service as audit
from agentcontainer.domain.audit.model import COMMAND_LINE, Actor
from agentcontainer.domain.export import store, tar
from agentcontainer.domain.export.store import ExportedFile, Row, Table
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.errors import NotFound, Unavailable

MEMBER_SIZE = 1024 * 1024  # characters of rows, from which on a member is written


async def begin(pool: Pool, account_id: str, *, by: Actor = COMMAND_LINE) -> datetime:
    """Record that the account's data is exported; returns the time that `archive` needs.

    Raises:
        NotFound: there is no such account.
    """
    async with db.transaction(pool) as connection:
        if (
            await connection.fetchval("SELECT deleted_at IS NULL FROM accounts WHERE id = $1", account_id)
            is not True
        ):
            raise NotFound(f"Account {account_id} does not exist.")
        await audit.record(connection, by, "account.exported", account_id, account_id=account_id)
        return await connection.fetchval("SELECT clock_timestamp()")


async def archive(pool: Pool, blobs: Blobs, account_id: str, began_at: datetime) -> AsyncGenerator[bytes]:
    """The archive, in chunks. Once all have been taken, the account counts as exported at `began_at`.

    Raises:
        NotFound: the account was deleted meanwhile.
        Unavailable: the object store does not answer; the archive is not whole.
    """
    account = await store.read_account(pool, account_id)
    if account is None:
        raise NotFound(f"Account {account_id} does not exist.")
    yield tar.member("account.json", f"{account}\n".encode(), began_at)
    missing: list[str] = []
    for table in store.TABLES:
        async for part in _table(pool, table, account_id, began_at):
            if isinstance(part, bytes):
                yield part
            elif table is store.FILES:
                for file in await store.read_files(pool, [str(row.key) for row in part]):
                    async for chunk in _file(blobs, file, missing):
                        yield chunk
    if missing:  # their blobs are lost, as the doctor reports
        yield tar.member("missing-files.txt", "".join(f"{id_}\n" for id_ in missing).encode(), began_at)
    yield tar.END
    await store.set_exported(pool, account_id, began_at)


async def _table(
    pool: Pool, table: Table, account_id: str, began_at: datetime
) -> AsyncGenerator[bytes | Sequence[Row]]:
    """The members of a table and its parts, and after each member of the table its rows."""
    number = 0
    async for rows in _pages(pool, table, account_id):
        number += 1
        yield _member(f"{table.name}/{number:06}.jsonl", [row.content for row in rows], began_at)
        for part in store.PARTS.get(table.name, ()):
            part_number = 0
            async for lines in _chunks(pool, part, [str(row.key) for row in rows]):
                part_number += 1
                yield _member(f"{part.name}/{number:06}-{part_number:06}.jsonl", lines, began_at)
        yield rows


async def _chunks(pool: Pool, table: Table, owner_ids: Sequence[str]) -> AsyncGenerator[list[str]]:
    """The rows of several owners, in chunks that are worth a member."""
    lines, size = list[str](), 0
    for owner_id in owner_ids:
        async for rows in _pages(pool, table, owner_id):
            lines += [row.content for row in rows]
            size += sum(len(row.content) for row in rows)
            if size > MEMBER_SIZE:
                yield lines
                lines, size = [], 0
    if lines:
        yield lines


async def _pages(pool: Pool, table: Table, owner_id: str) -> AsyncGenerator[Sequence[Row]]:
    after: Row | None = None
    while True:
        page = await store.read_page(pool, table, owner_id, after)
        if page.rows:
            yield page.rows
            after = page.rows[-1]
        if not page.has_more:
            return


def _member(name: str, lines: Sequence[str], began_at: datetime) -> bytes:
    return tar.member(name, "".join(f"{line}\n" for line in lines).encode(), began_at)


async def _file(blobs: Blobs, file: ExportedFile, missing: list[str]) -> AsyncGenerator[bytes]:
    """The member of a file. Nothing if the object store does not have it; its id is added to `missing`."""
    chunks, sent = blobs.stream(file.blob_key), 0
    try:
        first = await anext(chunks, b"")
    except NotFound:
        missing.append(file.id)
        return
    yield tar.header(f"files/{file.id}/{file.filename}", file.size_bytes, file.created_at)
    chunk: bytes | None = first
    while chunk is not None:
        sent += len(chunk)
        if sent > file.size_bytes:
            break
        yield chunk
        chunk = await anext(chunks, None)
    if sent != file.size_bytes:
        raise Unavailable(f"The object store has another size of file {file.id} than was stored.")
    yield tar.padding(sent)
