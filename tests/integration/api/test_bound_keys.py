"""A key that is bound to agents: nothing else exists for it, on any route, in any list, stream or message."""

import asyncio
import re
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from fastapi.routing import APIRoute

from agentcontainer.api.app import ROUTES
from agentcontainer.api.http.access import Agents, access_of
from agentcontainer.domain.feed import store as feed
from tests.event_stream import Stream

from .conftest import AGENT, Account, Bed, error_of, new_account
from .stream_bed import Api
from .test_access import OTHER_AGENT, key_of
from .test_isolation import BODIES, NOT_IDS, nobodys, shape

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass(frozen=True)
class World:
    """An account that uses two agents. `own` and `foreign`: ids of what belongs to each, by path parameter."""

    owner: Account
    bound: Account
    own: dict[str, str]
    foreign: dict[str, str]


async def use(account: Account, agent_id: str) -> dict[str, str]:
    """A task with an input and an output, a batch, and an uploaded file of this agent."""
    input_id = await account.upload(filename=f"{agent_id}.csv")
    body = {"instructions": "Go.", "inputFileIds": [input_id]}
    task = (await account.post(f"/api/v1/agents/{agent_id}/tasks", body)).json()
    batch = await account.post(f"/api/v1/agents/{agent_id}/tasks/batch", {"tasks": [{"instructions": "Go."}]})
    [output_id] = await account.finish(task["id"], {f"{agent_id}.txt": b"x"})
    versions = (await account.get(f"/api/v1/agents/{agent_id}/versions")).json()["data"]
    return {
        "agentId": agent_id, "taskId": task["id"], "batchId": batch.json()["batch"]["id"], "fileId": output_id,
        "versionId": versions[0]["id"], "inputId": input_id, "batchTaskId": batch.json()["taskIds"][0],
    }  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(bed: Bed) -> World:
    owner = await new_account(bed, credit_micro_usd=1_000_000_000)
    own, foreign = await use(owner, AGENT), await use(owner, OTHER_AGENT)
    await owner.upload(filename="unused.csv")
    while await bed.pool.fetchval("SELECT count(*) FROM feed_outbox"):
        async with bed.pool.acquire() as connection:
            await feed.number(connection, 1000)
    return World(owner, await key_of(owner, agentIds=[AGENT]), own, foreign)


def named_ids(route: APIRoute) -> list[str]:
    return [name for name in re.findall(r"\{(\w+)\}", route.path) if name not in NOT_IDS]


WITH_IDS = [
    pytest.param(route, method, id=f"{method} {route.path}")
    for route in ROUTES
    for method in sorted(route.methods or ())
    if access_of(route).agents is Agents.PATH and method != "HEAD"
]
LISTS = [
    pytest.param(route.path, id=route.path)
    for route in ROUTES
    if access_of(route).agents is Agents.FILTERED and route.methods == {"GET"} and not route.param_convertors
]


@pytest.mark.parametrize(("route", "method"), WITH_IDS)
async def test_what_belongs_to_another_agent_answers_like_what_does_not_exist(
    world: World, route: APIRoute, method: str
) -> None:
    body = BODIES.get(f"{method} {route.path}")
    options: dict[str, Any] = {} if body is None else {"json": body}
    names = named_ids(route)
    for changed in names if names != ["agentId", "versionId"] else ["agentId"]:
        if changed not in world.foreign:
            continue
        ids = {name: world.foreign[name] if name == changed else world.own[name] for name in names}
        missing = ids | {changed: nobodys(ids[changed])}
        refused = await world.bound.send(method, route.path.format(**ids, **NOT_IDS), **options)
        nothing = await world.bound.send(method, route.path.format(**missing, **NOT_IDS), **options)
        assert (refused.status_code, error_of(refused)["code"]) == (404, "not_found"), ids
        assert shape(refused, ids) == shape(nothing, ids)


@pytest.mark.parametrize("path", LISTS)
async def test_lists_have_nothing_of_another_agent(world: World, path: str) -> None:
    whole = await world.owner.get(path, params={"limit": "100"})
    answer = await world.bound.get(path, params={"limit": "100"})
    assert answer.status_code == 200, answer.text
    for id_ in world.foreign.values():
        assert id_ not in answer.text, id_
    if path in ("/api/v1/tasks", "/api/v1/files", "/api/v1/batches", "/api/v1/agents", "/api/v1/events"):
        assert any(id_ in answer.text for id_ in world.own.values())
        assert any(id_ in whole.text for id_ in world.foreign.values()), "the test would prove nothing"


async def test_head_is_a_read_like_get(world: World) -> None:
    for ids, status in ((world.own, 200), (world.foreign, 404)):
        for path in ("/api/v1/files/{fileId}/content", "/api/v1/tasks/{taskId}/files/{fileId}"):
            assert (await world.bound.send("HEAD", path.format(**ids))).status_code == status


async def test_pages_go_through_what_is_not_shown(world: World) -> None:
    """The pages of one entry each have the same entries as one page, and filters do not widen them."""
    for path in ("tasks", "files", "batches", "agents", "account/ledger", "events"):
        for order in ("asc", "desc"):
            query = f"/api/v1/{path}?order={order}"
            whole = (await world.bound.get(f"{query}&limit=100")).json()["data"]
            single, cursor = list[dict[str, Any]](), ""
            while True:
                page = (await world.bound.get(f"{query}&limit=1{cursor}")).json()
                single += page["data"]
                if not page["pageInfo"]["hasMore"]:
                    break
                cursor = f"&cursor={page['pageInfo']['nextCursor']}"
            assert single == whole and whole, path
    foreign = world.foreign
    for query in (f"agentId={OTHER_AGENT}", f"batchId={foreign['batchId']}", f"q={foreign['taskId']}"):
        assert (await world.bound.get(f"/api/v1/tasks?{query}")).json()["data"] == []
    assert (await world.bound.get(f"/api/v1/tasks?agentId={AGENT}&status=pending")).json()["data"]
    statuses = "status=pending&status=finished"
    listed = (await world.bound.get(f"/api/v1/tasks?{statuses}")).json()["data"]
    assert {task["agentId"] for task in listed} == {AGENT}
    assert (await world.bound.get(f"/api/v1/files?taskId={foreign['taskId']}")).json()["data"] == []


async def test_files_of_others_cannot_be_named(world: World) -> None:
    conversation = await world.owner.post(f"/api/v1/agents/{AGENT}/conversations", {"message": "x"})
    task_id = conversation.json()["task"]["id"]
    rows = await world.owner.bed.rows()
    for id_ in (world.foreign["inputId"], world.foreign["fileId"]):
        for path, body in (
            (f"/api/v1/agents/{AGENT}/tasks", {"instructions": "x", "inputFileIds": [id_]}),
            (f"/api/v1/agents/{AGENT}/tasks", {"instructions": "x", "skills": [id_]}),
            (f"/api/v1/agents/{AGENT}/conversations", {"message": "x", "inputFileIds": [id_]}),
            (
                f"/api/v1/agents/{AGENT}/tasks/batch",
                {"tasks": [{"instructions": "x", "inputFileIds": [id_]}]},
            ),
            (f"/api/v1/conversations/{task_id}/messages", {"content": "x", "inputFiles": [{"fileId": id_}]}),
        ):
            refused = await world.bound.post(path, body)
            assert refused.status_code == 400, (path, refused.text)
            assert f"file {id_} does not exist" in refused.text
    assert await world.owner.bed.rows() == rows


async def test_own_uploads_can_be_used_and_deleted(world: World) -> None:
    uploaded = await world.bound.upload()
    assert uploaded in (await world.bound.get("/api/v1/files?limit=100")).text
    task = await world.bound.dispatch(inputFileIds=[uploaded])
    refused = await world.bound.send("DELETE", f"/api/v1/files/{uploaded}")
    assert error_of(refused)["message"] == f"File {uploaded} is used."
    await world.bound.post(f"/api/v1/tasks/{task['id']}/cancel")
    assert (await world.bound.send("DELETE", f"/api/v1/files/{uploaded}")).status_code == 204
    # The input of a task of its agent, which another key uploaded, can be seen but not deleted.
    path = f"/api/v1/files/{world.own['inputId']}"
    assert (await world.bound.get(path)).status_code == 200
    assert error_of(await world.bound.send("DELETE", path))["code"] == "forbidden"


async def test_an_upload_of_another_key_cannot_be_completed(world: World) -> None:
    prepared = (
        await world.owner.post("/api/v1/uploads/prepare", {"filename": "a", "contentType": "text/csv"})
    ).json()
    await world.owner.bed.http.put(prepared["uploadUrl"], content=b"x", headers=prepared["headers"])
    body = {"uploadId": prepared["uploadId"]}
    refused = await world.bound.post("/api/v1/uploads/complete", body)
    assert (refused.status_code, error_of(refused)["code"]) == (404, "not_found")
    assert (await world.owner.post("/api/v1/uploads/complete", body)).status_code == 201


async def test_a_bound_key_cannot_widen_what_its_agent_may(world: World) -> None:
    wider = {"instructions": "x", "overrides": {"internetAccess": True}}
    path = f"/api/v1/agents/{AGENT}/tasks"
    default = (await world.owner.get(f"/api/v1/agents/{AGENT}")).json()
    assert default["currentVersion"]["defaults"]["internetAccess"] is False
    assert error_of(await world.bound.post(path, wider))["code"] == "forbidden"
    assert error_of(await world.bound.post(f"{path}/batch", {"tasks": [wider]}))["code"] == "forbidden"
    task_id = await world.owner.hibernating()
    wake = {"kind": "external_wake", "overrides": {"internetAccess": True}}
    assert error_of(await world.bound.post(f"/api/v1/tasks/{task_id}/wake", wake))["code"] == "forbidden"
    opened = await world.owner.post(f"/api/v1/agents/{AGENT}/conversations", {"message": "x"})
    narrow = {"kind": "external_wake", "overrides": {"egress": {"allow": ["example.com:443"]}}}
    assert error_of(await world.bound.post(f"/api/v1/tasks/{task_id}/wake", narrow))["code"] == "forbidden"
    message = {"content": "x", "overrides": {"internetAccess": True}}
    messages = f"/api/v1/conversations/{opened.json()['task']['id']}/messages"
    assert error_of(await world.bound.post(messages, message))["code"] == "forbidden"


async def test_the_stream_of_the_feed_shows_only_own_tasks(api: Api, world: World) -> None:
    end = (await world.owner.get("/api/v1/events?order=desc&limit=1")).json()["data"][0]["position"]
    path = f"/api/v1/events?stream=true&after={end}"
    async with await Stream.open(api.base_url, path, world.bound.key) as stream, asyncio.timeout(60):
        assert stream.status == 200
        waited = asyncio.create_task(world.bound.get(f"/api/v1/events?after={end}&wait=2"))
        other = (await world.owner.post(f"/api/v1/agents/{OTHER_AGENT}/tasks", {"instructions": "x"})).json()
        own = await world.owner.dispatch()
        async for frame in stream.frames():
            assert other["id"] not in str(frame.data)
            if own["id"] in str(frame.data):
                break
    assert other["id"] not in (await waited).text
