"""Access to event streams: by which key, for how long, and how many at once."""

import asyncio
import json
import time
from pathlib import Path

import httpx2
import pytest

from tests.event_stream import Stream

from .conftest import Account, Bed, new_account
from .stream_bed import Api, all_of, serving, tools, within

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def session_headers(api: Api, account: Account) -> dict[str, str]:
    """What a browser sends that is logged in with the account's key."""
    headers = {"Host": api.base_url.removeprefix("http://"), "Sec-Fetch-Site": "same-origin"}
    async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
        answer = await http.post(f"{api.base_url}/session", json={"apiKey": account.key}, headers=headers)
    assert answer.status_code == 204, answer.text
    return headers | {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


class TestWhoMayFollow:
    async def test_a_key_in_the_query_for_streams_only(
        self, bed: Bed, alice: Account, bob: Account, api: Api, short_dir: Path
    ) -> None:
        task_id = (await alice.dispatch())["id"]
        await alice.post(f"/api/v1/tasks/{task_id}/cancel")
        key, invalid = alice.key, "ac_live_wrong0123456789"
        path, unknown = f"/api/v1/tasks/{task_id}/events", f"/api/v1/tasks/tsk_{'z' * 26}/events"
        stream, header = "?stream=true&apiKey=", {"Authorization": f"Bearer {key}"}
        for url, headers, status in (
            (f"{path}{stream}{key}", {}, 200), (f"{path}?apiKey={key}", {"Accept": "text/event-stream"}, 200),
            (f"{path}{stream}{key}", header, 200), (f"{path}{stream}{invalid}", {}, 401), (f"{path}{stream}", {}, 401),
            (f"{path}{stream}{invalid}", header, 400), (f"{path}{stream}{bob.key}", {}, 404),
            (f"{unknown}{stream}{key}", {}, 404), (f"{path}{stream}{key}&apiKey={key}", {}, 400),
            (f"{path}{stream}{key}&x={key}", {}, 400), (f"{path}{stream}{key}&after=99", {}, 400),
            (f"{path}{stream}{key}", {"Authorization": "Basic eA=="}, 401),
            (f"{path}{stream}{key}", {"Last-Event-ID": key}, 400),
            (f"{path}?apiKey={key}", {}, 401), (f"{path}?apiKey={key}", header, 400),
            (f"{path}?stream=false&apiKey={key}", header, 400), (f"/api/v1/tasks?apiKey={key}", {}, 401),
            (f"/api/v1/tasks/{task_id}?stream=true&apiKey={key}", {}, 401),
        ):  # fmt: skip
            async with await Stream.open(api.base_url, url, **headers) as answer:
                body = (await answer.body()).decode()
                assert answer.status == status, (url, headers, body)
                assert key not in body
                assert invalid not in body
        async with asyncio.timeout(30):
            while api.log.count(f"GET {path} 200") < 3:
                await asyncio.sleep(0.05)
        assert key not in api.log
        assert invalid not in api.log
        assert "stream=true" not in api.log

    async def test_a_page_of_another_site_can_read_a_stream_and_its_refusals_with_a_key_only(
        self, alice: Account, api: Api
    ) -> None:
        path = f"/api/v1/tasks/{(await alice.dispatch())['id']}/events"
        for query, key, is_open in (
            ("?stream=true", alice.key, True), ("?stream=true&after=9", alice.key, True),
            (f"?stream=true&after=9&apiKey={alice.key}", None, True), ("?stream=true&apiKey=wrong", None, True),
            ("?stream=true", None, False), ("", None, False), (f"?apiKey={alice.key}", None, False),
        ):  # fmt: skip
            async with await Stream.open(api.base_url, path + query, key) as answer:
                assert (answer.headers.get("access-control-allow-origin") == "*") == is_open, query
        refused = {"Authorization": "Bearer x"}
        async with await Stream.open(api.base_url, path + "?stream=true", **refused) as answer:
            assert (answer.status, answer.headers["access-control-allow-origin"]) == (401, "*")

    async def test_a_stream_ends_with_its_key_and_says_so_that_it_lives(
        self, bed: Bed, alice: Account, short_dir: Path
    ) -> None:
        task_id = (await alice.dispatch())["id"]
        created = (await alice.post("/api/v1/api-keys", {"name": "spare"})).json()
        spare = Account(bed, alice.id, created["key"])
        with serving(bed, short_dir, stream__KEEP_ALIVE_SECONDS=0.3) as api:
            path = f"/api/v1/tasks/{task_id}/events?stream=true"
            in_session = await session_headers(api, spare)
            async with (
                await api.follow(task_id, spare) as stream, await api.follow(task_id, alice) as other,
                await Stream.open(api.base_url, path, **in_session) as in_browser,
            ):  # fmt: skip
                assert in_browser.status == 200
                assert "access-control-allow-origin" not in in_browser.headers
                frames = stream.frames()
                comments: list[str | None] = []
                while comments.count("keep-alive") < 2 or comments.count(None) < 2:
                    comments.append((await within(30, anext(frames))).comment)
                assert set(comments) == {None, "keep-alive"}
                assert (await alice.send("DELETE", f"/api/v1/api-keys/{created['id']}")).status_code == 204
                assert {frame.comment for frame in await within(30, all_of(frames))} <= {"keep-alive"}
                assert stream.is_whole
                await within(30, all_of(in_browser.frames()))
                assert in_browser.is_whole
                await tools(bed, task_id, 1)
                assert [frame.id for frame in await within(30, other.some(2))] == [1, 2]
                await bed.pool.execute("UPDATE api_keys SET role = 'viewer' WHERE account_id = $1", alice.id)
                await within(30, all_of(other.frames()))  # what it may do has changed
                assert other.is_whole

    async def test_the_number_of_streams_is_limited(
        self, bed: Bed, alice: Account, bob: Account, short_dir: Path
    ) -> None:
        task_id, foreign_id = (await alice.dispatch())["id"], (await bob.dispatch())["id"]
        path = f"/api/v1/tasks/{task_id}/events"
        with serving(bed, short_dir, hub__STREAMS_PER_ACCOUNT=2) as api:
            async with await api.follow(task_id, alice) as first, await api.follow(task_id, alice) as second:
                await asyncio.gather(first.some(1), second.some(1))
                for query in ("?stream=true", "?wait=1&after=1"):
                    async with await Stream.open(api.base_url, path + query, alice.key) as third:
                        assert (third.status, third.headers["retry-after"]) == (429, "10")
                        assert json.loads(await third.body())["error"]["code"] == "rate_limited"
                async with await api.follow(foreign_id, bob) as another:
                    await within(30, another.some(1))
            deadline = time.monotonic() + 30
            while True:
                async with await Stream.open(api.base_url, f"{path}?stream=true", alice.key) as again:
                    if again.status == 200:
                        break
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)

    @pytest.mark.parametrize(
        ("query", "header", "name"),
        [
            ("stream=true&after=2", None, "after"), ("stream=true&after=99", None, "after"), ("after=2", None, "after"),
            ("stream=true", "2", "Last-Event-ID"), ("stream=true", "x", "Last-Event-ID"),
            ("stream=true", "-1", "Last-Event-ID"),
            ("stream=true", "1.0", "Last-Event-ID"), ("stream=true", "9" * 40, "Last-Event-ID"),
            ("stream=true&after=x", None, "after"), ("stream=true&limit=5", None, "limit"),
            ("stream=true&order=asc", None, "order"), ("stream=true&cursor=x", None, "cursor"),
            ("stream=true&wait=5", None, "wait"),
            ("stream=1", None, "stream"), ("stream=", None, "stream"), ("stream=True", None, "stream"),
            ("stream=true&stream=true", None, "stream"), ("stream=true&x=1", None, "x"),
            ("wait=31", None, "wait"), ("wait=-1", None, "wait"), ("wait=1.5", None, "wait"),
            ("wait=1&order=desc", None, "wait"),
        ],
    )  # fmt: skip
    async def test_bad_requests_name_the_place(
        self, alice: Account, query: str, header: str | None, name: str
    ) -> None:
        task_id = (await alice.dispatch())["id"]
        headers = {} if header is None else {"Last-Event-ID": header}
        answer = await alice.get(f"/api/v1/tasks/{task_id}/events?{query}", headers=headers)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["details"][0]["path"] == name
        if query.endswith("after=2"):
            assert answer.json()["error"]["message"] == "after: the log of this task ends at 1"


async def test_a_route_for_each_account_alone(bed: Bed, alice: Account, api: Api) -> None:
    stranger = await new_account(bed)
    task_id = (await alice.dispatch())["id"]
    for path in (f"/api/v1/tasks/{task_id}/events", f"/api/v1/conversations/{task_id}/events"):
        async with await Stream.open(api.base_url, f"{path}?stream=true", stranger.key) as answer:
            assert answer.status == 404
