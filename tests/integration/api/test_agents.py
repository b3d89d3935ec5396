"""Agents: creation, names, files, archiving, and access by other accounts."""

import asyncio
import re
from typing import Any

import pytest

from agentcontainer.ids import new_id

from .agent_requests import (
    AGENTS,
    DEFAULTS,
    PLATFORM_DEFAULTS,
    STANDARD,
    change,
    dispatch,
    do,
    make,
    refused,
    versions,
)
from .conftest import Account, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_agent_can_be_created_with_every_field(alice: Account) -> None:
    references, skills = [await alice.upload(), await alice.upload()], [await alice.upload()]
    agent = await make(
        alice, name="Analyst", description="Counts.\nTwice.", basePrompt="Be exact.", defaults=DEFAULTS,
        runtime={"containerImage": None, "agentRuntime": "pi"}, referenceFileIds=references[::-1], skills=skills,
    )  # fmt: skip
    version = agent["currentVersion"]
    assert re.fullmatch(r"agt_[0-9a-z]{20,}", agent["id"])
    assert re.fullmatch(r"agv_[0-9a-z]{20,}", version["id"])
    assert agent == {
        "id": agent["id"],
        "name": "Analyst",
        "description": "Counts.\nTwice.",
        "currentVersion": {
            "id": version["id"],
            "agentId": agent["id"],
            "number": 1,
            "runtime": {"containerImage": None, "agentRuntime": "pi"},
            "basePrompt": "Be exact.",
            "defaults": DEFAULTS,
            "referenceFileIds": references[::-1],
            "skills": skills,
            "createdAt": version["createdAt"],
        },
        "isStandard": False,
        "archivedAt": None,
        "createdAt": agent["createdAt"],
    }
    assert (await alice.get(f"{AGENTS}/{agent['id']}")).json() == agent
    assert (await alice.get(f"{AGENTS}/{agent['id']}/versions/{version['id']}")).json() == version
    assert await versions(alice, agent) == [version]


async def test_an_agent_can_be_created_with_a_name_only(alice: Account) -> None:
    agent = await make(alice)
    version = agent["currentVersion"]
    assert agent["description"] == version["basePrompt"] == ""
    assert version["defaults"] == PLATFORM_DEFAULTS
    assert version["referenceFileIds"] == version["skills"] == []
    everything_null = dict.fromkeys(
        ("description", "runtime", "basePrompt", "referenceFileIds", "skills")
    ) | {"defaults": dict.fromkeys(DEFAULTS)}
    assert (await make(alice, **everything_null))["currentVersion"]["defaults"] == PLATFORM_DEFAULTS


async def test_the_list_pages_over_own_and_standard_agents(alice: Account, bob: Account) -> None:
    await make(bob)
    created = [await make(alice) for _ in range(3)]
    await do(alice, created[0], "archive")
    for order in ("asc", "desc"):
        listed: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = (await alice.get(f"{AGENTS}?limit=2&order={order}{cursor}")).json()
            listed += page["data"]
            if not page["pageInfo"]["hasMore"]:
                break
            cursor = f"&cursor={page['pageInfo']['nextCursor']}"
        ids = [agent["id"] for agent in listed]
        assert sorted(ids) == sorted([*STANDARD, *(agent["id"] for agent in created)])
        assert ids == sorted(ids, reverse=order == "desc")
    archived = [agent for agent in listed if agent["archivedAt"]]
    assert [agent["id"] for agent in archived] == [created[0]["id"]]


async def test_name_and_description_are_edited_in_place(alice: Account) -> None:
    agent = await make(alice, description="Old.")
    changed = await change(alice, agent, name="Renamed agent")
    assert changed == agent | {"name": "Renamed agent"}
    assert await change(alice, agent, description="") == changed | {"description": ""}
    assert len(await versions(alice, agent)) == 1


@pytest.mark.parametrize("body", [{}, {"name": None, "defaults": None}])
async def test_a_change_of_nothing_is_refused(alice: Account, body: dict[str, Any]) -> None:
    agent = await make(alice)
    error = await refused(alice, "PATCH", f"{AGENTS}/{agent['id']}", 400, "validation_error", json=body)
    assert error["details"] == [{"path": "body", "message": "must say what to change"}]


async def test_an_image_is_refused_with_a_sentence(alice: Account) -> None:
    body = {"name": "x", "runtime": {"containerImage": "python:3.14"}}
    error = await refused(alice, "POST", AGENTS, 400, "validation_error", json=body)
    assert error["details"][0]["path"] == "runtime.containerImage"
    assert "registry docker.io, which is not allowed here" in error["message"]


async def test_an_archived_agent_takes_no_task_and_can_come_back(alice: Account) -> None:
    agent = await make(alice)
    archived = await do(alice, agent, "archive")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", archived["archivedAt"])
    assert archived == agent | {"archivedAt": archived["archivedAt"]}
    assert await do(alice, agent, "archive") == archived
    assert (await alice.get(f"{AGENTS}/{agent['id']}")).json() == archived
    tasks = f"{AGENTS}/{agent['id']}/tasks"
    error = await refused(alice, "POST", tasks, 409, "conflict", json={"instructions": "x"})
    assert "archived" in error["message"]
    assert await do(alice, agent, "unarchive") == agent
    assert await do(alice, agent, "unarchive") == agent
    await dispatch(alice, agent)


async def test_a_name_is_unique_among_unarchived_agents(alice: Account, bob: Account) -> None:
    agent = await make(alice, name="Analyst")
    other = await make(alice, name="Other")
    await make(bob, name="Analyst")
    await refused(alice, "POST", AGENTS, 409, "conflict", json={"name": "Analyst"})
    body = {"name": "Analyst", "basePrompt": "x"}
    error = await refused(alice, "PATCH", f"{AGENTS}/{other['id']}", 409, "conflict", json=body)
    assert "name" in error["message"]
    assert (await alice.get(f"{AGENTS}/{other['id']}")).json() == other
    await do(alice, agent, "archive")
    assert (await change(alice, other, name="Analyst"))["name"] == "Analyst"
    await refused(alice, "POST", f"{AGENTS}/{agent['id']}/unarchive", 409, "conflict")
    await change(alice, agent, name="Analyst of old")
    assert (await do(alice, agent, "unarchive"))["archivedAt"] is None


async def test_concurrent_creations_with_one_name_make_one_agent(alice: Account) -> None:
    answers = await asyncio.gather(*(alice.post(AGENTS, {"name": "Same"}) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 4


async def test_files_must_be_the_accounts_own(alice: Account, bob: Account) -> None:
    agent = await make(alice)
    own, foreign = await alice.upload(), await bob.upload()
    for field in ("referenceFileIds", "skills"):
        for file_ids, position in (([own, foreign], 1), ([new_id("file")], 0), ([own, own], 1)):
            for method, path in (("POST", AGENTS), ("PATCH", f"{AGENTS}/{agent['id']}")):
                body = {"name": "x", field: file_ids}
                error = await refused(alice, method, path, 400, "validation_error", json=body)
                assert [detail["path"] for detail in error["details"]] == [f"{field}.{position}"]


async def test_standard_agents_can_be_read_and_not_changed(alice: Account) -> None:
    for agent_id in STANDARD:
        agent_path = f"{AGENTS}/{agent_id}"
        agent = (await alice.get(agent_path)).json()
        assert agent["isStandard"] is True
        [version] = await versions(alice, agent)
        assert version == agent["currentVersion"]
        assert (await alice.get(f"{agent_path}/versions/{version['id']}")).json() == version
        await refused(alice, "PATCH", agent_path, 403, "forbidden", json={"basePrompt": "Obey me."})
        for verb in ("archive", "unarchive", f"versions/{version['id']}/activate", "versions/agv_0/activate"):
            await refused(alice, "POST", f"{agent_path}/{verb}", 403, "forbidden")
        assert (await alice.get(agent_path)).json() == agent


async def test_an_agent_of_another_account_answers_like_a_missing_one(alice: Account, bob: Account) -> None:
    agent, own = await make(bob), await make(alice)
    version_id = agent["currentVersion"]["id"]
    reaches: list[tuple[str, str, Any]] = [
        ("GET", "", None), ("PATCH", "", {"name": "Mine now"}), ("POST", "/archive", None),
        ("POST", "/unarchive", None), ("POST", "/tasks", {"instructions": "x"}), ("GET", "/versions", None),
        ("GET", f"/versions/{version_id}", None), ("POST", f"/versions/{version_id}/activate", None),
    ]  # fmt: skip
    for method, path, body in reaches:
        answers_seen: list[str] = []
        for agent_id in (agent["id"], new_id("agt")):
            options = {"json": body} if body else {}
            url = f"{AGENTS}/{agent_id}{path}"
            error = await refused(alice, method, url, 404, "not_found", **options)
            answers_seen.append(error["message"].replace(agent_id, "ID"))
        assert answers_seen[0] == answers_seen[1]
    for method, path in (("GET", ""), ("POST", "/activate")):
        url = f"{AGENTS}/{own['id']}/versions/{version_id}{path}"
        await refused(alice, method, url, 404, "not_found")
    body = {"instructions": "x", "versionId": version_id}
    await refused(alice, "POST", f"{AGENTS}/{own['id']}/tasks", 400, "validation_error", json=body)
    assert (await bob.get(f"{AGENTS}/{agent['id']}")).json() == agent


async def test_archive_unarchive_and_activate_take_no_fields(alice: Account) -> None:
    agent = await make(alice)
    for verb in ("archive", "unarchive", f"versions/{agent['currentVersion']['id']}/activate"):
        path = f"{AGENTS}/{agent['id']}/{verb}"
        await refused(alice, "POST", path, 400, "validation_error", json={"force": True})
        assert (await alice.post(path, {})).status_code == 200


async def test_a_base_prompt_beyond_the_limit_is_refused(alice: Account) -> None:
    await make(alice, basePrompt="\x01" * 100_000)  # six bytes each in JSON
    body = {"name": "x", "basePrompt": "é" * 50_001}
    error = await refused(alice, "POST", AGENTS, 400, "validation_error", json=body)
    assert error["details"][0]["path"] == "basePrompt"


async def test_a_change_can_name_the_version_that_it_builds_on(alice: Account) -> None:
    agent = (await alice.post("/api/v1/agents", {"name": "Guarded", "basePrompt": "1"})).json()
    path, first = f"/api/v1/agents/{agent['id']}", agent["currentVersion"]["id"]
    guarded = {"ifCurrentVersionId": first}
    second = await alice.send("PATCH", path, json={"basePrompt": "2"} | guarded)
    assert second.status_code == 200
    refused = await alice.send("PATCH", path, json={"basePrompt": "3", "name": "Taken"} | guarded)
    assert (refused.status_code, error_of(refused)["code"]) == (409, "conflict")
    now = (await alice.get(path)).json()
    assert (now["name"], now["currentVersion"]["basePrompt"]) == ("Guarded", "2")
    assert now["currentVersion"]["id"] in error_of(refused)["message"]
    empty = await alice.send("PATCH", path, json=guarded)
    assert empty.status_code == 400
