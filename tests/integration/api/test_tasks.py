"""Tasks: get, list, filter, page, cancel, events."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from agentcontainer import db
from agentcontainer.domain.tasks import creation, events
from agentcontainer.domain.tasks.event_data import Draft
from agentcontainer.domain.tasks.model import Dispatch
from agentcontainer.domain.tasks.state import TERMINAL, EndReason, Status

from .conftest import AGENT, Account, Bed, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def ids(account: Account, query: str = "") -> list[str]:
    answer = await account.get(f"/api/v1/tasks?{query}")
    assert answer.status_code == 200, answer.text
    return [task["id"] for task in answer.json()["data"]]


async def pages(account: Account, path: str, **parameters: Any) -> list[list[dict[str, Any]]]:
    """All pages of a list, by following its cursors."""
    fetched: list[list[dict[str, Any]]] = []
    while True:
        answer = await account.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        fetched.append(answer.json()["data"])
        info = answer.json()["pageInfo"]
        assert info["hasMore"] == (info["nextCursor"] is not None)
        if not info["hasMore"]:
            return fetched
        parameters["cursor"] = info["nextCursor"]


async def test_a_list_does_not_wait_for_a_dispatch(bed: Bed, alice: Account) -> None:
    async with db.transaction(bed.pool) as connection:
        task = await creation.create(
            connection, bed.settings, bed.vault, alice.id, AGENT, Dispatch("x"), "autonomous"
        )
        assert await ids(alice, "order=asc") == []
    assert await ids(alice, "order=asc") == [task.id]


async def test_newest_first_unless_asked_otherwise(alice: Account) -> None:
    task_ids = [(await alice.dispatch())["id"] for _ in range(3)]
    assert await ids(alice) == task_ids[::-1]
    assert await ids(alice, "order=asc") == task_ids
    assert await ids(alice, "limit=1") == task_ids[-1:]


async def test_the_list_holds_whole_tasks(alice: Account) -> None:
    task = await alice.dispatch()
    assert (await alice.get("/api/v1/tasks")).json() == {
        "data": [task], "pageInfo": {"hasMore": False, "nextCursor": None},
    }  # fmt: skip


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8, 100])
async def test_pages_hold_each_task_once(alice: Account, order: str, limit: int) -> None:
    task_ids = [(await alice.dispatch())["id"] for _ in range(7)]
    fetched = await pages(alice, "/api/v1/tasks", limit=limit, order=order)
    assert [task["id"] for page in fetched for task in page] == (
        task_ids if order == "asc" else task_ids[::-1]
    )
    assert all(len(page) == limit for page in fetched[:-1])
    assert fetched[-1]


async def test_rows_inserted_while_paging_are_neither_repeated_nor_skipped(alice: Account) -> None:
    task_ids = [(await alice.dispatch())["id"] for _ in range(6)]
    listed: list[str] = []
    parameters: dict[str, Any] = {"limit": 2}
    while True:
        page = (await alice.get("/api/v1/tasks", params=parameters)).json()
        listed += [task["id"] for task in page["data"]]
        if not page["pageInfo"]["hasMore"]:
            break
        parameters["cursor"] = page["pageInfo"]["nextCursor"]
        await asyncio.gather(alice.dispatch(), alice.dispatch())
    assert listed == task_ids[::-1]
    ascending = await pages(alice, "/api/v1/tasks", limit=2, order="asc")
    assert [task["id"] for page in ascending for task in page][:6] == task_ids


async def test_a_cursor_is_good_for_its_own_list_only(alice: Account) -> None:
    for _ in range(2):
        task = await alice.dispatch()
    cursor = (await alice.get("/api/v1/tasks?limit=1")).json()["pageInfo"]["nextCursor"]
    for path in ("/api/v1/agents", f"/api/v1/tasks/{task['id']}/files", f"/api/v1/tasks/{task['id']}/events"):
        answer = await alice.get(path, params={"cursor": cursor})
        assert answer.status_code == 400
        assert error_of(answer)["details"][0]["path"] == "cursor"


async def test_tasks_can_be_filtered(alice: Account, bob: Account) -> None:
    await bob.dispatch(metadata={"customer": "x"})
    plain = await alice.dispatch()
    tagged = await alice.dispatch(metadata={"customer": "x", "a.b": "c d", "count": 1, "ключ": "é&="})
    finished = await alice.dispatch(metadata={"customer": "y"})
    await alice.finish(finished["id"])
    cancelled = await alice.dispatch()
    await alice.post(f"/api/v1/tasks/{cancelled['id']}/cancel")

    assert await ids(alice, "status=pending") == [tagged["id"], plain["id"]]
    assert await ids(alice, "status=finished") == [finished["id"]]
    assert await ids(alice, "status=hibernating") == []
    assert len(await ids(alice, f"agentId={AGENT}")) == 4
    assert await ids(alice, "agentId=agt_standard_coding") == []
    assert len(await ids(alice, "mode=autonomous")) == 4
    assert await ids(alice, "mode=conversation") == []
    assert await ids(alice, "metadata.customer=x") == [tagged["id"]]
    assert await ids(alice, "metadata.customer=x&metadata.a.b=c%20d") == [tagged["id"]]
    assert await ids(alice, "metadata.customer=x&metadata.a.b=other") == []
    assert await ids(alice, f"metadata.{quote('ключ')}={quote('é&=')}") == [tagged["id"]]
    assert await ids(alice, "metadata.customer=y&status=finished") == [finished["id"]]
    assert await ids(alice, "metadata.customer=y&status=pending") == []


async def test_filters_by_creation_leave_the_task_itself_out(alice: Account) -> None:
    tasks = []
    for _ in range(3):
        tasks.append(await alice.dispatch())
        await asyncio.sleep(0.002)
    first, middle, last = (task["id"] for task in tasks)
    at = tasks[1]["createdAt"]
    assert await ids(alice, f"createdAfter={at}") == [last]
    assert await ids(alice, f"createdBefore={at}") == [first]
    earlier = (datetime.fromisoformat(at) - timedelta(milliseconds=1)).isoformat()
    assert await ids(alice, f"createdAfter={quote(earlier)}&createdBefore={tasks[2]['createdAt']}") == [
        middle
    ]
    elsewhere = (datetime.fromisoformat(at) + timedelta(hours=2)).isoformat().replace("+00:00", "+02:00")
    assert await ids(alice, f"createdAfter={quote(elsewhere)}") == [last]


async def test_a_pending_task_is_cancelled_without_cost(bed: Bed, alice: Account) -> None:
    task = await alice.dispatch(overrides={"providerApiKey": "sk-0123456789"})
    answer = await alice.post(f"/api/v1/tasks/{task['id']}/cancel")
    assert answer.status_code == 200
    cancelled = answer.json()
    assert (cancelled["status"], cancelled["costUsd"]) == ("cancelled", 0)
    assert cancelled["completedAt"]
    assert (await alice.get("/api/v1/account")).json()["creditBalance"] == 10
    key = await bed.pool.fetchval("SELECT provider_key_ciphertext FROM tasks WHERE id = $1", task["id"])
    assert key is None

    again = await alice.post(f"/api/v1/tasks/{task['id']}/cancel")
    assert (again.status_code, again.json()) == (200, cancelled)
    log = (await alice.get(f"/api/v1/tasks/{task['id']}/events")).json()["data"]
    assert [event["type"] for event in log] == ["task.created", "task.cancelled"]


async def test_ten_cancels_at_once_are_one(alice: Account) -> None:
    task = await alice.dispatch()
    answers = await asyncio.gather(*(alice.post(f"/api/v1/tasks/{task['id']}/cancel") for _ in range(10)))
    assert [answer.status_code for answer in answers] == [200] * 10
    assert (await alice.get("/api/v1/account")).json()["creditBalance"] == 10
    assert len((await alice.get(f"/api/v1/tasks/{task['id']}/events")).json()["data"]) == 2


@pytest.mark.parametrize("reason", [EndReason.COMPLETE, EndReason.AGENT_STOPPED])
async def test_an_ended_task_cannot_be_cancelled(alice: Account, reason: EndReason) -> None:
    task = await alice.dispatch()
    await alice.finish(task["id"], reason=reason)
    before = (await alice.get(f"/api/v1/tasks/{task['id']}")).json()
    answer = await alice.post(f"/api/v1/tasks/{task['id']}/cancel")
    assert answer.status_code == 409
    assert before["status"] in error_of(answer)["message"]
    assert (await alice.get(f"/api/v1/tasks/{task['id']}")).json() == before


async def test_a_failed_task_says_why(alice: Account) -> None:
    task = await alice.dispatch()
    await alice.finish(task["id"], reason=EndReason.AGENT_STOPPED)
    failed = (await alice.get(f"/api/v1/tasks/{task['id']}")).json()
    assert (failed["status"], failed["errorCode"], failed["error"]) == ("failed", "agent_stopped", "Done.")
    assert failed["completion"] is None
    assert failed["result"] is None


async def log_of(bed: Bed, account: Account, length: int) -> str:
    task_id = (await account.dispatch())["id"]
    async with db.transaction(bed.pool) as connection:
        drafts = [Draft("tool.started", {"callId": str(n)}) for n in range(2, length + 1)]
        await events.append(connection, task_id, drafts)
    return task_id


async def test_an_event_has_all_its_fields(alice: Account) -> None:
    task = await alice.dispatch()
    [event] = (await alice.get(f"/api/v1/tasks/{task['id']}/events")).json()["data"]
    assert event == {
        "id": event["id"],
        "sequence": 1,
        "type": "task.created",
        "taskId": task["id"],
        "createdAt": event["createdAt"],
        "data": {"status": "pending", "agentId": AGENT, "mode": "autonomous"},
    }
    assert event["id"].startswith("evt_")


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 5, 6, 7])
@pytest.mark.parametrize("after", [0, 2, 5, 6])
async def test_events_are_paged(bed: Bed, alice: Account, order: str, limit: int, after: int) -> None:
    task_id = await log_of(bed, alice, 6)
    fetched = await pages(alice, f"/api/v1/tasks/{task_id}/events", order=order, limit=limit, after=after)
    expected = [n for n in range(1, 7) if n > after]
    assert [event["sequence"] for page in fetched for event in page] == (
        expected if order == "asc" else expected[::-1]
    )
    assert all(len(page) == limit for page in fetched[:-1])


async def test_summaries_of_events_are_short_and_each_can_be_read_whole(bed: Bed, alice: Account) -> None:
    task_id = (await alice.dispatch())["id"]
    long, path = "ä" * 2000, f"/api/v1/tasks/{task_id}/events"
    data = {
        "callId": "1",
        "input": {"lines": [long, "short", 7, None, {}], "deep": {"er": long}},
        "tool": "write",
    }
    async with db.transaction(bed.pool) as connection:
        await events.append(
            connection,
            task_id,
            [*[Draft("tool.started", data)] * 700, Draft("tool.completed", {"output": "ok"})],
        )
    answer = await alice.get(path, params={"fields": "summary", "limit": 1000, "after": 1})
    assert len(answer.content) < 2_000_000
    page = answer.json()
    assert [event["sequence"] for event in page["data"]] == list(range(2, 703))
    assert not page["pageInfo"]["hasMore"]
    cut = "ä" * 512
    assert page["data"][0]["data"] == {
        "callId": "1", "input": {"lines": [cut, "short", 7, None, {}], "deep": {"er": cut}}, "tool": "write",
    }  # fmt: skip
    assert page["data"][0]["isShortened"] is True
    assert "isShortened" not in page["data"][-1]
    whole = (await alice.get(f"{path}/2")).json()
    assert whole["data"] == data
    assert whole == (await alice.get(path, params={"after": 1, "limit": 1})).json()["data"][0]


async def test_an_event_that_does_not_exist_is_not_found(alice: Account, bob: Account) -> None:
    task_id = (await alice.dispatch())["id"]
    path = f"/api/v1/tasks/{task_id}/events/"
    assert (await alice.get(f"{path}1")).status_code == 200
    for sequence in ("0", "2", "-1", "x", "01", "9" * 18, "9" * 19):
        assert (await alice.get(path + sequence)).status_code == 404, sequence
    assert (await bob.get(f"{path}1")).status_code == 404
    assert (await alice.get(f"/api/v1/conversations/{task_id}/events/1")).status_code == 409
    conversation_id = (await alice.converse())["task"]["id"]
    event = (await alice.get(f"/api/v1/conversations/{conversation_id}/events/1")).json()
    assert (event["sequence"], event["type"]) == (1, "task.created")


async def test_events_that_come_while_paging_are_all_seen(bed: Bed, alice: Account) -> None:
    task_id = await log_of(bed, alice, 3)
    first = (await alice.get(f"/api/v1/tasks/{task_id}/events?limit=2")).json()
    await alice.post(f"/api/v1/tasks/{task_id}/cancel")
    cursor = first["pageInfo"]["nextCursor"]
    rest = (await alice.get(f"/api/v1/tasks/{task_id}/events?limit=2&cursor={cursor}")).json()
    assert [event["sequence"] for event in first["data"] + rest["data"]] == [1, 2, 3, 4]
    assert rest["data"][-1]["type"] == "task.cancelled"
    assert rest["pageInfo"] == {"hasMore": False, "nextCursor": None}


async def test_events_oldest_first_with_twenty_to_a_page(bed: Bed, alice: Account) -> None:
    task_id = await log_of(bed, alice, 25)
    page = (await alice.get(f"/api/v1/tasks/{task_id}/events")).json()
    assert [event["sequence"] for event in page["data"]] == list(range(1, 21))


async def test_the_result_is_the_finish_message(alice: Account) -> None:
    task = await alice.dispatch()
    await alice.finish(task["id"])
    ended = (await alice.get(f"/api/v1/tasks/{task['id']}")).json()
    assert (ended["status"], ended["completion"], ended["result"]) == ("finished", "complete", "Done.")


async def test_a_failed_task_has_an_error_code_and_a_sentence(alice: Account) -> None:
    task = await alice.dispatch()
    await alice.finish(task["id"], reason=EndReason.MAX_RUNTIME_EXCEEDED)
    ended = (await alice.get(f"/api/v1/tasks/{task['id']}")).json()
    assert (ended["status"], ended["completion"], ended["errorCode"]) == (
        "failed",
        None,
        "max_runtime_exceeded",
    )
    assert ended["error"]


async def test_a_hibernating_task_shows_when_it_wakes_and_can_be_listed(alice: Account) -> None:
    task_id = await alice.hibernating(until=datetime(2031, 4, 14, 15, tzinfo=UTC))
    task = (await alice.get(f"/api/v1/tasks/{task_id}")).json()
    assert (task["status"], task["hibernateUntilAt"]) == ("hibernating", "2031-04-14T15:00:00.000Z")
    assert await ids(alice, "status=hibernating") == [task_id]


@pytest.mark.parametrize("status", sorted(set(Status) - TERMINAL))
async def test_a_task_can_be_cancelled_in_every_status_that_is_not_terminal(
    alice: Account, status: Status
) -> None:
    match status:
        case Status.AWAITING_INPUT:
            task_id = await alice.awaiting_input()
        case Status.HIBERNATING:
            task_id = await alice.hibernating()
        case _:
            task_id = (await alice.dispatch())["id"]
            if status is Status.RUNNING:
                await alice.claim(task_id)
    assert (await alice.get(f"/api/v1/tasks/{task_id}")).json()["status"] == status
    answer = await alice.post(f"/api/v1/tasks/{task_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    log = (await alice.get(f"/api/v1/tasks/{task_id}/events", params={"order": "desc"})).json()["data"]
    assert log[0]["type"] == "task.cancelled"
    balance = (await alice.get("/api/v1/account")).json()["creditBalance"]
    assert balance == pytest.approx(10 - answer.json()["costUsd"], abs=1e-6), "the hold is released"


@pytest.mark.parametrize("reason", [EndReason.COMPLETE, EndReason.AGENT_CRASHED, EndReason.CANCELLED])
async def test_a_terminal_status_never_changes(alice: Account, reason: EndReason) -> None:
    task = await alice.dispatch()
    if reason is EndReason.CANCELLED:
        await alice.post(f"/api/v1/tasks/{task['id']}/cancel")
    else:
        await alice.finish(task["id"], reason=reason)
    before = (await alice.get(f"/api/v1/tasks/{task['id']}")).json()
    with pytest.raises(AssertionError):  # the task cannot be claimed
        await alice.finish(task["id"])
    await alice.post(f"/api/v1/tasks/{task['id']}/cancel")
    assert (await alice.get(f"/api/v1/tasks/{task['id']}")).json() == before
