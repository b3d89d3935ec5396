"""Messages under bad use and under load: the right error and nothing written, the order kept, one effect of each."""

import asyncio
import json
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from agentcontainer.domain.conversations import turns
from agentcontainer.domain.conversations.service import MAX_QUEUED
from agentcontainer.domain.tasks.state import EndReason
from agentcontainer.ids import new_id

from .conftest import AGENT, Account, Bed, error_of, new_account

pytestmark = pytest.mark.asyncio(loop_scope="session")

V1 = "/api/v1"
CREATE = f"{V1}/agents/{AGENT}/conversations"
MIB = 1024 * 1024


def messages(task_id: str, resource: str = "conversations") -> str:
    return f"{V1}/{resource}/{task_id}/messages"


async def everything(account: Account, path: str, limit: int = 100, **query: Any) -> list[dict[str, Any]]:
    """All pages of a list."""
    found, cursor = list[dict[str, Any]](), None
    while True:
        params = {"limit": limit} | query | ({"cursor": cursor} if cursor else {})
        answer = await account.get(path, params=params)
        assert answer.status_code == 200, answer.text
        found += answer.json()["data"]
        cursor = answer.json()["pageInfo"]["nextCursor"]
        if cursor is None:
            return found


async def refused(bed: Bed, account: Account, path: str, status: int, body: Any) -> dict[str, Any]:
    """Post it: this status, and no row more or less than before."""
    before = await bed.rows()
    answer = await account.post(path, body)
    assert answer.status_code == status, answer.text
    assert await bed.rows() == before
    return error_of(answer)


async def pending(account: Account) -> str:
    return (await account.converse())["task"]["id"]


async def cancelled(account: Account) -> str:
    task_id = await pending(account)
    assert (await account.post(f"{V1}/tasks/{task_id}/cancel")).status_code == 200
    return task_id


async def failed(account: Account) -> str:
    task_id = await pending(account)
    await account.finish(task_id, reason=EndReason.AGENT_CRASHED)
    return task_id


async def ended(account: Account) -> str:
    task_id = await account.awaiting_input()
    assert (await account.post(f"{V1}/conversations/{task_id}/end")).status_code == 200
    return task_id


async def autonomous(account: Account) -> str:
    return (await account.dispatch())["id"]


async def autonomous_and_finished(account: Account) -> str:
    task_id = await autonomous(account)
    await account.finish(task_id)
    return task_id


async def handed_off(account: Account) -> str:
    task_id = await account.awaiting_input()
    assert (await account.post(f"{V1}/conversations/{task_id}/handoff")).status_code == 201
    return task_id


async def asleep(account: Account) -> str:
    task_id = await handed_off(account)
    await account.hibernate(task_id)
    return task_id


Made = Callable[[Account], Coroutine[Any, Any, str]]


@pytest.mark.parametrize(
    "made",
    [cancelled, failed, ended, handed_off, autonomous, autonomous_and_finished],
    ids=lambda made: made.__name__,
)
async def test_tasks_that_take_no_message_answer_409(bed: Bed, alice: Account, made: Made) -> None:
    task_id = await made(alice)
    error = await refused(bed, alice, messages(task_id), 409, {"content": "Go on."})
    assert error["code"] == "conflict"
    assert task_id in error["message"]


@pytest.mark.parametrize(
    "made", [cancelled, failed, ended, pending, autonomous_and_finished], ids=lambda made: made.__name__
)
async def test_tasks_that_cannot_be_steered_answer_409(bed: Bed, alice: Account, made: Made) -> None:
    error = await refused(bed, alice, messages(await made(alice), "tasks"), 409, {"content": "Go on."})
    assert error["code"] == "conflict"


@pytest.mark.parametrize("made", [autonomous, handed_off], ids=lambda made: made.__name__)
async def test_tasks_that_can_be_steered_take_a_message(bed: Bed, alice: Account, made: Made) -> None:
    task_id = await made(alice)
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


@pytest.mark.parametrize(
    "content", ["", " ", "\n\t\u3000", "x" * (MIB // 2 + 1), "é" * (MIB // 4 + 1), "x" * 2 * MIB]
)
async def test_empty_and_oversized_messages(bed: Bed, alice: Account, content: str) -> None:
    """Whitespace is empty; at most 512 KiB in UTF-8."""
    task_id, handed, own = await pending(alice), await handed_off(alice), await autonomous(alice)
    waiting = await alice.awaiting_input()
    for path, name in (
        (messages(task_id), "content"), (messages(handed, "tasks"), "content"), (messages(own, "tasks"), "content"),
        (CREATE, "message"), (f"{V1}/conversations/{waiting}/handoff", "message"),
    ):  # fmt: skip
        error = await refused(bed, alice, path, 400, {name: content})
        assert [detail["path"] for detail in error["details"]] == [name]
        assert ("empty" in error["message"]) == (len(content) < 10)
        assert len(error["message"]) < 200


async def test_a_body_beyond_what_is_read_is_413(bed: Bed, alice: Account) -> None:
    task_id = await pending(alice)
    for path, name in ((messages(task_id), "content"), (CREATE, "message")):
        error = await refused(bed, alice, path, 413, {name: "x" * 8 * MIB})
        assert error["code"] == "payload_too_large"


async def test_the_largest_messages_fit_however_they_are_spelt(alice: Account) -> None:
    largest = "\x01" * (MIB // 2)  # six bytes each in JSON
    made = await alice.converse(largest, instructions=largest)
    assert (made["message"]["content"], made["task"]["instructions"]) == (largest, largest)
    answer = await alice.post(messages(made["task"]["id"]), {"content": largest})
    assert answer.status_code == 201, answer.text
    assert [message["content"] for message in await everything(alice, messages(made["task"]["id"]))] == [
        largest
    ] * 2


async def test_files_that_are_not_there_are_named_as_they_were_sent(
    bed: Bed, alice: Account, bob: Account
) -> None:
    own, task_id = await alice.upload(), await pending(alice)
    for wrong in (await bob.upload(), new_id("file")):
        for path, body in ((messages(task_id), {"content": "x"}), (CREATE, {"message": "x"})):
            for files, place in (
                ({"inputFileIds": [own, wrong]}, "inputFileIds.1"),
                ({"inputFiles": [{"fileId": own}, {"fileId": wrong}]}, "inputFiles.1.fileId"),
            ):
                error = await refused(bed, alice, path, 400, body | files)
                assert error["details"] == [{"path": place, "message": f"file {wrong} does not exist"}]
    for body, place in (
        ({"inputFileIds": [own, own]}, "inputFileIds.1"),
        ({"inputFileIds": [own], "inputFiles": [{"fileId": own}]}, "inputFiles"),
    ):
        error = await refused(bed, alice, messages(task_id), 400, {"content": "x"} | body)
        assert [detail["path"] for detail in error["details"]] == [place]


async def test_a_file_of_a_message_cannot_be_deleted_while_the_conversation_lives(alice: Account) -> None:
    file_id, task_id = await alice.upload(), await pending(alice)
    await alice.post(messages(task_id), {"content": "x", "inputFileIds": [file_id]})
    path = f"{V1}/files/{file_id}"
    assert (await alice.send("DELETE", path)).status_code == 409
    await alice.post(f"{V1}/tasks/{task_id}/cancel")
    assert (await alice.send("DELETE", path)).status_code == 204
    # The transcript stays as it was.
    assert [file["id"] for file in (await everything(alice, messages(task_id)))[1]["files"]] == [file_id]


async def test_invalid_turn_ranges_are_refused(alice: Account) -> None:
    path = f"{V1}/conversations/{await pending(alice)}/activities"
    for query, name in (
        ("fromTurn=3&toTurn=2", "toTurn"), ("fromTurn=0", "fromTurn"), ("toTurn=0", "toTurn"), ("turn=1", "turn"),
        ("fromTurn=-1", "fromTurn"), ("fromTurn=x", "fromTurn"), ("toTurn=1.0", "toTurn"), ("fromTurn=", "fromTurn"),
        ("fromTurn=" + "9" * 18, "fromTurn"),
    ):  # fmt: skip
        answer = await alice.get(f"{path}?{query}")
        assert (answer.status_code, error_of(answer)["details"][0]["path"]) == (400, name), query
    for query in ("fromTurn=2&toTurn=2", f"toTurn={2**31 - 1}", "toTurn=1"):
        assert (await alice.get(f"{path}?{query}")).status_code == 200, query


async def test_a_cursor_works_for_its_own_list_only(alice: Account) -> None:
    task_id = await pending(alice)
    await alice.post(messages(task_id), {"content": "x"})
    cursor = (await alice.get(messages(task_id), params={"limit": 1})).json()["pageInfo"]["nextCursor"]
    for part in ("activities", "events"):
        answer = await alice.get(f"{V1}/conversations/{task_id}/{part}", params={"cursor": cursor})
        assert (answer.status_code, error_of(answer)["details"][0]["path"]) == (400, "cursor")


async def test_a_hundred_messages_at_once_are_a_hundred_turns_in_order(bed: Bed, alice: Account) -> None:
    task_id = await pending(alice)
    answers = await asyncio.gather(
        *(alice.post(messages(task_id), {"content": f"Number {number}."}) for number in range(100))
    )
    assert {answer.status_code for answer in answers} == {201}
    sent = {answer.json()["message"]["id"]: answer.json()["message"] for answer in answers}
    assert sorted(message["turnNumber"] for message in sent.values()) == list(range(2, 102))
    listed = (await everything(alice, messages(task_id)))[1:]
    assert [message["turnNumber"] for message in listed] == list(range(2, 102))
    assert [message["sequence"] for message in listed] == sorted({m["sequence"] for m in listed})
    assert {message["id"]: message for message in listed} == sent
    log = await everything(alice, f"{V1}/tasks/{task_id}/events")
    assert [event["sequence"] for event in log] == list(range(1, len(log) + 1))
    assert [event["data"]["turnNumber"] for event in log if event["type"] == "message.created"] == list(
        range(1, 102)
    )


async def test_messages_one_after_the_other_keep_their_order_while_others_send(alice: Account) -> None:
    """What one client sends in a row stands in that order, whoever else is talking."""
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


async def test_the_number_of_queued_messages_is_limited(bed: Bed, alice: Account) -> None:
    task_id = await pending(alice)
    answers = [await alice.post(messages(task_id), {"content": "x"}) for _ in range(MAX_QUEUED + 1)]
    assert [answer.status_code for answer in answers] == [201] * (MAX_QUEUED - 1) + [
        409
    ] * 2  # the first waits too
    error = error_of(answers[-1])
    assert error["code"] == "conflict"
    assert str(MAX_QUEUED) in error["message"]
    assert len(await everything(alice, messages(task_id))) == MAX_QUEUED


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
    """What was answered 201 is in the transcript; what was not is not."""
    task_id = await alice.awaiting_input()
    sending = [alice.post(messages(task_id), {"content": f"{number}"}) for number in range(20)]
    *answers, over = await asyncio.gather(*sending, alice.post(f"{V1}/tasks/{task_id}/cancel"))
    assert over.status_code == 200
    assert {answer.status_code for answer in answers} <= {201, 409}
    taken = {answer.json()["message"]["content"] for answer in answers if answer.status_code == 201}
    listed = [message["content"] for message in (await everything(alice, messages(task_id)))[2:]]
    assert (set(listed), len(listed)) == (taken, len(taken))
    assert (await alice.get(f"{V1}/tasks/{task_id}")).json()["status"] == "cancelled"


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_paging_while_messages_come_in(alice: Account, order: str) -> None:
    task_id = await pending(alice)
    for number in range(20):
        await alice.post(messages(task_id), {"content": f"early {number}"})
    early = {message["id"] for message in await everything(alice, messages(task_id))}
    found, cursor = list[dict[str, Any]](), None
    while cursor or not found:
        params = {"limit": 4, "order": order} | ({"cursor": cursor} if cursor else {})
        page = (await alice.get(messages(task_id), params=params)).json()
        found += page["data"]
        cursor = page["pageInfo"]["nextCursor"]
        if len(found) < 30:
            assert (await alice.post(messages(task_id), {"content": "late"})).status_code == 201
    ids = [message["id"] for message in found]
    assert len(set(ids)) == len(ids)
    assert early <= set(ids)
    sequences = [message["sequence"] for message in found]
    assert sequences == sorted(sequences, reverse=order == "desc")


async def test_paging_activities_one_at_a_time(alice: Account) -> None:
    task_id = await alice.awaiting_input(tools=[{"command": str(number)} for number in range(7)])
    path = f"{V1}/conversations/{task_id}/activities"
    for order in ("asc", "desc"):
        found = await everything(alice, path, limit=2, order=order)
        commands = [int(activity["input"]["command"]) for activity in found]
        assert commands == sorted(range(7), reverse=order == "desc")


async def test_without_a_balance_nothing_is_created(bed: Bed) -> None:
    poor = await new_account(bed, credit_micro_usd=600_000)
    answers = await asyncio.gather(*(poor.post(CREATE, {"message": "x"}) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [402] * 9
    count = "SELECT count(*) FROM messages m JOIN tasks t ON t.id = m.task_id WHERE t.account_id = $1"
    assert await bed.pool.fetchval(count, poor.id) == 1
    assert (await poor.get(f"{V1}/account")).json()["creditBalance"] == 0.1
    # The hold is the conversation's: its next messages need no other.
    [task] = (await poor.get(f"{V1}/tasks")).json()["data"]
    assert (await poor.post(messages(task["id"]), {"content": "More."})).status_code == 201


async def test_a_key_sent_with_a_message_is_stored_encrypted_only(bed: Bed, alice: Account) -> None:
    key, task_id = f"sk-secret-{secrets.token_hex(8)}", await pending(alice)
    body = {"content": "x", "overrides": {"providerApiKey": key}}
    assert (await alice.post(messages(task_id), body)).status_code == 201
    for table in ("messages", "events", "tasks"):
        column = "id" if table == "tasks" else "task_id"
        rows = await bed.pool.fetch(f"SELECT to_jsonb(t)::text FROM {table} t WHERE {column} = $1", task_id)
        stored = "".join(row[0] for row in rows)
        assert stored and key not in stored and key.encode().hex() not in stored


async def test_what_a_client_wrote_comes_back_as_it_was(alice: Account) -> None:
    content = "\u202ereversed \U0001f600 \x01 <script> \\u0041 $1 %s {x} '; --\r\n  tail  "
    made = await alice.converse(content)
    task_id = made["task"]["id"]
    [message] = await everything(alice, messages(task_id))
    assert message["content"] == made["message"]["content"] == content
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


async def test_what_wakes_a_conversation_belongs_to_the_turn_that_slept(alice: Account) -> None:
    task_id = await asleep(alice)
    woken = await alice.post(f"{V1}/tasks/{task_id}/wake", {"kind": "message", "message": "Approved."})
    assert woken.status_code == 200, woken.text
    said = (await alice.get(messages(task_id))).json()["data"]
    assert [(one["content"], one["turnNumber"]) for one in said[-1:]] == [("Approved.", 2)]


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
