"""The list of tasks: its filters, alone and together, its orders and its pages."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentcontainer.domain.tasks import listing
from agentcontainer.domain.tasks.model import TaskFilter
from agentcontainer.domain.tasks.state import EndReason, Status
from agentcontainer.ids import new_id

from .conftest import Account, Bed, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

TASKS = "/api/v1/tasks"


async def ids(account: Account, query: str = "") -> list[str]:
    """The ids of all pages of the list, two at a time."""
    found: list[str] = []
    cursor = ""
    while True:
        answer = await account.get(f"{TASKS}?limit=2{query}{cursor}")
        assert answer.status_code == 200, answer.text
        found += [task["id"] for task in answer.json()["data"]]
        info = answer.json()["pageInfo"]
        if not info["hasMore"]:
            return found
        cursor = f"&cursor={info['nextCursor']}"


async def ended(account: Account, reason: EndReason = EndReason.COMPLETE, **body: Any) -> str:
    task_id = (await account.dispatch(**body))["id"]
    await account.finish(task_id, reason=reason)
    return task_id


async def test_a_status_may_be_repeated(alice: Account) -> None:
    pending = [(await alice.dispatch())["id"] for _ in range(3)]
    finished = [await ended(alice) for _ in range(3)]
    failed = await ended(alice, EndReason.AGENT_STOPPED)
    assert await ids(alice, "&status=finished&status=pending") == [*finished[::-1], *pending[::-1]]
    assert await ids(alice, "&status=pending&status=failed&order=asc") == [*pending, failed]
    assert await ids(alice, "&status=failed") == [failed]
    assert await ids(alice, "&status=pending&status=running&status=pending") == pending[::-1]
    assert (await alice.get(f"{TASKS}?mode=autonomous&mode=conversation")).status_code == 400
    answer = await alice.get(f"{TASKS}?status=finished&status=done")
    assert answer.status_code == 400
    assert error_of(answer)["details"][0]["path"].startswith("status")


async def test_by_error_code_and_version(alice: Account) -> None:
    finished = await ended(alice)
    stopped = await ended(alice, EndReason.AGENT_STOPPED)
    assert await ids(alice, "&errorCode=agent_stopped") == [stopped]
    assert await ids(alice, "&errorCode=out_of_memory") == []
    answer = await alice.get(f"{TASKS}?errorCode=unheard_of")
    assert (answer.status_code, error_of(answer)["details"][0]["path"]) == (400, "errorCode")
    version = (await alice.get(f"{TASKS}/{finished}")).json()["agentVersionId"]
    assert await ids(alice, f"&agentVersionId={version}") == [stopped, finished]
    assert await ids(alice, f"&agentVersionId={version}&errorCode=agent_stopped&mode=autonomous") == [stopped]
    assert await ids(alice, f"&agentVersionId={new_id('agv')}") == []


async def test_by_completion_the_order_is_that_of_the_ends(bed: Bed, alice: Account) -> None:
    first, second, third = [await ended(alice) for _ in range(3)]
    pending = (await alice.dispatch())["id"]
    base = datetime(2026, 1, 1, tzinfo=UTC)
    for task_id, hours in ((third, 1), (first, 2), (second, 3)):
        await bed.pool.execute(
            "UPDATE tasks SET completed_at = $2 WHERE id = $1", task_id, base + timedelta(hours=hours)
        )
    assert await ids(alice, "&completedAfter=2026-01-01T00:00:00Z") == [second, first, third]
    assert await ids(alice, "&completedAfter=2026-01-01T00:00:00Z&order=asc") == [third, first, second]
    assert await ids(alice, "&completedAfter=2026-01-01T01:00:00Z&completedBefore=2026-01-01T03:00:00Z") == [
        first
    ]
    assert pending not in await ids(alice, "&completedBefore=2030-01-01T00:00:00Z&status=pending")
    page = (await alice.get(f"{TASKS}?limit=1&completedAfter=2026-01-01T00:00:00Z")).json()
    other = await alice.get(f"{TASKS}?limit=1&cursor={page['pageInfo']['nextCursor']}")
    assert other.status_code == 400  # a cursor of another order


async def test_by_creation(bed: Bed, alice: Account) -> None:
    first, second = [await alice.dispatch() for _ in range(2)]
    assert await ids(alice, f"&createdAfter={first['createdAt']}") == [second["id"]]
    assert await ids(alice, f"&createdBefore={second['createdAt']}") == [first["id"]]
    assert await ids(alice, "&createdBefore=1970-01-01T00:00:00Z") == []
    assert await ids(alice, "&createdAfter=9999-12-31T23:59:59Z") == []
    assert len(await ids(alice, "&createdAfter=0001-01-01T00:00:00Z")) == 2


async def test_text_is_an_id_its_beginning_or_beginnings_of_words(alice: Account, bob: Account) -> None:
    sales = (await alice.dispatch(title="Sales report, first quarter"))["id"]
    cost = (await alice.dispatch(title="Cost of the Émile-Zola project"))["id"]
    await bob.dispatch(title="Sales report of Bob")
    for text, expected in (
        ("sales", [sales]), ("SAL", [sales]), ("rep quart", [sales]), ("report sales first", [sales]),
        ("sales cost", []), ("zola", [cost]), ("Émile", [cost]), ("ales", []), (sales, [sales]),
        (sales[:20], [task for task in (cost, sales) if task.startswith(sales[:20])]), ("tsk_", [cost, sales]),
        ("tsk_zzzz", []), ("account", []), ("it's & | ! ( ) : * <->", []), ("'; --x", []),
    ):  # fmt: skip
        answer = await alice.get(TASKS, params={"q": text})
        assert answer.status_code == 200, answer.text
        assert [task["id"] for task in answer.json()["data"]] == expected, text
    for text in ("", "!!", " ", "x" * 201):
        answer = await alice.get(TASKS, params={"q": text})
        assert (answer.status_code, error_of(answer)["details"][0]["path"]) == (400, "q")


async def test_the_summary_has_no_instructions(alice: Account) -> None:
    task = await alice.dispatch()
    [summary] = (await alice.get(f"{TASKS}?fields=summary")).json()["data"]
    assert set(task) - set(summary) == {"instructions", "inputFileIds", "inputFiles", "inputRepositories"}
    glance = {"outputCount": 0, "lastActivity": None, "lastMessage": None}
    assert {name: task[name] for name in summary} | glance == summary
    assert {name: task[name] for name in glance} == dict.fromkeys(glance), "elsewhere null"
    assert (await alice.get(f"{TASKS}?fields=all")).status_code == 400


async def test_a_summary_says_what_the_task_did_last(alice: Account, bed: Bed) -> None:
    long = "x" * 300
    spoken = await alice.awaiting_input(
        "North sells best." + long, [{"command": "ls"}, {"path": "a.csv" + long}]
    )
    silent = await alice.awaiting_input("Yes.", [{"pattern": "b"}, {"other": {"deep": 1}}])
    finished = (await alice.dispatch())["id"]
    _, gone = await alice.finish(finished, {"a.txt": b"1", "b.txt": b"2"})
    assert (await alice.send("DELETE", f"/api/v1/files/{gone}")).status_code == 204
    listed = (await alice.get(f"{TASKS}?fields=summary")).json()["data"]
    summaries = {task["id"]: task for task in listed}
    message, activity = summaries[spoken]["lastMessage"], summaries[spoken]["lastActivity"]
    assert (message["role"], message["content"]) == ("assistant", ("North sells best." + long)[:200])
    assert (activity["tool"], activity["summary"]) == ("bash", ("a.csv" + long)[:200])
    assert activity["at"] <= message["at"]
    assert summaries[silent]["lastActivity"]["summary"] == ""
    assert (summaries[finished]["outputCount"], summaries[finished]["lastMessage"]) == (1, None)
    await bed.pool.execute("DELETE FROM events WHERE task_id = $1", spoken)
    [older] = [
        task for task in (await alice.get(f"{TASKS}?fields=summary")).json()["data"] if task["id"] == spoken
    ]
    assert (older["lastActivity"], older["lastMessage"]) == (None, message), "the events were purged"


async def test_a_page_ends_early_after_many_rows_that_do_not_match(bed: Bed, alice: Account) -> None:
    failed = await ended(alice, EndReason.AGENT_STOPPED)
    version = (await alice.get(f"{TASKS}/{failed}")).json()["agentVersionId"]
    for _ in range(9):
        await alice.dispatch()
    task_filter = TaskFilter(statuses=frozenset({Status.FAILED}), agent_version_id=version)
    pages, cursor = 0, None
    while True:
        page = await listing.list_page(
            bed.pool, alice.id, task_filter, after=cursor, limit=5, is_descending=True, max_rows_read=4
        )
        pages += 1
        if not page.has_more:
            break
        assert page.rows == []
        cursor = page.next_cursor
    assert [task.id for task in page.rows] == [failed]
    assert pages == 3
    assert await ids(alice, f"&agentVersionId={version}&status=failed") == [failed]


async def test_the_key_that_dispatched_a_task_is_recorded(bed: Bed, alice: Account) -> None:
    [key] = (await alice.get("/api/v1/api-keys")).json()["data"]
    for task_id in ((await alice.dispatch())["id"], (await alice.converse())["task"]["id"]):
        query = "SELECT api_key_id FROM tasks WHERE id = $1"
        assert await bed.pool.fetchval(query, task_id) == key["id"]
