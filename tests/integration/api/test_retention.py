"""What is older than its retention setting is removed, and the rest stays."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from agentcontainer.doctor.database import Database, event_logs
from agentcontainer.domain.retention import service, store
from agentcontainer.domain.retention.model import Amount
from agentcontainer.domain.tasks.state import EndReason

from .conftest import AGENT, Account, Bed, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

V1 = "/api/v1"


async def purge(bed: Bed, **days: int) -> dict[Any, Amount]:
    changed = {f"retention_{kind}_days": value for kind, value in days.items()}
    return await service.purge(bed.pool, bed.blobs, bed.settings.model_copy(update=changed))


async def ended(account: Account, days_ago: float, outputs: dict[str, bytes] | None = None) -> str:
    """A task that ended that long ago, with outputs of that age."""
    task_id = (await account.dispatch())["id"]
    await account.finish(task_id, outputs)
    age = timedelta(days=days_ago)
    await account.bed.pool.execute(
        "UPDATE tasks SET completed_at = now() - $2::interval WHERE id = $1", task_id, age
    )
    await account.bed.pool.execute(
        "UPDATE files SET created_at = now() - $2::interval WHERE task_id = $1", task_id, age
    )
    return task_id


async def status(account: Account, path: str) -> int:
    return (await account.get(V1 + path)).status_code


async def test_nothing_is_purged_by_default(alice: Account, bed: Bed) -> None:
    old = await ended(alice, 10_000, {"a.txt": b"a"})
    await purge(bed)
    assert await status(alice, f"/tasks/{old}") == 200
    assert len((await alice.get(f"{V1}/tasks/{old}/events")).json()["data"]) > 1


async def test_old_tasks_go_with_all_that_belongs_to_them(alice: Account, bed: Bed) -> None:
    old, young = await ended(alice, 31, {"a.txt": b"a"}), await ended(alice, 29, {"a.txt": b"a"})
    used = await ended(alice, 31, {"a.txt": b"a"})
    [output] = (await alice.get(f"{V1}/tasks/{used}/files")).json()["data"]
    user = (await alice.dispatch(inputFileIds=[output["id"]]))["id"]
    live = (await alice.dispatch())["id"]
    await bed.pool.execute("UPDATE tasks SET created_at = now() - interval '99 days' WHERE id = $1", live)
    due = await service.due(bed.pool, bed.settings.model_copy(update={"retention_tasks_days": 30}))
    removed = (await purge(bed, tasks=30))["tasks"]
    assert removed == due["tasks"]
    assert removed.rows >= 1
    assert await status(alice, f"/tasks/{old}") == 404
    assert await bed.pool.fetchval("SELECT count(*) FROM events WHERE task_id = $1", old) == 0
    for task_id in (young, used, user, live):
        assert await status(alice, f"/tasks/{task_id}") == 200
    await alice.finish(user, reason=EndReason.INCOMPLETE)
    await purge(bed, tasks=30)
    assert await status(alice, f"/tasks/{used}") == 404


async def test_old_events_go_and_the_task_stays(alice: Account, bed: Bed) -> None:
    old, young = await ended(alice, 31), await ended(alice, 29)
    last = await bed.pool.fetchval("SELECT last_event_sequence FROM tasks WHERE id = $1", old)
    assert (await purge(bed, events=30))["events"].rows >= last
    task = (await alice.get(f"{V1}/tasks/{old}")).json()
    assert task["eventsPurgedAt"] is not None
    assert (await alice.get(f"{V1}/tasks/{young}")).json()["eventsPurgedAt"] is None
    assert (await alice.get(f"{V1}/tasks/{young}/events")).json()["data"] != []
    path = f"{V1}/tasks/{old}/events"
    assert (await alice.get(path)).json() == {"data": [], "pageInfo": {"hasMore": False, "nextCursor": None}}
    assert (await alice.get(f"{path}?order=desc")).json()["data"] == []
    for query in (f"after={last - 1}", "after=0", f"after={last - 1}&stream=true"):
        answer = await alice.get(f"{path}?{query}")
        assert (answer.status_code, error_of(answer)["code"]) == (410, "gone")
        assert f"up to {last}" in error_of(answer)["message"]
    answer = await alice.get(path, headers={"Accept": "text/event-stream", "Last-Event-ID": "1"})
    assert answer.status_code == 410
    assert (await alice.get(f"{path}?stream=true")).status_code == 204
    assert (await alice.get(f"{path}?after={last}")).status_code == 200
    assert (await alice.get(f"{path}?after={last + 1}")).status_code == 400
    findings = [finding async for finding in event_logs(Database(bed.pool, bed.settings))]
    assert old not in [finding.where for finding in findings]


async def test_a_purge_of_events_that_was_interrupted_goes_on(alice: Account, bed: Bed) -> None:
    old = await ended(alice, 31)
    await store.begin_purge_of_events(bed.pool, [old])
    async with bed.pool.acquire() as connection:
        assert (await store.delete_events(connection, [old], 1)).rows == 1
    findings = [finding async for finding in event_logs(Database(bed.pool, bed.settings))]
    assert old not in [finding.where for finding in findings]
    await purge(bed, events=30)
    assert await bed.pool.fetchval("SELECT count(*) FROM events WHERE task_id = $1", old) == 0
    assert (await alice.get(f"{V1}/tasks/{old}")).json()["eventsPurgedAt"] is not None


async def test_the_doctor_finds_a_missing_event_after_a_purge_too(alice: Account, bed: Bed) -> None:
    task_id = await ended(alice, 1)
    await bed.pool.execute("DELETE FROM events WHERE task_id = $1 AND sequence = 1", task_id)
    findings = [finding.where async for finding in event_logs(Database(bed.pool, bed.settings))]
    assert task_id in findings
    await bed.pool.execute("UPDATE tasks SET events_purged_to = 1 WHERE id = $1", task_id)
    assert task_id not in [finding.where async for finding in event_logs(Database(bed.pool, bed.settings))]


async def test_old_files_go_unless_something_uses_them(alice: Account, bed: Bed) -> None:
    unused, used, reference = [await alice.upload() for _ in range(3)]
    maker = await ended(alice, 31, {"a.txt": b"a"})
    [output] = (await alice.get(f"{V1}/tasks/{maker}/files")).json()["data"]
    await bed.pool.execute(
        "UPDATE files SET created_at = now() - interval '31 days' WHERE id = ANY($1::text[])",
        [unused, used, reference],
    )
    young = await alice.upload()
    await alice.dispatch(inputFileIds=[used])
    await alice.post(f"{V1}/agents", {"name": "Own", "basePrompt": "x", "referenceFileIds": [reference]})
    blobs_before = len([path for path in bed.blob_folder.rglob("*") if path.is_file()])
    due = await service.due(bed.pool, bed.settings.model_copy(update={"retention_files_days": 30}))
    removed = (await purge(bed, files=30))["files"]
    assert removed == due["files"]
    assert removed.rows >= 2
    for file_id, expected in (
        (unused, 404), (output["id"], 404), (used, 200), (reference, 200), (young, 200),
    ):  # fmt: skip
        assert await status(alice, f"/files/{file_id}") == expected
    assert len([path for path in bed.blob_folder.rglob("*") if path.is_file()]) <= blobs_before - 2


async def test_old_partial_outputs_go_alone(alice: Account, bed: Bed) -> None:
    task_id = await ended(alice, 31, {"a.txt": b"a", "b.txt": b"b"})
    await bed.pool.execute(
        "UPDATE files SET is_partial = true WHERE task_id = $1 AND filename = 'a.txt'", task_id
    )
    assert (await purge(bed, partial_outputs=30))["partial_outputs"].bytes >= 1
    files = (await alice.get(f"{V1}/tasks/{task_id}/files")).json()["data"]
    assert [file["filename"] for file in files] == ["b.txt"]


@pytest.mark.usefixtures("api")  # it numbers the feed
async def test_old_entries_of_the_feed_go_and_a_reader_is_told_where_to_go_on(
    alice: Account, bed: Bed
) -> None:
    for _ in range(2):
        await alice.finish((await alice.dispatch())["id"])
    async with asyncio.timeout(10):
        while len((await alice.get(f"{V1}/events")).json()["data"]) < 4:
            await asyncio.sleep(0.02)
    age = "UPDATE feed_entries SET created_at = now() - $3::interval WHERE account_id = $1 AND position = ANY($2)"
    await bed.pool.execute(age, alice.id, [1, 2, 4], timedelta(days=31))  # the third is younger
    due = await service.due(bed.pool, bed.settings.model_copy(update={"retention_feed_days": 30}))
    assert due["feed"].rows >= 2
    assert due["feed"].bytes > due["feed"].rows
    await purge(bed)
    assert (await alice.get(f"{V1}/events?after=0")).status_code == 200
    assert (await purge(bed, feed=30))["feed"].rows >= 2
    answer = await alice.get(f"{V1}/events?after=1")
    assert (answer.status_code, error_of(answer)["code"]) == (410, "gone")
    assert "after=2" in error_of(answer)["message"]
    kept = (await alice.get(f"{V1}/events")).json()["data"]
    assert [entry["position"] for entry in kept] == [3, 4]
    assert (await alice.get(f"{V1}/events?after=2")).json()["data"] == kept


async def test_a_batch_goes_with_the_last_of_its_tasks(alice: Account, bed: Bed) -> None:
    body = {"tasks": [{"instructions": f"Do number {number}."} for number in range(3)]}
    created = (await alice.post(f"{V1}/agents/{AGENT}/tasks/batch", body)).json()
    batch, (first, second, third) = f"/batches/{created['batch']['id']}", created["taskIds"]
    await alice.post(f"{V1}{batch}/cancel")
    assert (await alice.send("DELETE", f"{V1}/tasks/{first}")).status_code == 204
    assert sum((await alice.get(V1 + batch)).json()["counts"].values()) == 2
    await bed.pool.execute("UPDATE tasks SET completed_at = now() - interval '31 days' WHERE id = $1", second)
    await purge(bed, tasks=30)
    assert await status(alice, batch) == 200
    await bed.pool.execute("UPDATE tasks SET completed_at = now() - interval '31 days' WHERE id = $1", third)
    await purge(bed, tasks=30)
    assert await status(alice, batch) == 404


async def test_rows_that_nobody_reads_go_always(alice: Account, bed: Bed) -> None:
    file_id = await alice.upload()
    await bed.pool.execute(
        "UPDATE uploads SET expires_at = now() - interval '25 hours' WHERE file_id = $1", file_id
    )
    await bed.pool.execute(
        "INSERT INTO runners (id, region, host, capacity, heartbeat_at) VALUES "
        "('rnr_silent', 'any', 'h', 1, now() - interval '2 days')"
    )
    await purge(bed)
    assert await bed.pool.fetchval("SELECT count(*) FROM uploads WHERE file_id = $1", file_id) == 0
    assert await status(alice, f"/files/{file_id}") == 200
    assert await bed.pool.fetchval("SELECT stopped_at IS NOT NULL FROM runners WHERE id = 'rnr_silent'")
    await purge(bed, tasks=1)
    assert await bed.pool.fetchval("SELECT count(*) FROM runners WHERE id = 'rnr_silent'") == 0


async def test_what_is_due_can_be_counted_first(alice: Account, bed: Bed) -> None:
    await ended(alice, 31, {"a.txt": b"12345"})
    days = {f"retention_{kind}_days": 30 for kind in ("events", "tasks", "files", "partial_outputs")}
    due = await service.due(bed.pool, bed.settings.model_copy(update=days))
    assert set(due) == {"events", "tasks", "files", "partial_outputs", "idempotency", "webhook_deliveries"}
    assert due["tasks"].bytes >= 5
    assert due["files"].rows >= 1
    assert due["events"].bytes > due["events"].rows
    assert json.dumps({kind: part.rows for kind, part in due.items()})
