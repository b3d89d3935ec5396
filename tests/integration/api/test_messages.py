"""Accepted messages: what is stored, steering, files, and the turns they belong to."""

import json
import secrets

import pytest

from agentcontainer.domain.conversations import turns

from .conftest import Account, Bed
from .message_requests import (
    MIB,
    V1,
    Made,
    asleep,
    autonomous,
    everything,
    handed_off,
    messages,
    pending,
    refused,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("make_task", [autonomous, handed_off], ids=lambda make_task: make_task.__name__)
async def test_tasks_that_can_be_steered_take_a_message(bed: Bed, alice: Account, make_task: Made) -> None:
    task_id = await make_task(alice)
    before = await everything(alice, messages(task_id, "tasks"))
    status = (await alice.get(f"{V1}/tasks/{task_id}")).json()["status"]
    for content in ("Leave out the south.", "And the east."):
        answer = await alice.post(messages(task_id, "tasks"), {"content": content})
        assert answer.status_code == 201, answer.text
        message = answer.json()["message"]
        assert (message["content"], message["role"], message["status"]) == (content, "user", "queued")
        assert (answer.json()["task"]["id"], answer.json()["task"]["status"]) == (task_id, status)
    after = await everything(alice, messages(task_id, "tasks"))
    assert after[: len(before)] == before
    assert [message["content"] for message in after[len(before) :]] == [
        "Leave out the south.",
        "And the east.",
    ]


async def test_a_running_task_can_be_steered_until_it_ends(bed: Bed, alice: Account) -> None:
    task_id = await autonomous(alice)
    await alice.claim(task_id)
    answer = await alice.post(messages(task_id, "tasks"), {"content": "Hurry."})
    assert (answer.status_code, answer.json()["task"]["status"]) == (201, "running")
    await alice.post(f"{V1}/tasks/{task_id}/cancel")
    await refused(bed, alice, messages(task_id, "tasks"), 409, {"content": "Hurry."})


async def test_the_largest_messages_fit_however_they_are_spelt(alice: Account) -> None:
    largest = "\x01" * (MIB // 2)  # six bytes each in JSON
    created = await alice.converse(largest, instructions=largest)
    assert (created["message"]["content"], created["task"]["instructions"]) == (largest, largest)
    answer = await alice.post(messages(created["task"]["id"]), {"content": largest})
    assert answer.status_code == 201, answer.text
    assert [message["content"] for message in await everything(alice, messages(created["task"]["id"]))] == [
        largest
    ] * 2


async def test_a_file_of_a_message_cannot_be_deleted_while_the_conversation_lives(alice: Account) -> None:
    file_id, task_id = await alice.upload(), await pending(alice)
    await alice.post(messages(task_id), {"content": "x", "inputFileIds": [file_id]})
    path = f"{V1}/files/{file_id}"
    assert (await alice.send("DELETE", path)).status_code == 409
    await alice.post(f"{V1}/tasks/{task_id}/cancel")
    assert (await alice.send("DELETE", path)).status_code == 204
    # The transcript does not change.
    assert [file["id"] for file in (await everything(alice, messages(task_id)))[1]["files"]] == [file_id]


async def test_paging_activities_one_at_a_time(alice: Account) -> None:
    task_id = await alice.awaiting_input(tools=[{"command": str(number)} for number in range(7)])
    path = f"{V1}/conversations/{task_id}/activities"
    for order in ("asc", "desc"):
        listed = await everything(alice, path, limit=2, order=order)
        commands = [int(activity["input"]["command"]) for activity in listed]
        assert commands == sorted(range(7), reverse=order == "desc")


async def test_a_key_sent_with_a_message_is_stored_encrypted_only(bed: Bed, alice: Account) -> None:
    key, task_id = f"sk-secret-{secrets.token_hex(8)}", await pending(alice)
    body = {"content": "x", "overrides": {"providerApiKey": key}}
    assert (await alice.post(messages(task_id), body)).status_code == 201
    for table in ("messages", "events", "tasks"):
        column = "id" if table == "tasks" else "task_id"
        rows = await bed.pool.fetch(f"SELECT to_jsonb(t)::text FROM {table} t WHERE {column} = $1", task_id)
        stored = "".join(row[0] for row in rows)
        assert stored and key not in stored and key.encode().hex() not in stored


async def test_the_text_of_a_message_is_returned_unchanged(alice: Account) -> None:
    content = "\u202ereversed \U0001f600 \x01 <script> \\u0041 $1 %s {x} '; --\r\n  tail  "
    created = await alice.converse(content)
    task_id = created["task"]["id"]
    [message] = await everything(alice, messages(task_id))
    assert message["content"] == created["message"]["content"] == content
    log = await everything(alice, f"{V1}/tasks/{task_id}/events")
    assert [event["data"]["content"] for event in log if event["type"] == "message.created"] == [content]
    assert json.dumps(log)


async def test_a_conversation_that_was_handed_off_and_sleeps_can_be_ended(alice: Account) -> None:
    task_id = await asleep(alice)
    answer = await alice.post(f"{V1}/conversations/{task_id}/end")
    assert (answer.status_code, answer.json()["status"]) == (200, "finished")
    assert answer.json()["hibernateUntilAt"] is None
    kinds = [entry["kind"] for entry in await everything(alice, f"{V1}/account/ledger")]
    assert kinds.count("hold") == kinds.count("release")
    again = await alice.post(f"{V1}/conversations/{task_id}/end")
    assert (again.status_code, again.json()) == (200, answer.json())


async def test_a_wake_message_belongs_to_the_turn_that_hibernated(alice: Account) -> None:
    task_id = await asleep(alice)
    woken = await alice.post(f"{V1}/tasks/{task_id}/wake", {"kind": "message", "message": "Approved."})
    assert woken.status_code == 200, woken.text
    transcript = (await alice.get(messages(task_id))).json()["data"]
    assert [(message["content"], message["turnNumber"]) for message in transcript[-1:]] == [("Approved.", 2)]


async def test_a_message_to_an_agent_that_works_alone_has_the_number_of_its_turn(
    bed: Bed, alice: Account
) -> None:
    task_id = (await alice.converse())["task"]["id"]  # its first turn waits before the one that is handed off
    assert (await alice.post(f"{V1}/conversations/{task_id}/handoff")).status_code == 201
    steered = await alice.post(messages(task_id, "tasks"), {"content": "Leave out the south."})
    assert steered.json()["message"]["turnNumber"] == 2
    claim = await alice.claim(task_id)
    assert await turns.begin(bed.pool, claim) is not None
    assert await turns.deliver_steering(bed.pool, claim, steered.json()["message"]["id"])
    last = (await everything(alice, f"{V1}/tasks/{task_id}/events"))[-1]
    assert (last["type"], last["data"]["turnNumber"], last["data"]["attemptNumber"]) == (
        "message.delivered",
        1,
        1,
    )


async def test_a_queued_message_stands_after_the_reply_that_it_waited_for(bed: Bed, alice: Account) -> None:
    task_id = (await alice.converse("First?"))["task"]["id"]
    claim = await alice.claim(task_id)
    turn = await turns.begin(bed.pool, claim)
    assert turn is not None
    assert (await alice.post(messages(task_id), {"content": "Second?"})).status_code == 201
    checkpoint_id = await alice.checkpoint(task_id)
    await turns.end(
        bed.pool, bed.settings, claim, turn, checkpoint_id=checkpoint_id, reply="One.", file_ids=[]
    )
    transcript = ["First?", "One.", "Second?"]
    for limit in (1, 2, 100):
        for order, expected in (("asc", transcript), ("desc", transcript[::-1])):
            listed = await everything(alice, messages(task_id), limit, order=order)
            assert [message["content"] for message in listed] == expected
    sequences = [message["sequence"] for message in await everything(alice, messages(task_id))]
    assert sequences[1] > sequences[2], "the numbers are those of the log"
