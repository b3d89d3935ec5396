"""Batches: all tasks or none, one key, one check of the balance, and their cancellation."""

import asyncio
from typing import Any

import pytest

from agentcontainer.domain.accounts import administration
from agentcontainer.domain.accounts.administration import AccountChange, LimitChange
from tests.api_bed import AGENT, Account, Bed, error_of, new_account

in_session = pytest.mark.asyncio(loop_scope="session")

PATH = f"/api/v1/agents/{AGENT}/tasks/batch"
HOLD_MICRO_USD = 500_000


def body_of(count: int, **common: Any) -> dict[str, Any]:
    return {"tasks": [{"instructions": f"Do number {n}."} for n in range(count)], "common": common}


async def task_count(bed: Bed, account: Account) -> int:
    return await bed.pool.fetchval("SELECT count(*) FROM tasks WHERE account_id = $1", account.id)


@in_session
async def test_a_batch_makes_its_tasks_in_order_with_what_they_have_in_common(
    api_bed: Bed, alice: Account
) -> None:
    file_id = await alice.upload()
    body = {
        "tasks": [
            {"title": "First", "overrides": {"priority": 3}},
            {"instructions": "Another.", "metadata": {"n": 2}, "inputFiles": []},
        ],
        "common": {
            "instructions": "The same.", "metadata": {"n": 1}, "inputFileIds": [file_id],
            "overrides": {"maxRuntimeSeconds": 60, "priority": 1},
        },
    }  # fmt: skip
    answer = await alice.post(PATH, body)
    assert answer.status_code == 201, answer.text
    batch, task_ids = answer.json()["batch"], answer.json()["taskIds"]
    assert (batch["agentId"], batch["counts"]["pending"], sum(batch["counts"].values())) == (AGENT, 2, 2)
    first, second = [(await alice.get(f"/api/v1/tasks/{task_id}")).json() for task_id in task_ids]
    assert (first["title"], first["instructions"], first["metadata"]) == ("First", "The same.", {"n": 1})
    assert first["overrides"] == {"maxRuntimeSeconds": 60, "priority": 3}
    assert (second["instructions"], second["metadata"]) == ("Another.", {"n": 2})
    assert second["overrides"] == {"maxRuntimeSeconds": 60, "priority": 1}
    assert first["batchId"] == second["batchId"] == batch["id"]
    inputs = "SELECT task_id FROM task_input_files WHERE task_id = ANY($1)"
    assert [row["task_id"] for row in await api_bed.pool.fetch(inputs, task_ids)] == [task_ids[0]]
    listed = (await alice.get(f"/api/v1/tasks?batchId={batch['id']}")).json()["data"]
    assert {task["id"] for task in listed} == set(task_ids)
    types = (await alice.get(f"/api/v1/tasks/{task_ids[0]}/events")).json()["data"]
    assert [event["type"] for event in types] == ["task.created"]


@in_session
async def test_a_thousand_tasks_with_one_wrong_make_none(api_bed: Bed) -> None:
    account = await new_account(api_bed, credit_micro_usd=1000 * HOLD_MICRO_USD)
    body = body_of(1000)
    body["tasks"][17]["inputFileIds"] = ["file_unknown"]
    error = error_of(await account.post(PATH, body))
    assert [detail["path"] for detail in error["details"]] == ["tasks[17].inputFileIds.0"]
    body["tasks"][17] = {"instructions": "x", "overrides": {"maxRuntimeSeconds": 0}}
    error = error_of(await account.post(PATH, body))
    assert [detail["path"] for detail in error["details"]] == ["tasks[17].overrides.maxRuntimeSeconds"]
    body["tasks"][17] = {"title": "No instructions"}
    error = error_of(await account.post(PATH, body))
    assert [detail["path"] for detail in error["details"]] == ["tasks[17].instructions"]
    assert (await account.get("/api/v1/batches")).json()["data"] == []
    assert await task_count(api_bed, account) == 0


@in_session
async def test_a_thousand_tasks_repeated_with_the_same_key_are_a_thousand(api_bed: Bed) -> None:
    account = await new_account(api_bed, credit_micro_usd=1000 * HOLD_MICRO_USD)
    other = await new_account(api_bed)
    headers = {"Idempotency-Key": "batch-1"}
    first, beside, again = await asyncio.gather(
        account.post(PATH, body_of(1000), headers=headers),
        other.post(f"/api/v1/agents/{AGENT}/tasks", {"instructions": "x"}),
        account.post(PATH, body_of(1000), headers=headers),
    )
    assert (first.status_code, beside.status_code, again.status_code) == (201, 201, 201)
    assert first.json() == again.json()
    assert len(set(first.json()["taskIds"])) == await task_count(api_bed, account) == 1000
    balance = "SELECT balance_micro_usd FROM accounts WHERE id = $1"
    assert await api_bed.pool.fetchval(balance, account.id) == 0
    counted = "SELECT queued, ready_any FROM account_queues WHERE account_id = $1"
    assert tuple(await api_bed.pool.fetchrow(counted, account.id) or ()) == (1000, 1000)


@in_session
async def test_a_balance_below_all_holds_makes_no_task(api_bed: Bed) -> None:
    account = await new_account(api_bed, credit_micro_usd=3 * HOLD_MICRO_USD - 1)
    assert error_of(await account.post(PATH, body_of(3)))["code"] == "insufficient_balance"
    assert await task_count(api_bed, account) == 0


@in_session
async def test_a_cancelled_batch_has_no_live_task_and_is_read_by_its_account_only(
    api_bed: Bed, alice: Account, bob: Account
) -> None:
    answer = (await alice.post(PATH, body_of(3))).json()
    batch_id, task_ids = answer["batch"]["id"], answer["taskIds"]
    await alice.finish(task_ids[0])
    for _ in range(2):
        cancelled = (await alice.post(f"/api/v1/batches/{batch_id}/cancel")).json()
        assert {status: n for status, n in cancelled["counts"].items() if n} == {
            "finished": 1,
            "cancelled": 2,
        }
    listed = (await alice.get("/api/v1/batches?limit=1")).json()["data"]
    assert listed == [cancelled] == [(await alice.get(f"/api/v1/batches/{batch_id}")).json()]
    for answer in (
        await bob.get(f"/api/v1/batches/{batch_id}"),
        await bob.post(f"/api/v1/batches/{batch_id}/cancel"),
    ):
        assert error_of(answer)["code"] == "not_found"


@in_session
async def test_wrong_batches_are_refused(alice: Account) -> None:
    for body, path in (
        ({"tasks": []}, "tasks"),
        ({}, "tasks"),
        ({"tasks": [{"instructions": "x"}] * 1001}, "tasks"),
        ({"tasks": [{"instructions": "x", "unknown": 1}]}, "tasks[0].unknown"),
        ({"tasks": [{}], "common": {"instructions": ""}}, "common.instructions"),
        ({"tasks": [{"instructions": "x", "title": "t"}], "common": {"titleSource": "model"}}, "tasks[0].titleSource"),
        ({"tasks": [{"instructions": "x", "overrides": {"priority": 11}}]}, "tasks[0].overrides.priority"),
    ):  # fmt: skip
        answer = await alice.post(PATH, body)
        assert answer.status_code == 400, body
        assert error_of(answer)["details"][0]["path"] == path


@in_session
async def test_a_full_queue_takes_no_dispatch_until_tasks_have_begun(api_bed: Bed) -> None:
    account = await new_account(api_bed)
    limits = LimitChange(running_tasks=None, queued_tasks=3)
    await administration.change(api_bed.pool, account.id, AccountChange(limits=limits))
    answers = await asyncio.gather(
        *(account.post(f"/api/v1/agents/{AGENT}/tasks", {"instructions": "x"}) for _ in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [429] * 5
    error = error_of(await account.post(PATH, body_of(2)))
    assert error["code"] == "limit_reached"
    assert "3 tasks of this account are pending, and its limit is 3" in error["message"]
    [created, *_] = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    await account.claim(created)
    assert (await account.post(PATH, body_of(2))).status_code == 429
    assert (await account.post(PATH, body_of(1))).status_code == 201
