"""Concurrent messages: their order is kept, and each has one effect."""

import asyncio
import secrets
from typing import Any

import pytest

from .conftest import Account, Bed, error_of
from .message_requests import CREATE, V1, autonomous, everything, messages, pending

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_hundred_messages_at_once_are_a_hundred_turns_in_order(bed: Bed, alice: Account) -> None:
    task_id = await pending(alice)
    answers = await asyncio.gather(
        *(alice.post(messages(task_id), {"content": f"Number {number}."}) for number in range(100))
    )
    assert {answer.status_code for answer in answers} == {201}
    created = {answer.json()["message"]["id"]: answer.json()["message"] for answer in answers}
    assert sorted(message["turnNumber"] for message in created.values()) == list(range(2, 102))
    listed = (await everything(alice, messages(task_id)))[1:]
    assert [message["turnNumber"] for message in listed] == list(range(2, 102))
    assert [message["sequence"] for message in listed] == sorted({m["sequence"] for m in listed})
    assert {message["id"]: message for message in listed} == created
    log = await everything(alice, f"{V1}/tasks/{task_id}/events")
    assert [event["sequence"] for event in log] == list(range(1, len(log) + 1))
    assert [event["data"]["turnNumber"] for event in log if event["type"] == "message.created"] == list(
        range(1, 102)
    )


async def test_messages_one_after_the_other_keep_their_order_while_others_send(alice: Account) -> None:
    """The messages of one client keep their order while others send too."""
    task_id = await pending(alice)

    async def talk(name: str) -> None:
        for number in range(15):
            answer = await alice.post(messages(task_id), {"content": f"{name} {number}"})
            assert answer.status_code == 201

    await asyncio.gather(*(talk(name) for name in "abcd"))
    contents = [message["content"] for message in await everything(alice, messages(task_id), limit=7)]
    for name in "abcd":
        own = [content for content in contents if content.startswith(f"{name} ")]
        assert own == [f"{name} {number}" for number in range(15)]


async def test_concurrent_repeats_have_one_effect(bed: Bed, alice: Account) -> None:
    waiting, started = await alice.awaiting_input(), await pending(alice)
    task = await autonomous(alice)
    for path, body in (
        (CREATE, {"message": "Hello."}),
        (messages(started), {"content": "Go on."}),
        (messages(task, "tasks"), {"content": "Hurry."}),
        (f"{V1}/conversations/{waiting}/handoff", {"message": "You do it."}),
    ):
        headers, before = {"Idempotency-Key": secrets.token_hex(8)}, await bed.rows()
        answers = await asyncio.gather(*(alice.post(path, body, headers=headers) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {201}, answers[0].text
        assert len({answer.content for answer in answers}) == 1
        assert [answer.headers.get("idempotent-replayed") for answer in answers].count("true") == 19
        after = await bed.rows()
        assert after["messages"] == before["messages"] + 1
        assert after["tasks"] == before["tasks"] + (path == CREATE)
        other = await alice.post(path, dict.fromkeys(body, "Other."), headers=headers)
        assert (other.status_code, error_of(other)["code"]) == (409, "conflict")
        assert await bed.rows() == after


async def test_twenty_handoffs_at_once_are_one(alice: Account) -> None:
    path = f"{V1}/conversations/{await alice.awaiting_input()}/handoff"
    answers = await asyncio.gather(*(alice.post(path) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19


async def test_no_accepted_message_is_lost_when_the_conversation_ends(alice: Account) -> None:
    """Exactly the messages that were answered with 201 are in the transcript."""
    task_id = await alice.awaiting_input()
    sending = [alice.post(messages(task_id), {"content": f"{number}"}) for number in range(20)]
    *answers, over = await asyncio.gather(*sending, alice.post(f"{V1}/tasks/{task_id}/cancel"))
    assert over.status_code == 200
    assert {answer.status_code for answer in answers} <= {201, 409}
    accepted = {answer.json()["message"]["content"] for answer in answers if answer.status_code == 201}
    listed = [message["content"] for message in (await everything(alice, messages(task_id)))[2:]]
    assert (set(listed), len(listed)) == (accepted, len(accepted))
    assert (await alice.get(f"{V1}/tasks/{task_id}")).json()["status"] == "cancelled"


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_paging_while_messages_come_in(alice: Account, order: str) -> None:
    task_id = await pending(alice)
    for number in range(20):
        await alice.post(messages(task_id), {"content": f"early {number}"})
    first_ids = {message["id"] for message in await everything(alice, messages(task_id))}
    listed, cursor = list[dict[str, Any]](), None
    while cursor or not listed:
        params = {"limit": 4, "order": order} | ({"cursor": cursor} if cursor else {})
        page = (await alice.get(messages(task_id), params=params)).json()
        listed += page["data"]
        cursor = page["pageInfo"]["nextCursor"]
        if len(listed) < 30:
            assert (await alice.post(messages(task_id), {"content": "late"})).status_code == 201
    ids = [message["id"] for message in listed]
    assert len(set(ids)) == len(ids)
    assert first_ids <= set(ids)
    sequences = [message["sequence"] for message in listed]
    assert sequences == sorted(sequences, reverse=order == "desc")
