"""A deleted task is gone for good: nobody sees it, and nothing of what it held is left in a table, a blob or a log."""

import asyncio
import logging
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentcontainer import db
from agentcontainer.domain.deletion import service as deletion
from agentcontainer.domain.deletion import store as deletion_store
from agentcontainer.domain.hibernation import wake_links
from agentcontainer.domain.tasks import store
from agentcontainer.domain.tasks.state import EndReason
from tests.canary import tables_with

from .conftest import AGENT, Account, Bed, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

V1 = "/api/v1"
_FOREIGN_KEYS = """
SELECT conrelid::regclass::text AS source, confrelid::regclass::text AS target FROM pg_constraint WHERE contype = 'f'
"""


async def delete(account: Account, task_id: str) -> Any:
    return await account.send("DELETE", f"{V1}/tasks/{task_id}")


async def places_of(bed: Bed, canary: str) -> list[str]:
    """The tables and blobs that contain the text."""
    places = await tables_with(bed.pool, canary)
    for path in bed.blob_folder.rglob("*"):
        if canary in path.name or (path.is_file() and canary.encode() in path.read_bytes()):
            places.append(str(path))
    return places


async def test_nothing_that_a_deleted_task_held_is_left(
    bed: Bed, alice: Account, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    canary = f"canary{secrets.token_hex(8)}"
    content = canary.encode()
    uploaded = await alice.upload(content, f"{canary}.csv")
    dispatched = await alice.post(
        f"{V1}/agents/{AGENT}/tasks",
        {
            "instructions": f"Find {canary}.",
            "title": canary,
            "metadata": {"case": canary},
            "inputFileIds": [uploaded],
        },
        headers={"Idempotency-Key": secrets.token_hex(8)},
    )
    task_id = dispatched.json()["id"]
    conversation = (await alice.converse(f"Where is {canary}?"))["task"]["id"]
    await alice.take_turn(conversation, f"Here: {canary}.", [{"command": f"grep {canary}"}])
    await alice.finish(task_id, {f"{canary}.txt": content})
    assert (await alice.post(f"{V1}/conversations/{conversation}/end")).status_code == 200
    for table in ("tasks", "events", "messages", "files"):
        assert table in await places_of(bed, canary)

    assert (await delete(alice, task_id)).status_code == 204
    assert (await delete(alice, conversation)).status_code == 204
    assert (await alice.send("DELETE", f"{V1}/files/{uploaded}")).status_code == 204
    assert await places_of(bed, canary) == []
    assert canary not in caplog.text
    tasks = (await alice.get(f"{V1}/account/ledger")).json()["data"]
    assert {entry["taskId"] for entry in tasks} >= {task_id, conversation}


async def test_a_file_that_was_deleted_before_its_task_leaves_nothing(bed: Bed, alice: Account) -> None:
    canary = f"canary{secrets.token_hex(8)}"
    uploaded = await alice.upload(canary.encode(), canary)
    task_id = (await alice.dispatch(inputFileIds=[uploaded]))["id"]
    await alice.finish(task_id)
    assert (await alice.send("DELETE", f"{V1}/files/{uploaded}")).status_code == 204
    assert await places_of(bed, canary) == ["files"]  # the task's inputs still name it
    assert (await delete(alice, task_id)).status_code == 204
    assert await places_of(bed, canary) == []


async def test_from_then_on_it_is_404_everywhere(bed: Bed, alice: Account) -> None:
    task_id = (await alice.dispatch())["id"]
    [output] = await alice.finish(task_id, {"a.txt": b"a"})
    async with db.transaction(bed.pool) as connection:
        await deletion_store.mark(connection, [task_id])  # what is seen between the mark and the removal
    for is_removed in (False, True):
        for method, path in (
            ("GET", f"/tasks/{task_id}"),
            ("DELETE", f"/tasks/{task_id}"),
            ("POST", f"/tasks/{task_id}/cancel"),
            ("POST", f"/tasks/{task_id}/wake-links"),
            ("GET", f"/tasks/{task_id}/events"),
            ("GET", f"/tasks/{task_id}/files"),
            ("GET", f"/tasks/{task_id}/files/{output}"),
            ("GET", f"/files/{output}"),
            ("GET", f"/files/{output}/content"),
            ("GET", f"/conversations/{task_id}/messages"),
        ):
            answer = await alice.send(method, V1 + path)
            assert (answer.status_code, path) == (404, path)
        listed = (await alice.get(f"{V1}/tasks")).json()["data"]
        assert task_id not in [task["id"] for task in listed]
        if not is_removed:
            assert await deletion.remove_marked(bed.pool, bed.blobs) >= 1  # as after a crash
    assert await bed.pool.fetchval("SELECT count(*) FROM tasks WHERE id = $1", task_id) == 0
    assert not list(bed.blob_folder.rglob(f"*{output}*"))


async def test_a_wake_link_of_a_deleted_task_does_not_exist(bed: Bed, alice: Account) -> None:
    task_id = (await alice.dispatch())["id"]
    [token] = await alice.hibernate(task_id, link_count=1)
    await alice.post(f"{V1}/tasks/{task_id}/cancel")
    await bed.pool.execute("UPDATE tasks SET remains_at = now() WHERE id = $1", task_id)
    async with db.transaction(bed.pool) as connection:
        await deletion_store.mark(connection, [task_id])
    for method in ("GET", "POST"):
        assert (await bed.http.request(method, f"/wake/{token}")).status_code == 404
    await deletion.remove_marked(bed.pool, bed.blobs)
    assert (await bed.http.get(f"/wake/{token}")).status_code == 404
    assert not await wake_links.store.get_link(bed.pool, token.partition("-")[0])


async def test_a_live_task_is_not_deleted(bed: Bed, alice: Account) -> None:
    pending = (await alice.dispatch())["id"]
    running = (await alice.dispatch())["id"]
    await alice.claim(running)
    for task_id in (pending, running, await alice.hibernating(), await alice.awaiting_input()):
        answer = await delete(alice, task_id)
        assert answer.status_code == 409
        assert "has not ended" in error_of(answer)["message"]


async def test_partial_outputs_are_collected_first(bed: Bed, alice: Account) -> None:
    task_id = (await alice.dispatch())["id"]
    claim = await alice.claim(task_id)
    await bed.pool.execute("UPDATE tasks SET started_at = now() WHERE id = $1", task_id)
    await alice.post(f"{V1}/tasks/{task_id}/cancel")
    answer = await delete(alice, task_id)
    assert answer.status_code == 409
    assert "partial outputs" in error_of(answer)["message"]
    from agentcontainer.domain.tasks import service

    assert await service.add_partial_outputs(bed.pool, claim, [])
    assert (await delete(alice, task_id)).status_code == 204


async def test_a_runner_that_never_stores_partial_outputs_does_not_prevent_it(
    bed: Bed, alice: Account
) -> None:
    task_id = (await alice.dispatch())["id"]
    await alice.claim(task_id)
    await bed.pool.execute("UPDATE tasks SET started_at = now() WHERE id = $1", task_id)
    await alice.post(f"{V1}/tasks/{task_id}/cancel")
    ended = datetime.now(UTC) - timedelta(minutes=2)
    await bed.pool.execute("UPDATE tasks SET completed_at = $2 WHERE id = $1", task_id, ended)
    assert (await delete(alice, task_id)).status_code == 204


async def test_the_user_of_a_file_is_named(bed: Bed, alice: Account) -> None:
    maker = (await alice.dispatch())["id"]
    outputs = await alice.finish(maker, dict.fromkeys(("a.txt", "b.txt", "c.txt"), b"x"))
    user = (await alice.dispatch(inputFileIds=[outputs[1]]))["id"]
    answer = await delete(alice, maker)
    assert answer.status_code == 409
    assert f"File {outputs[1]} of task {maker} is used by task {user}" in error_of(answer)["message"]
    await alice.finish(user, reason=EndReason.INCOMPLETE)
    agent = await alice.post(
        f"{V1}/agents", {"name": "Own", "basePrompt": "x", "referenceFileIds": [outputs[2]]}
    )
    answer = await delete(alice, maker)
    assert answer.status_code == 409
    assert f"used by agent {agent.json()['id']}, version 1" in error_of(answer)["message"]
    assert (await alice.get(f"{V1}/files/{outputs[0]}")).status_code == 200  # nothing was deleted


async def test_a_dispatch_and_a_deletion_at_once_agree(bed: Bed, alice: Account) -> None:
    for _ in range(5):
        maker = (await alice.dispatch())["id"]
        [output] = await alice.finish(maker, {"a.txt": b"x"})
        body = {"instructions": "x", "inputFileIds": [output]}
        dispatching = alice.post(f"{V1}/agents/{AGENT}/tasks", body)
        dispatched, deleted = await asyncio.gather(dispatching, delete(alice, maker))
        assert (dispatched.status_code, deleted.status_code) in ((201, 409), (400, 204))


async def test_a_large_log_is_removed_in_batches(bed: Bed, alice: Account) -> None:
    task_id = (await alice.dispatch())["id"]
    await alice.finish(task_id)
    await bed.pool.execute(
        "INSERT INTO events (task_id, sequence, id, type, data) "
        "SELECT $1, n, 'evt_' || n, 'tool.started', '{}' FROM generate_series(100, 3600) AS n",
        task_id,
    )
    assert (await delete(alice, task_id)).status_code == 204
    assert await bed.pool.fetchval("SELECT count(*) FROM events WHERE task_id = $1", task_id) == 0


async def test_the_task_of_another_account_stays(bed: Bed, alice: Account, bob: Account) -> None:
    task_id = (await alice.dispatch())["id"]
    await alice.finish(task_id)
    assert (await delete(bob, task_id)).status_code == 404
    assert await store.get(bed.pool, task_id) is not None


async def test_every_table_that_refers_to_what_is_removed_has_a_step(bed: Bed) -> None:
    """A new table with a foreign key to one of these must be removed before it: add it to `STEPS`."""
    order = [*deletion_store.STEPS, "tasks"]
    for key in await bed.pool.fetch(_FOREIGN_KEYS):
        if key["target"] in order and (key["source"], key["target"]) != ("tasks", "checkpoints"):
            assert key["source"] in order, f"{key['source']} refers to {key['target']}"
            assert order.index(key["source"]) <= order.index(key["target"]), key
