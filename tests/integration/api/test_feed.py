"""`GET /events`: the account's feed as a list and as a stream, across processes and restarts."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs
import pytest

from agentcontainer.domain.feed import store
from agentcontainer.domain.tasks.state import EndReason
from tests.event_stream import Stream
from tests.openapi_document import openapi_document

from .conftest import Account, Bed, error_of
from .stream_bed import Api, append, serving, tools, within

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATH = "/api/v1/events"
STARTED = ("task.started", {"status": "running", "attempt": 1})


async def ask(api: Api, account: Account, **query: Any) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {account.key}"}
    async with httpx2.AsyncClient(trust_env=False, verify=False, timeout=60) as http:
        return await http.get(api.base_url + PATH, params=query, headers=headers)


async def entries(api: Api, account: Account, count: int, **query: Any) -> list[dict[str, Any]]:
    """The account's first entries, once there are so many."""
    async with asyncio.timeout(10):
        while True:
            page = (await ask(api, account, limit=1000, **query)).json()["data"]
            if len(page) >= count:
                assert len(page) == count
                return page
            await asyncio.sleep(0.02)


async def follow(api: Api, account: Account, query: str = "", **options: Any) -> Stream:
    stream = await Stream.open(api.base_url, f"{PATH}?stream=true{query}", account.key, **options)
    assert stream.status == 200, await stream.body()
    return stream


def types(listed: Sequence[dict[str, Any]]) -> list[str]:
    return [entry["type"] for entry in listed]


async def test_the_ways_of_all_tasks_are_in_one_list(alice: Account, bob: Account, api: Api) -> None:
    task = await alice.dispatch(title="Count", metadata={"order": 7})
    await alice.finish(task["id"])
    conversation_id = await alice.awaiting_input()
    await alice.post(f"/api/v1/conversations/{conversation_id}/end")
    hibernating = await alice.hibernating(link_count=1)
    cancelled = (await alice.dispatch())["id"]
    await alice.post(f"/api/v1/tasks/{cancelled}/cancel")
    await bob.dispatch()
    listed = await entries(api, alice, 12)
    assert [entry["position"] for entry in listed] == list(range(1, 13))
    assert types(listed) == [
        "task.created", "task.finished",
        "task.created", "turn.started", "turn.completed", "task.awaiting_input", "task.finished",
        "task.created", "task.started", "task.hibernated", "task.created", "task.cancelled",
    ]  # fmt: skip
    created, finished = listed[0]["data"], listed[1]["data"]
    assert created["status"] == "pending"
    assert created["costUsd"] is None
    ended = (await alice.get(f"/api/v1/tasks/{task['id']}")).json()
    for name in ("status", "title", "completion", "errorCode", "metadata", "costUsd", "agentId"):
        assert finished[name] == ended[name], name
    [slept] = [entry["data"] for entry in listed if entry["type"] == "task.hibernated"]
    assert slept["hasWakeLink"]
    assert slept["hibernationReason"] == "agent"
    assert [entry["taskId"] for entry in listed if entry["type"] == "task.hibernated"] == [hibernating]
    check_described(listed)
    assert "Waiting for the review" not in str(listed)
    assert len(await entries(api, bob, 1)) == 1


def check_described(listed: Sequence[dict[str, Any]]) -> None:
    components = openapi_document()["components"]
    schema = {"$ref": "#/components/schemas/FeedEntry", "components": components}
    validator = jsonschema_rs.validator_for(schema, validate_formats=True)
    allowed = set(components["schemas"]["FeedData"]["properties"])
    for entry in listed:
        assert [fault.message for fault in validator.iter_errors(entry)] == []
        assert set(entry["data"]) <= allowed


async def test_a_large_task_has_a_small_entry(alice: Account, api: Api) -> None:
    metadata = {str(number): "\u0001" * 20 for number in range(120)}
    task = await alice.dispatch(title="ä" * 200, metadata=metadata, instructions="x" * 100_000)
    await alice.finish(task["id"], reason=EndReason.INCOMPLETE)
    headers = {"Authorization": f"Bearer {alice.key}"}
    await entries(api, alice, 2)
    async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
        answer = await http.get(f"{api.base_url}{PATH}?limit=1", headers=headers)
    assert len(answer.content) < 20_000


async def test_pages_and_cursors(bed: Bed, alice: Account, api: Api) -> None:
    task_id = (await alice.dispatch())["id"]
    await append(bed, task_id, *[STARTED] * 24)
    listed = await entries(api, alice, 25)
    for order in ("asc", "desc"):
        found: list[dict[str, Any]] = []
        query: dict[str, Any] = {"limit": 10, "order": order}
        while True:
            page = (await ask(api, alice, **query)).json()
            found += page["data"]
            if not page["pageInfo"]["hasMore"]:
                break
            query["cursor"] = page["pageInfo"]["nextCursor"]
        assert found == (listed if order == "asc" else listed[::-1])
    assert await entries(api, alice, 3, after=22) == listed[22:]


async def test_a_list_waits_for_the_next_entry(bed: Bed, alice: Account, api: Api) -> None:
    task_id = (await alice.dispatch())["id"]
    await entries(api, alice, 1)
    waiting = asyncio.create_task(ask(api, alice, after=1, wait=20))
    await asyncio.sleep(0.3)
    await tools(bed, task_id, 1)  # nothing for the feed
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await append(bed, task_id, STARTED)
    assert types((await within(5, waiting)).json()["data"]) == ["task.started"]


async def test_a_stream_goes_on_after_a_task_has_ended_and_resumes(
    bed: Bed, alice: Account, api: Api, short_dir: Path
) -> None:
    first, second = (await alice.dispatch())["id"], (await alice.dispatch())["id"]
    async with await follow(api, alice) as stream:
        assert [frame.id for frame in await within(10, stream.some(2))] == [1, 2]
        await alice.post(f"/api/v1/tasks/{first}/cancel")
        await append(bed, second, STARTED)
        frames = await within(5, stream.some(2))
    assert [(frame.id, frame.event) for frame in frames] == [(3, "task.cancelled"), (4, "task.started")]
    with serving(bed, short_dir) as other:
        async with await follow(other, alice, last_event_id=3) as stream:
            assert await within(5, stream.some(1)) == [frames[1]]
            await alice.post(f"/api/v1/tasks/{second}/cancel")
            [frame] = await within(5, stream.some(1))
    assert [entry["data"] for entry in await entries(api, alice, 1, after=4)] == [frame.data["data"]]


async def test_a_reader_below_the_oldest_entry_is_told_where_to_go_on(
    bed: Bed, alice: Account, api: Api
) -> None:
    task_id = (await alice.dispatch())["id"]
    await append(bed, task_id, *[STARTED] * 9)
    await entries(api, alice, 10)
    cursor = (await ask(api, alice, limit=2)).json()["pageInfo"]["nextCursor"]
    async with await follow(api, alice, "&after=2") as stream:
        assert [frame.id for frame in await within(5, stream.some(8))] == list(range(3, 11))
        assert len(await store.purge(bed.pool, alice.id, datetime.now(UTC) + timedelta(days=1), 6)) == 6
        for query in ({"after": 5}, {"after": 0}, {"cursor": cursor}, {"after": 5, "stream": "true"}):
            answer = await ask(api, alice, **query)
            assert answer.status_code == 410, query
            assert error_of(answer)["code"] == "gone"
            assert "after=6" in error_of(answer)["message"]
        assert [entry["position"] for entry in await entries(api, alice, 4)] == [7, 8, 9, 10]
        assert len(await entries(api, alice, 4, after=6)) == 4
        await append(bed, task_id, STARTED)
        assert [frame.id for frame in await within(5, stream.some(1))] == [11]


async def test_a_slow_reader_whose_entries_are_purged_is_cut_and_told(
    bed: Bed, alice: Account, short_dir: Path
) -> None:
    task_id = (await alice.dispatch(metadata={"x": "y" * 8000}))["id"]
    with serving(bed, short_dir, hub__TAIL_EVENTS=2, stream__SEND_BUFFER_BYTES=4096) as api:
        async with await follow(api, alice, receive_buffer=4096) as stream:
            await stream.some(1)
            await append(bed, task_id, *[STARTED] * 400)
            async with asyncio.timeout(10):
                while (await store.bounds(bed.pool, alice.id)).last < 401:
                    await asyncio.sleep(0.02)
            await store.purge(bed.pool, alice.id, datetime.now(UTC) + timedelta(days=1), 399)
            frames = await within(20, stream.rest())
            assert stream.is_whole
    positions = [frame.id for frame in frames]
    assert positions == list(range(2, len(positions) + 2))
    assert len(positions) < 399


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"after": -1}, "after"), ({"after": "x"}, "after"), ({"after": 7}, "after"), ({"limit": 1001}, "limit"),
        ({"wait": 31}, "wait"), ({"wait": 1, "order": "desc"}, "wait"), ({"cursor": "x"}, "cursor"),
        ({"stream": "true", "limit": 3}, "limit"), ({"stream": "true", "wait": 3}, "wait"), ({"taskId": "x"}, "taskId"),
        ({"apiKey": "x"}, "apiKey"), ({"fields": "summary"}, "fields"),
    ],
)  # fmt: skip
async def test_wrong_queries_are_refused(alice: Account, query: dict[str, Any], path: str) -> None:
    answer = await alice.get(PATH, params=query)
    assert answer.status_code == 400
    assert [detail["path"] for detail in error_of(answer)["details"]] == [path]


async def test_without_a_key_there_is_no_feed(bed: Bed) -> None:
    assert (await bed.http.get(PATH)).status_code == 401
