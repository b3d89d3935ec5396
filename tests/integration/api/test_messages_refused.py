"""Messages that are refused: the right error, and nothing is written."""

import asyncio

import pytest

from agentcontainer.domain.conversations.service import MAX_QUEUED
from agentcontainer.ids import new_id

from .conftest import Account, Bed, error_of, new_account
from .message_requests import (
    CREATE,
    MIB,
    V1,
    Made,
    autonomous,
    autonomous_and_finished,
    cancelled,
    ended,
    everything,
    failed,
    handed_off,
    messages,
    pending,
    refused,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    "make_task",
    [cancelled, failed, ended, handed_off, autonomous, autonomous_and_finished],
    ids=lambda make_task: make_task.__name__,
)
async def test_tasks_that_take_no_message_answer_409(bed: Bed, alice: Account, make_task: Made) -> None:
    task_id = await make_task(alice)
    error = await refused(bed, alice, messages(task_id), 409, {"content": "Go on."})
    assert error["code"] == "conflict"
    assert task_id in error["message"]


@pytest.mark.parametrize(
    "make_task",
    [cancelled, failed, ended, pending, autonomous_and_finished],
    ids=lambda make_task: make_task.__name__,
)
async def test_tasks_that_cannot_be_steered_answer_409(bed: Bed, alice: Account, make_task: Made) -> None:
    error = await refused(bed, alice, messages(await make_task(alice), "tasks"), 409, {"content": "Go on."})
    assert error["code"] == "conflict"


@pytest.mark.parametrize(
    "content", ["", " ", "\n\t\u3000", "x" * (MIB // 2 + 1), "é" * (MIB // 4 + 1), "x" * 2 * MIB]
)
async def test_empty_and_oversized_messages_are_refused(bed: Bed, alice: Account, content: str) -> None:
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


async def test_a_missing_file_is_named_by_its_position_in_the_request(
    bed: Bed, alice: Account, bob: Account
) -> None:
    own, task_id = await alice.upload(), await pending(alice)
    for file_id in (await bob.upload(), new_id("file")):
        for path, body in ((messages(task_id), {"content": "x"}), (CREATE, {"message": "x"})):
            for files, field in (
                ({"inputFileIds": [own, file_id]}, "inputFileIds.1"),
                ({"inputFiles": [{"fileId": own}, {"fileId": file_id}]}, "inputFiles.1.fileId"),
            ):
                error = await refused(bed, alice, path, 400, body | files)
                assert error["details"] == [{"path": field, "message": f"file {file_id} does not exist"}]
    for body, field in (
        ({"inputFileIds": [own, own]}, "inputFileIds.1"),
        ({"inputFileIds": [own], "inputFiles": [{"fileId": own}]}, "inputFiles"),
    ):
        error = await refused(bed, alice, messages(task_id), 400, {"content": "x"} | body)
        assert [detail["path"] for detail in error["details"]] == [field]


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


async def test_the_number_of_queued_messages_is_limited(bed: Bed, alice: Account) -> None:
    task_id = await pending(alice)
    answers = [await alice.post(messages(task_id), {"content": "x"}) for _ in range(MAX_QUEUED + 1)]
    assert [answer.status_code for answer in answers] == [201] * (MAX_QUEUED - 1) + [
        409
    ] * 2  # the first message is still queued
    error = error_of(answers[-1])
    assert error["code"] == "conflict"
    assert str(MAX_QUEUED) in error["message"]
    assert len(await everything(alice, messages(task_id))) == MAX_QUEUED


async def test_without_a_balance_nothing_is_created(bed: Bed) -> None:
    poor = await new_account(bed, credit_micro_usd=600_000)
    answers = await asyncio.gather(*(poor.post(CREATE, {"message": "x"}) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [402] * 9
    count = "SELECT count(*) FROM messages m JOIN tasks t ON t.id = m.task_id WHERE t.account_id = $1"
    assert await bed.pool.fetchval(count, poor.id) == 1
    assert (await poor.get(f"{V1}/account")).json()["creditBalance"] == 0.1
    # The conversation has one hold; later messages need no further one.
    [task] = (await poor.get(f"{V1}/tasks")).json()["data"]
    assert (await poor.post(messages(task["id"]), {"content": "More."})).status_code == 201
