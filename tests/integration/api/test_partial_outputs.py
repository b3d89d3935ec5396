"""What a task had written is had again from its checkpoint, to go on or as partial output, also when the store is away
at first."""

import asyncio
import hashlib
import io
import os
import tarfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
import zstandard

from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.files.installation import INSTALLATION_ID_KEY
from agentcontainer.domain.tasks import service, store
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.runner.services import Services
from agentcontainer.runner.workspace import folders
from agentcontainer.runner.workspace.checkpoint import CheckpointCorrupt
from agentcontainer.runner.workspace.layout import Layout
from agentcontainer.runner.workspace.partial_outputs import PartialOutputs, collect_missing
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.volume import Room, Volumes
from tests.uids import UID_BASE

from .conftest import Account, Bed

pytestmark = pytest.mark.asyncio(loop_scope="session")

WRITTEN = b"draft\n"
REGIONS = ("any", "eu")


@pytest.fixture
async def services(bed: Bed, short_dir: Path) -> AsyncIterator[Services]:
    """A runner's services with a blob store for this test alone, which the test can break."""
    blobs = Blobs(f"file://{short_dir}/blobs")
    sandboxes = Bubblewrap(UID_BASE if os.geteuid() == 0 else 0, short_dir / "locks")
    (short_dir / "runner").mkdir()
    async with aiohttp.ClientSession() as client:
        yield Services(
            bed.settings, bed.pool, bed.vault, blobs, sandboxes, client, short_dir, short_dir / "runner",
            Volumes(Room(10**9, 10**5)),
        )  # fmt: skip


async def saved(services: Services, task_id: str) -> None:
    """Store a checkpoint with one file for the task."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        entry = tarfile.TarInfo("./task/report.md")
        entry.size = len(WRITTEN)
        archive.addfile(entry, io.BytesIO(WRITTEN))
    packed = zstandard.compress(tar.getvalue())
    key = f"checkpoints/{task_id}/saved"
    await services.blobs.put(key, chunks(packed), len(packed))
    await services.pool.execute(
        "UPDATE checkpoints SET blob_key = $2, size_bytes = $3, sha256 = $4, unpacked_bytes = $5 WHERE task_id = $1",
        task_id, key, len(packed), hashlib.sha256(packed).hexdigest(), len(tar.getvalue()),
    )  # fmt: skip


async def chunks(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def collect_now(services: Services) -> bool:
    """`collect_missing` in a runner of the EU; what cannot be stored may be tried again at once."""
    return await collect_missing(services, REGIONS, timedelta(0))


async def ended(
    services: Services, account: Account, *, is_expired: bool = False, task_id: str | None = None
) -> Claim:
    """A task that was cancelled long ago, when it hibernated with one file; or a conversation that expired with it."""
    if task_id is None:
        task_id = await (account.awaiting_input() if is_expired else account.hibernating())
    await saved(services, task_id)
    if is_expired:
        await services.pool.execute("UPDATE tasks SET expires_at = '2001-02-03' WHERE id = $1", task_id)
        assert await service.expire(services.pool, services.settings, task_id)
    else:
        assert (await account.post(f"/api/v1/tasks/{task_id}/cancel")).status_code == 200
    before_others = "UPDATE tasks SET completed_at = '2001-02-03' WHERE id = $1 RETURNING attempt"
    return Claim(task_id, await services.pool.fetchval(before_others, task_id))


async def partial(account: Account, claim: Claim) -> list[tuple[str, int, bool]]:
    files = (await account.get(f"/api/v1/tasks/{claim.task_id}/files")).json()["data"]
    return [(file["filename"], file["sizeBytes"], file["partial"]) for file in files]


@pytest.mark.parametrize("away", ["checkpoints", "outputs"])
async def test_partial_outputs_are_kept_as_soon_as_the_store_is_available(
    services: Services, alice: Account, away: str
) -> None:
    claim = await ended(services, alice)
    broken = services.folder.parent / "blobs" / away
    if away == "checkpoints":
        broken.rename(broken.with_name("aside"))
    broken.symlink_to(broken.name)  # a link loop: neither present nor missing
    await collect_now(services)
    assert await partial(alice, claim) == []
    broken.unlink()
    if away == "checkpoints":
        broken.with_name("aside").rename(broken)
    assert await collect_now(services)
    assert await partial(alice, claim) == [("report.md", len(WRITTEN), True)]
    assert os.listdir(services.folder) == []


async def test_partial_outputs_that_a_container_could_not_store_come_from_its_checkpoint(
    services: Services, alice: Account
) -> None:
    claim = await ended(services, alice)
    home = services.folder / "attempt/workspace/task"
    home.mkdir(parents=True)
    (home / "late.md").write_text("never saved")
    in_the_way = services.folder.parent / "blobs/outputs"
    in_the_way.write_text("")
    await PartialOutputs(services, claim, services.folder / "attempt").store()
    in_the_way.unlink()
    assert await partial(alice, claim) == []
    assert await collect_now(services)
    assert await partial(alice, claim) == [("report.md", len(WRITTEN), True)]


async def test_an_expired_conversation_has_partial_outputs(services: Services, alice: Account) -> None:
    claim = await ended(services, alice, is_expired=True)
    assert (await alice.get(f"/api/v1/tasks/{claim.task_id}")).json()["status"] == "expired"
    assert await collect_now(services)
    assert await partial(alice, claim) == [("report.md", len(WRITTEN), True)]


async def test_a_task_whose_store_is_unavailable_does_not_block_others(
    services: Services, alice: Account
) -> None:
    waiting, other = await ended(services, alice), await ended(services, alice)
    query = "UPDATE tasks SET completed_at = '2001-02-02' WHERE id = $1"  # the oldest, so it is handled first
    await services.pool.execute(query, waiting.task_id)
    blob = services.folder.parent / "blobs/checkpoints" / waiting.task_id / "saved"
    blob.rename(blob.with_name("aside"))
    blob.symlink_to(blob.name)  # a link loop: neither present nor missing
    while await collect_missing(services, REGIONS):
        pass
    assert await partial(alice, other) == [("report.md", len(WRITTEN), True)]
    assert await partial(alice, waiting) == []
    blob.with_name("aside").rename(blob)
    due = "UPDATE tasks SET partial_outputs_due_at = now() WHERE id = $1"
    await services.pool.execute(due, waiting.task_id)
    assert await collect_now(services)
    assert await partial(alice, waiting) == [("report.md", len(WRITTEN), True)]


async def test_one_of_several_runners_stores_them(services: Services, alice: Account) -> None:
    claim = await ended(services, alice)
    assert any(await asyncio.gather(*(collect_now(services) for _ in range(3))))
    assert await partial(alice, claim) == [("report.md", len(WRITTEN), True)]


async def test_a_checkpoint_does_not_leave_its_region(services: Services, alice: Account) -> None:
    task_id = (await alice.dispatch(overrides={"runtimeRegion": "eu"}))["id"]
    await alice.hibernate(task_id)
    claim = await ended(services, alice, task_id=task_id)
    assert not await collect_missing(services, ["any"])
    assert await partial(alice, claim) == []
    assert await collect_missing(services, ["any", "eu"])
    assert await partial(alice, claim) == [("report.md", len(WRITTEN), True)]


async def test_a_task_goes_on_when_its_store_is_mounted_again(services: Services, alice: Account) -> None:
    task_id = await alice.hibernating()
    await saved(services, task_id)
    mark: str = await services.pool.fetchval("SELECT id FROM installation")
    await services.blobs.put(INSTALLATION_ID_KEY, chunks(mark.encode()), 100)
    task = await store.get(services.pool, task_id)
    lease = await services.sandboxes.lease()
    assert task is not None
    layout = Layout(services, task, f"{task_id}-2")
    mounted = services.folder.parent / "blobs"
    mounted.rename(mounted.with_name("aside"))
    mounted.mkdir()
    preparing = asyncio.create_task(layout.run(lease))
    assert not (await asyncio.wait([preparing], timeout=1))[0], "its files are not lost"
    mounted.rmdir()
    mounted.with_name("aside").rename(mounted)
    await preparing
    assert (layout.root / "workspace/task/report.md").read_bytes() == WRITTEN
    await folders.remove(layout.root)

    await services.blobs.delete(f"checkpoints/{task_id}/saved")
    with pytest.raises(CheckpointCorrupt, match="missing"):
        await layout.run(lease)
    await folders.remove(layout.root)
    if lease is not None:
        lease.release()
