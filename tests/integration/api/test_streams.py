"""Event streams of a real API process: the log, new events, deltas, and long polls."""

import asyncio
import json
import time

import httpx2
import pytest

from agentcontainer import db
from agentcontainer.domain.tasks import deltas
from tests.event_stream import Stream

from .conftest import Account, Bed
from .stream_bed import Api, all_of, append, delta, tools, within

pytestmark = pytest.mark.asyncio(loop_scope="session")


class TestStream:
    async def test_a_stream_sends_the_log_then_new_events_and_ends_with_the_task(
        self, bed: Bed, alice: Account, api: Api
    ) -> None:
        task_id = (await alice.dispatch())["id"]
        await tools(bed, task_id, 2)
        async with await api.follow(task_id, alice) as stream:
            assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert stream.headers["cache-control"] == "no-store"
            assert stream.headers["x-accel-buffering"] == "no"
            frames = stream.frames()
            assert (await within(30, anext(frames))).retry == "1000"
            received = [await within(30, anext(frames)) for _ in range(3)]
            await tools(bed, task_id, 1)
            received.append(await within(30, anext(frames)))
            await alice.post(f"/api/v1/tasks/{task_id}/cancel")
            received += await within(30, all_of(frames))
            assert stream.is_whole
        assert [frame.id for frame in received] == [1, 2, 3, 4, 5]
        assert received[-1].event == "task.cancelled"
        log = await api.list(task_id, alice)
        assert [frame.data for frame in received] == log
        assert [frame.event for frame in received] == [event["type"] for event in log]

    @pytest.mark.parametrize("status", ["finished", "failed", "cancelled", "expired"])
    async def test_a_stream_ends_with_every_kind_of_end_and_is_204_afterwards(
        self, bed: Bed, alice: Account, api: Api, status: str
    ) -> None:
        task_id = (await alice.dispatch())["id"]
        async with await api.follow(task_id, alice) as stream:
            await bed.pool.execute("UPDATE tasks SET status = $2 WHERE id = $1", task_id, status)
            await append(bed, task_id, (f"task.{status}", {"status": status}))
            assert [frame.id for frame in await within(30, stream.rest())] == [1, 2]
            assert stream.is_whole
        path = f"/api/v1/tasks/{task_id}/events?stream=true"
        async with await Stream.open(api.base_url, path, alice.key, last_event_id=2) as again:
            assert again.status == 204
            assert again.headers["access-control-allow-origin"] == "*"
        async with await api.follow(task_id, alice, last_event_id=1) as again:
            assert [frame.id for frame in await within(30, again.rest())] == [2]

    async def test_a_stream_resumes_after_the_last_event_id(self, bed: Bed, alice: Account, api: Api) -> None:
        task_id = (await alice.dispatch())["id"]
        await tools(bed, task_id, 5)
        await alice.post(f"/api/v1/tasks/{task_id}/cancel")
        for query, last_event_id, expected in (
            ("&after=4", None, [5, 6, 7]), ("", 4, [5, 6, 7]), ("&after=1", 6, [7]),
            ("&after=6", 1, [2, 3, 4, 5, 6, 7]), ("&after=0", None, [1, 2, 3, 4, 5, 6, 7]),
        ):  # fmt: skip
            async with await api.follow(task_id, alice, query, last_event_id=last_event_id) as stream:
                assert [frame.id for frame in await within(30, stream.rest())] == expected

    async def test_a_stream_is_requested_by_query_or_by_accept_header(self, alice: Account, api: Api) -> None:
        task_id = (await alice.dispatch())["id"]
        await alice.post(f"/api/v1/tasks/{task_id}/cancel")
        for query, accept, is_stream in (
            ("", "text/event-stream", True), ("", "Text/Event-Stream; charset=utf-8, */*", True), ("", "*/*", False),
            ("", "text/event-stream;q=0", False), ("", "application/json, text/event-stream", False),
            ("?stream=true", "application/json", True), ("?stream=false", "text/event-stream", False),
        ):  # fmt: skip
            path = f"/api/v1/tasks/{task_id}/events{query}"
            async with await Stream.open(api.base_url, path, alice.key, accept=accept) as stream:
                kind = "text/event-stream; charset=utf-8" if is_stream else "application/json"
                assert stream.headers["content-type"] == kind, (query, accept)

    async def test_a_conversation_can_be_streamed(self, bed: Bed, alice: Account, api: Api) -> None:
        task_id = (await alice.converse())["task"]["id"]
        path = "/api/v1/conversations/{}/events?stream=true"
        async with await Stream.open(api.base_url, path.format(task_id), alice.key) as stream:
            await alice.post(f"/api/v1/tasks/{task_id}/cancel")
            received = await within(30, stream.rest())
        assert [frame.data for frame in received] == await api.list(task_id, alice)
        assert {"task.created", "message.created", "task.cancelled"} <= {frame.event for frame in received}
        autonomous = (await alice.dispatch())["id"]
        for query in ("?stream=true", ""):
            answer = await alice.get(f"/api/v1/conversations/{autonomous}/events{query}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
        listed = await alice.get(f"/api/v1/conversations/{task_id}/events?after=1")
        assert listed.json()["data"][0]["sequence"] == 2


class TestDeltas:
    async def test_deltas_are_sent_between_the_events_in_order(
        self, bed: Bed, alice: Account, api: Api
    ) -> None:
        task_id = (await alice.dispatch())["id"]
        async with await api.follow(task_id, alice) as stream:
            await within(30, stream.some(1))
            await delta(bed, task_id, 3, "only after the third")
            await delta(bed, task_id, 3, "and this")
            await asyncio.sleep(0.3)
            await tools(bed, task_id, 2)
            first = await within(30, stream.some(4))
            await append(bed, task_id, ("message.completed", {"role": "assistant", "content": "all of it"}))
            await within(30, stream.some(1))
            await delta(bed, task_id, 3, "too late: the whole text is out")
            await delta(bed, task_id, 4, "next")
            await alice.post(f"/api/v1/tasks/{task_id}/cancel")
            rest = await within(30, stream.rest())
        assert [(frame.id, frame.event) for frame in first] == [
            (2, "tool.started"), (3, "tool.started"), (None, "message.delta"), (None, "message.delta"),
        ]  # fmt: skip
        assert first[2].data == {
            "type": "message.delta", "taskId": task_id, "data": {"content": "only after the third"},
        }  # fmt: skip
        assert [(frame.event, frame.data["data"].get("content")) for frame in rest] == [
            ("message.delta", "next"), ("task.cancelled", None),
        ]  # fmt: skip
        assert "message.delta" not in {event["type"] for event in await api.list(task_id, alice)}

    async def test_deltas_of_other_tasks_and_malformed_ones_are_dropped(
        self, bed: Bed, alice: Account, api: Api
    ) -> None:
        task_id, other = (await alice.dispatch())["id"], (await alice.dispatch())["id"]
        async with await api.follow(task_id, alice) as stream:
            await within(30, stream.some(1))
            await delta(bed, other, 1, "not here")
            for payload in ("nonsense", "[]", "{}", f'{{"taskId": "{task_id}"}}', '{"taskId": []}', "7"):
                await bed.pool.execute("SELECT pg_notify($1, $2)", deltas.CHANNEL, payload)
            await delta(bed, task_id, 1, "here")
            await alice.post(f"/api/v1/tasks/{task_id}/cancel")
            rest = await within(30, stream.rest())
        assert [frame.event for frame in rest] == ["message.delta", "task.cancelled"]

    async def test_the_oldest_deltas_are_dropped_beyond_the_limit(
        self, bed: Bed, alice: Account, api: Api
    ) -> None:
        task_id = (await alice.dispatch())["id"]
        async with await api.follow(task_id, alice) as stream:
            await within(30, stream.some(1))
            async with db.transaction(bed.pool) as connection:
                for number in range(1000):
                    payload = {"taskId": task_id, "after": 2, "data": {"content": str(number)}}
                    await connection.execute("SELECT pg_notify($1, $2)", deltas.CHANNEL, json.dumps(payload))
            await asyncio.sleep(0.3)
            await tools(bed, task_id, 1)
            await alice.post(f"/api/v1/tasks/{task_id}/cancel")
            texts = [
                frame.data["data"]["content"] for frame in await within(30, stream.rest()) if frame.id is None
            ]
        assert texts == [str(number) for number in range(1000 - len(texts), 1000)]
        assert 100 < len(texts) <= 256


class TestLongPoll:
    async def test_a_long_poll_returns_at_the_next_event(self, bed: Bed, alice: Account, api: Api) -> None:
        task_id = (await alice.dispatch())["id"]
        started = time.monotonic()
        assert len(await api.list(task_id, alice, after=0, wait=20)) == 1, (
            "existing events are returned at once"
        )
        assert await api.list(task_id, alice, after=1, wait=1) == []
        assert 0.9 < time.monotonic() - started < 10
        waiting = asyncio.create_task(api.list(task_id, alice, after=1, wait=20))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await tools(bed, task_id, 1)
        assert [event["sequence"] for event in await within(10, waiting)] == [2]
        await alice.post(f"/api/v1/tasks/{task_id}/cancel")
        assert await within(10, api.list(task_id, alice, after=3, wait=20)) == [], "no event follows the end"

    async def test_a_long_poll_ends_when_the_client_disconnects(self, alice: Account, api: Api) -> None:
        task_id = (await alice.dispatch())["id"]
        url = f"{api.base_url}/api/v1/tasks/{task_id}/events?after=1&wait=20"
        async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
            with pytest.raises(httpx2.ReadTimeout):
                await http.get(
                    url, headers={"Authorization": f"Bearer {alice.key}"}, timeout=httpx2.Timeout(30, read=1)
                )
        deadline = time.monotonic() + 30
        while f"GET /api/v1/tasks/{task_id}/events 499" not in api.log:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
