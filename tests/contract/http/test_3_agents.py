"""CONTRACT §3, a test a sentence: agents and their versions."""

from typing import Any

import pytest

from tests.api_bed import Account, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

AGENTS = "/api/v1/agents"
STANDARD = ["agt_standard_coding", "agt_standard_documents", "agt_standard_data"]


async def new_agent(account: Account, **fields: Any) -> dict[str, Any]:
    answer = await account.post(AGENTS, {"name": "Heron", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def patch(account: Account, agent: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = await account.send("PATCH", f"{AGENTS}/{agent['id']}", json=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_agent_object(alice: Account) -> None:
    agent = await new_agent(alice)
    assert set(agent) == {
        "id",
        "name",
        "description",
        "currentVersion",
        "isStandard",
        "archivedAt",
        "createdAt",
    }
    assert (agent["name"], agent["isStandard"], agent["archivedAt"]) == ("Heron", False, None)


async def test_the_version_object(alice: Account) -> None:
    file_id = await alice.upload()
    given = {
        "basePrompt": "Be kind.",
        "referenceFileIds": [file_id],
        "skills": [],
        "defaults": {"maxRuntimeSeconds": 60},
    }
    agent = await new_agent(alice, **given)
    version = agent["currentVersion"]
    assert set(version) == {
        "id", "agentId", "number", "runtime", "basePrompt", "defaults", "referenceFileIds", "skills", "createdAt",
    }  # fmt: skip
    assert set(version["runtime"]) == {"containerImage", "agentRuntime"}
    assert version["runtime"]["agentRuntime"] == "pi"
    assert set(version["defaults"]) == {
        "provider", "model", "weakModel", "internetAccess", "maxRuntimeSeconds", "softFinishAfterSeconds",
        "sessionTtlSeconds", "outputPolicy", "runtimeRegion",
    }  # fmt: skip
    assert (version["agentId"], version["number"]) == (agent["id"], 1)
    assert (version["basePrompt"], version["referenceFileIds"]) == ("Be kind.", [file_id])
    assert (version["defaults"]["maxRuntimeSeconds"], version["defaults"]["sessionTtlSeconds"]) == (60, 3600)


async def test_agents_are_created_listed_and_read(alice: Account) -> None:
    agent = await new_agent(alice)
    assert (await alice.get(f"{AGENTS}/{agent['id']}")).json() == agent
    assert agent in (await alice.get(f"{AGENTS}?limit=100")).json()["data"]


async def test_a_change_of_name_or_description_edits(alice: Account) -> None:
    agent = await new_agent(alice)
    changed = await patch(alice, agent, name="Stork", description="White.")
    assert changed == agent | {"name": "Stork", "description": "White."}


@pytest.mark.parametrize("change", [{"basePrompt": "Be brief."}, {"defaults": {"maxRuntimeSeconds": 60}}])
async def test_any_other_change_makes_a_new_version_which_becomes_current(
    alice: Account, change: dict[str, Any]
) -> None:
    agent = await new_agent(alice)
    version = (await patch(alice, agent, **change))["currentVersion"]
    assert (version["number"], version["id"] != agent["currentVersion"]["id"]) == (2, True)
    versions = (await alice.get(f"{AGENTS}/{agent['id']}/versions")).json()["data"]
    assert versions == [version, agent["currentVersion"]]
    one = f"{AGENTS}/{agent['id']}/versions/{agent['currentVersion']['id']}"
    assert (await alice.get(one)).json() == agent["currentVersion"]


async def test_activate_makes_a_version_current(alice: Account) -> None:
    agent = await new_agent(alice)
    await patch(alice, agent, basePrompt="Be brief.")
    answer = await alice.post(f"{AGENTS}/{agent['id']}/versions/{agent['currentVersion']['id']}/activate")
    assert answer.json() == (await alice.get(f"{AGENTS}/{agent['id']}")).json() == agent


async def test_a_task_keeps_the_exact_version_it_was_dispatched_with(alice: Account) -> None:
    agent = await new_agent(alice, defaults={"maxRuntimeSeconds": 60})
    task = (await alice.post(f"{AGENTS}/{agent['id']}/tasks", {"instructions": "x"})).json()
    await patch(alice, agent, defaults={"maxRuntimeSeconds": 90, "model": "claude-opus-4-5"})
    await alice.post(f"{AGENTS}/{agent['id']}/archive")
    later = (await alice.get(f"/api/v1/tasks/{task['id']}")).json()
    assert later == task
    assert task["agentVersionId"] == agent["currentVersion"]["id"]


async def test_an_archived_agent_takes_no_new_task_and_stays_listed(alice: Account) -> None:
    agent = await new_agent(alice)
    assert (await alice.post(f"{AGENTS}/{agent['id']}/archive")).status_code == 200
    answer = await alice.post(f"{AGENTS}/{agent['id']}/tasks", {"instructions": "x"})
    assert (answer.status_code, error_of(answer)["code"]) == (409, "conflict")
    listed = {row["id"]: row for row in (await alice.get(f"{AGENTS}?limit=100")).json()["data"]}
    assert listed[agent["id"]]["archivedAt"] is not None


async def test_unarchive_brings_it_back(alice: Account) -> None:
    agent = await new_agent(alice)
    await alice.post(f"{AGENTS}/{agent['id']}/archive")
    assert (await alice.post(f"{AGENTS}/{agent['id']}/unarchive")).json()["archivedAt"] is None
    assert (await alice.post(f"{AGENTS}/{agent['id']}/tasks", {"instructions": "x"})).status_code == 201


@pytest.mark.parametrize("agent_id", STANDARD)
async def test_standard_agents_are_readable_by_all_and_editable_by_none(
    alice: Account, agent_id: str
) -> None:
    agent = (await alice.get(f"{AGENTS}/{agent_id}")).json()
    assert agent["isStandard"]
    assert agent["currentVersion"]["basePrompt"]
    version = f"{AGENTS}/{agent_id}/versions/{agent['currentVersion']['id']}"
    edits = [("PATCH", f"{AGENTS}/{agent_id}", {"name": "Mine"})]
    edits += [("POST", path, None) for path in (f"{AGENTS}/{agent_id}/archive", f"{version}/activate")]
    for method, path, body in edits:
        answer = await alice.send(method, path, json=body)
        assert (answer.status_code, error_of(answer)["code"]) == (403, "forbidden")
    assert (await alice.get(f"{AGENTS}/{agent_id}")).json() == agent
