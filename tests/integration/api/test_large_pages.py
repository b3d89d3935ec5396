"""Pages of large entries: cut short by their size, so that no client's list fills the API's memory."""

from typing import Any

import pytest

from agentcontainer import db
from agentcontainer.db import PAGE_BYTES
from agentcontainer.domain.tasks import events
from agentcontainer.domain.tasks.event_data import Draft
from tests.api_bed import Account, Bed

pytestmark = pytest.mark.asyncio(loop_scope="session")
V1 = "/api/v1"
LONG = "x" * 60_000
# The most that a client can store in one entry.
LARGE_POLICY = {
    "mode": "named",
    "files": [
        {"name": f"file-{number}", "jsonSchema": {"type": "object", "description": LONG}}
        for number in range(4)
    ],
}


async def read_all(account: Account, path: str, order: str) -> tuple[list[dict[str, Any]], list[int]]:
    """All entries of a list, and the size of each page."""
    entries, sizes, cursor = list[dict[str, Any]](), list[int](), None
    while True:
        params = {"limit": 100, "order": order} | ({"cursor": cursor} if cursor else {})
        answer = await account.get(V1 + path, params=params)
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"], "no page is empty"
        sizes.append(len(answer.content))
        entries += answer.json()["data"]
        cursor = answer.json()["pageInfo"]["nextCursor"]
        if not answer.json()["pageInfo"]["hasMore"]:
            assert cursor is None
            return entries, sizes


async def tasks(account: Account) -> tuple[str, list[Any]]:
    return "/tasks", [
        (await account.dispatch(instructions=LONG * 8, overrides={"outputPolicy": LARGE_POLICY}))["id"]
        for _ in range(6)
    ]


async def versions(account: Account) -> tuple[str, list[Any]]:
    created = await account.post(
        f"{V1}/agents", {"name": "Large", "defaults": {"outputPolicy": LARGE_POLICY}}
    )
    path, ids = f"/agents/{created.json()['id']}", [created.json()["currentVersion"]["id"]]
    for number in range(15):
        answer = await account.send("PATCH", V1 + path, json={"basePrompt": f"{number}" + LONG})
        ids.append(answer.json()["currentVersion"]["id"])
    return f"{path}/versions", ids


async def log(account: Account) -> tuple[str, list[Any]]:
    task_id = (await account.dispatch())["id"]
    draft = Draft("tool.completed", {"output": LONG * 10})
    async with db.transaction(account.bed.pool) as connection:
        await events.append(connection, task_id, [draft] * 19)
    listed = (await account.get(f"{V1}/tasks/{task_id}/events", params={"limit": 1})).json()
    first = listed["data"][0]["sequence"]
    return f"/tasks/{task_id}/events", [first, *range(first + 1, first + 20)]


async def messages(account: Account) -> tuple[str, list[Any]]:
    task = (await account.converse(LONG * 8))["task"]
    path = f"/conversations/{task['id']}/messages"
    for _ in range(11):
        assert (await account.post(V1 + path, {"content": LONG * 8})).status_code == 201
    rows = await account.bed.pool.fetch(
        "SELECT id FROM messages WHERE task_id = $1 ORDER BY sequence", task["id"]
    )
    ids = [row["id"] for row in rows]
    assert len(ids) == 12
    return path, ids


@pytest.mark.parametrize("stored", [tasks, versions, log, messages])
async def test_a_page_of_large_entries_is_cut_short_and_the_cursor_leads_on(
    alice: Account, stored: Any
) -> None:
    path, ids = await stored(alice)
    for order, expected in (("asc", ids), ("desc", ids[::-1])):
        entries, sizes = await read_all(alice, path, order)
        assert [entry["sequence" if stored is log else "id"] for entry in entries] == expected
        assert len(sizes) > 1
        assert max(sizes) < 2 * PAGE_BYTES


async def test_an_entry_larger_than_a_page_is_a_page(api_bed: Bed, alice: Account) -> None:
    ids = [(await alice.dispatch())["id"] for _ in range(3)]
    await api_bed.pool.execute(
        "UPDATE tasks SET instructions = $2 WHERE id = $1", ids[1], "x" * (PAGE_BYTES + 1)
    )
    entries, sizes = await read_all(alice, "/tasks", "asc")
    assert [entry["id"] for entry in entries] == ids
    assert len(sizes) == 2
