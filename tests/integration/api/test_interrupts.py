"""Interrupts of conversations over HTTP, without a runner: which turn must stop, and when there is none."""

import pytest

from agentcontainer.domain.conversations import store

from .conftest import Account, Bed, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

V1 = "/api/v1"


async def interrupted_turns(bed: Bed, task_id: str) -> list[int]:
    return [turn for turn in range(1, 5) if await store.is_interrupted(bed.pool, task_id, turn)]


async def test_a_turn_that_waits_for_a_container_is_stopped(bed: Bed, alice: Account) -> None:
    task_id = (await alice.converse())["task"]["id"]
    for _ in range(2):
        answer = await alice.post(f"{V1}/conversations/{task_id}/interrupt")
        assert answer.status_code == 200, answer.text
        assert answer.json()["id"] == task_id
    assert await interrupted_turns(bed, task_id) == [1]


async def test_the_running_turn_is_stopped_and_not_the_queued_one(bed: Bed, alice: Account) -> None:
    task_id = (await alice.converse())["task"]["id"]
    await alice.claim(task_id)
    sent = await alice.post(f"{V1}/conversations/{task_id}/messages", json={"content": "And now?"})
    assert sent.status_code == 201
    assert (await alice.post(f"{V1}/conversations/{task_id}/interrupt")).status_code == 200
    assert await interrupted_turns(bed, task_id) == [1]


async def test_without_a_turn_there_is_nothing_to_stop(bed: Bed, alice: Account) -> None:
    task_id = await alice.awaiting_input()
    answer = await alice.post(f"{V1}/conversations/{task_id}/interrupt")
    assert (answer.status_code, error_of(answer)["code"]) == (409, "conflict")
    assert "no turn runs" in error_of(answer)["message"]
    assert await interrupted_turns(bed, task_id) == []
    await alice.post(f"{V1}/conversations/{task_id}/end")
    assert (await alice.post(f"{V1}/conversations/{task_id}/interrupt")).status_code == 409


async def test_what_is_no_open_conversation_of_the_account_is_refused(alice: Account, bob: Account) -> None:
    task_id = (await alice.dispatch())["id"]
    assert (await alice.post(f"{V1}/conversations/{task_id}/interrupt")).status_code == 409
    conversation = (await alice.converse())["task"]["id"]
    assert (await bob.post(f"{V1}/conversations/{conversation}/interrupt")).status_code == 404
    assert (await alice.post(f"{V1}/conversations/{conversation}/handoff")).status_code == 201
    answer = await alice.post(f"{V1}/conversations/{conversation}/interrupt")
    assert (answer.status_code, "handed off" in error_of(answer)["message"]) == (409, True)
