"""The cleanup of the object store removes unreachable blobs only."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentcontainer import settings
from agentcontainer.db import Pool
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files import service, store
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.files.cleanup import clean_up, orphans
from agentcontainer.domain.files.installation import INSTALLATION_ID_KEY, has_our_installation_id
from agentcontainer.domain.files.recorded import RecordedBlobs
from agentcontainer.domain.uploads import service as uploads
from agentcontainer.ids import new_id
from agentcontainer.settings import Settings

VAULT = Vault("k" * 32)
# Stores bytes, then dies before their row is written.
CRASH = """
import asyncio, os, signal, sys
from agentcontainer import db
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.files.recorded import RecordedBlobs

async def chunks():
    for _ in range(int(sys.argv[3])):
        yield bytes(1024 * 1024)
    if sys.argv[4] == "within":
        await asyncio.sleep(0.3)
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with db.pool(sys.argv[5]) as pool:
        await RecordedBlobs(pool, Blobs(sys.argv[1])).put(sys.argv[2], chunks(), 10**9)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def blobs(folder: Path) -> Blobs:
    return Blobs(f"file://{folder}")


@pytest.fixture
def configured(tmp_path: Path, folder: Path) -> Settings:
    return settings.load(
        data_dir=Path("/tmp"), storage_url=f"file://{folder}", public_url="http://x", secret_key="k" * 32
    )


@pytest.fixture
async def account_id(pool: Pool) -> str:
    return (await accounts.create_account(pool, name="Test"))[0]


def remaining(folder: Path) -> set[str]:
    """The blobs in the store, except its installation id."""
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return files - {INSTALLATION_ID_KEY}


async def make_due(pool: Pool) -> None:
    """Let the time pass after which a blob without a row is removed."""
    await pool.execute("UPDATE unowned_blobs SET due_at = now() - interval '1 second'")


async def put(pool: Pool, blobs: Blobs, key: str) -> None:
    await RecordedBlobs(pool, blobs).put(key, chunks(), 1)


async def chunks(content: bytes = b"x") -> AsyncIterator[bytes]:
    yield content


async def upload(
    pool: Pool, configured: Settings, blobs: Blobs, account_id: str, *, is_completed: bool
) -> str:
    """Create an upload whose bytes have arrived; returns its id."""
    prepared = await uploads.prepare(pool, configured, VAULT, blobs, account_id, "a.txt", "text/plain", None)
    query = dict(part.split("=") for part in prepared.url.partition("?")[2].split("&"))
    request = uploads.SignedRequest(method="PUT", content_type="text/plain", content_length=None, **query)
    await uploads.receive(pool, configured, VAULT, blobs, prepared.id, request, chunks())
    if is_completed:
        await uploads.complete(pool, configured, blobs, account_id, prepared.id, None)
    return prepared.id


async def crash(folder: Path, database_url: str, key: str, when: str, megabytes: int = 1) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CRASH, f"file://{folder}", key, str(megabytes), when, database_url
    )
    assert await process.wait() == -signal.SIGKILL


async def test_a_blob_without_a_row_is_removed(
    pool: Pool, folder: Path, blobs: Blobs, database_url: str
) -> None:
    await crash(folder, database_url, "uploads/upl_1/a", "after")
    await crash(folder, database_url, "outputs/tsk_1/file_1", "after")
    assert len(remaining(folder)) == 2
    assert await clean_up(pool, blobs) == 0  # its row may still be inserted
    assert len(remaining(folder)) == 2
    await make_due(pool)
    assert await clean_up(pool, blobs) == 2
    assert remaining(folder) == set()
    assert await pool.fetchval("SELECT count(*) FROM unowned_blobs") == 0


async def test_a_crash_within_a_write(pool: Pool, folder: Path, blobs: Blobs, database_url: str) -> None:
    await crash(folder, database_url, "uploads/upl_1/a", "within", megabytes=12)
    assert len(remaining(folder)) == 1  # hidden from every list of the store
    assert await clean_up(pool, blobs) == 0
    await make_due(pool)
    assert await clean_up(pool, blobs) == 1
    assert remaining(folder) == set()
    assert not (folder / "uploads").exists()


async def test_the_clean_up_does_not_list_the_store(pool: Pool, folder: Path, blobs: Blobs) -> None:
    """What the database does not know is left to the doctor, which lists the whole store."""
    await blobs.put("uploads/upl_1/a", chunks(), 1)
    assert await clean_up(pool, blobs) == 0
    assert [keys async for keys in orphans(pool, blobs, timedelta(0))] == [["uploads/upl_1/a"]]


async def test_a_blob_with_a_row_is_kept(
    pool: Pool, folder: Path, blobs: Blobs, configured: Settings, account_id: str
) -> None:
    await upload(pool, configured, blobs, account_id, is_completed=True)
    await upload(pool, configured, blobs, account_id, is_completed=False)
    await blobs.put("something/else", chunks(), 1)
    before = remaining(folder)
    assert await pool.fetchval("SELECT count(*) FROM unowned_blobs") == 0
    await pool.execute("INSERT INTO unowned_blobs SELECT blob_key, now() FROM uploads")
    await make_due(pool)
    assert await clean_up(pool, blobs) == 0
    assert await pool.fetchval("SELECT count(*) FROM unowned_blobs") == 0
    assert remaining(folder) == before


async def test_an_upload_never_completed_goes_an_hour_after_it_expired(
    pool: Pool, folder: Path, blobs: Blobs, configured: Settings, account_id: str
) -> None:
    completed = await upload(pool, configured, blobs, account_id, is_completed=True)
    abandoned = await upload(pool, configured, blobs, account_id, is_completed=False)
    prepared = await uploads.prepare(pool, configured, VAULT, blobs, account_id, "a", "text/plain", None)
    for minutes, rows in ((50, 3), (70, 1)):
        expired = datetime.now(UTC) - timedelta(minutes=minutes)
        await pool.execute("UPDATE uploads SET expires_at = $1", expired)
        await clean_up(pool, blobs)
        assert await pool.fetchval("SELECT count(*) FROM uploads") == rows
    assert [row["id"] for row in await pool.fetch("SELECT id FROM uploads")] == [completed]
    assert {key.split("/")[1] for key in remaining(folder)} == {completed}
    assert not {abandoned, prepared.id} & {completed}


async def test_the_bytes_of_a_deleted_file_are_removed_once_the_store_is_back(
    pool: Pool, folder: Path, blobs: Blobs, configured: Settings, account_id: str
) -> None:
    await upload(pool, configured, blobs, account_id, is_completed=True)
    async with (
        pool.acquire() as connection,
        connection.transaction(),
    ):  # as `delete` does before the blob goes
        await store.set_deleted(connection, [await pool.fetchval("SELECT id FROM files")])
    await make_due(pool)
    assert await clean_up(pool, blobs) == 1
    assert remaining(folder) == set()


async def test_outputs_of_a_live_task_are_kept_until_it_ends(
    pool: Pool, folder: Path, blobs: Blobs, account_id: str
) -> None:
    task_id = new_id("tsk")
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO agents (id, name, current_version_id) VALUES ('agt_1', 'A', 'agv_1')"
        )
        await connection.execute(
            "INSERT INTO agent_versions (id, agent_id, number, defaults) VALUES ('agv_1', 'agt_1', 1, '{}')"
        )
        await connection.execute(
            "INSERT INTO tasks (id, account_id, agent_id, agent_version_id, mode, status, instructions, execution) "
            "VALUES ($1, $2, 'agt_1', 'agv_1', 'autonomous', 'running', 'x', '{}')",
            task_id, account_id,
        )  # fmt: skip
    await put(pool, blobs, f"outputs/{task_id}/file_1")
    await make_due(pool)
    assert await clean_up(pool, blobs) == 0
    await pool.execute("UPDATE tasks SET status = 'failed'")
    assert await clean_up(pool, blobs) == 0
    await make_due(pool)
    assert await clean_up(pool, blobs) == 1


async def test_several_processes_at_once_do_no_harm(pool: Pool, folder: Path, blobs: Blobs) -> None:
    for number in range(40):
        await put(pool, blobs, f"uploads/upl_{number}/a")
    await make_due(pool)
    await asyncio.gather(*(clean_up(pool, blobs) for _ in range(6)))
    assert remaining(folder) == set()


async def test_a_file_is_deleted_while_the_store_is_unavailable(
    pool: Pool, blobs: Blobs, configured: Settings, account_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    await upload(pool, configured, blobs, account_id, is_completed=True)
    file_id = await pool.fetchval("SELECT id FROM files")
    away = Blobs("s3://bucket?endpoint=http://127.0.0.1:9&region=eu-central-1")
    await service.delete(pool, away, account_id, file_id)
    assert await pool.fetchval("SELECT count(*) FROM files") == 0
    assert await pool.fetchval("SELECT count(*) FROM unowned_blobs") == 1


async def test_a_store_of_another_database_is_left_alone(pool: Pool, folder: Path, blobs: Blobs) -> None:
    await clean_up(pool, blobs)
    await put(pool, blobs, "uploads/upl_1/a")
    await make_due(pool)
    installation_id = await pool.fetchval("SELECT id FROM installation")
    await pool.execute("UPDATE installation SET id = 'another'")
    assert await clean_up(pool, blobs) == 0
    assert remaining(folder) == {"uploads/upl_1/a"}
    await pool.execute("UPDATE installation SET id = $1", installation_id)
    assert await clean_up(pool, blobs) == 1


async def test_an_unmounted_store_gets_no_installation_id(
    pool: Pool, configured: Settings, folder: Path, blobs: Blobs, account_id: str
) -> None:
    await upload(pool, configured, blobs, account_id, is_completed=True)
    folder.rename(folder.with_name("unmounted"))
    folder.mkdir()
    await clean_up(pool, blobs)
    assert await has_our_installation_id(pool, blobs) is None
    folder.rmdir()
    folder.with_name("unmounted").rename(folder)
    await clean_up(pool, blobs)
    assert await has_our_installation_id(pool, blobs)
