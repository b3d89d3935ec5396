"""The counter of an account's stored bytes equals the sum of its files and open uploads, whoever changes them."""

import asyncio
import random
from datetime import timedelta

import pytest

from agentcontainer.doctor.database import Database, used_bytes
from agentcontainer.domain.files import quota
from agentcontainer.domain.files.cleanup import clean_up
from agentcontainer.domain.uploads import service as uploads
from agentcontainer.errors import PayloadTooLarge

from .conftest import Account, Bed

pytestmark = pytest.mark.asyncio(loop_scope="session")

V1 = "/api/v1"


async def used(account: Account) -> int:
    return (await account.get(f"{V1}/account")).json()["fileStorage"]["usedBytes"]


async def is_right(account: Account) -> bool:
    wrong = await quota.wrong_counts(account.bed.pool)
    return account.id not in [count.account_id for count in wrong]


async def prepare(account: Account, size: int | None, limit: int) -> str:
    bed = account.bed
    settings = bed.settings.model_copy(update={"file_quota_bytes": limit})
    prepared = await uploads.prepare(
        bed.pool, settings, bed.vault, bed.blobs, account.id, "a", "text/csv", size
    )
    return prepared.id


async def test_a_prepared_upload_counts_until_it_expires(bed: Bed, alice: Account) -> None:
    upload_id = await prepare(alice, 600, limit=1000)
    assert await used(alice) == 600
    with pytest.raises(PayloadTooLarge, match="of which 400 are left"):
        await prepare(alice, 500, limit=1000)
    await bed.pool.execute(
        "UPDATE uploads SET expires_at = now() - interval '2 hours' WHERE id = $1", upload_id
    )
    await clean_up(bed.pool, bed.blobs, timedelta(hours=1))
    assert await used(alice) == 0
    await prepare(alice, 500, limit=1000)


async def test_prepares_at_once_cannot_exceed_the_quota_together(bed: Bed, alice: Account) -> None:
    answers = await asyncio.gather(
        *(prepare(alice, 300, limit=1000) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(answer, PayloadTooLarge) for answer in answers) == 5
    assert await used(alice) == 900
    assert await is_right(alice)


async def test_every_way_to_change_files_changes_the_counter(bed: Bed, alice: Account) -> None:
    chance = random.Random(7)
    uploaded: list[str] = []
    ended: list[str] = []
    for _ in range(40):
        match chance.choice(("upload", "finish", "prepare", "delete file", "delete task")):
            case "upload":
                uploaded.append(await alice.upload(bytes(chance.randrange(1, 900))))
            case "finish":
                task_id = (await alice.dispatch())["id"]
                await alice.finish(task_id, {name: bytes(chance.randrange(900)) for name in ("a", "b")})
                ended.append(task_id)
            case "prepare":
                await prepare(alice, chance.choice((None, 5, 70)), limit=10**9)
            case "delete file" if uploaded:
                assert (await alice.send("DELETE", f"{V1}/files/{uploaded.pop()}")).status_code == 204
            case "delete task" if ended:
                assert (await alice.send("DELETE", f"{V1}/tasks/{ended.pop()}")).status_code == 204
            case _:
                pass
        assert await is_right(alice)
    assert await used(alice) > 0


async def test_the_doctor_finds_and_corrects_a_wrong_counter(bed: Bed, alice: Account) -> None:
    await alice.upload(b"12345")
    await bed.pool.execute(
        "UPDATE account_storage SET used_bytes = used_bytes + 3 WHERE account_id = $1", alice.id
    )
    database = Database(bed.pool, bed.settings)
    [finding] = [finding async for finding in used_bytes(database) if finding.where == alice.id]
    assert finding.what == "8 stored bytes counted, but the files have 5"
    assert finding.fix is not None
    await finding.fix()
    assert await used(alice) == 5
