"""Versions of agents: which change makes one, which is current, and what a task keeps."""

import asyncio
from typing import Any

import pytest

from agentcontainer.domain.files import store as files
from agentcontainer.ids import new_id

from .agent_requests import AGENTS, DEFAULTS, change, dispatch, do, make, refused, versions
from .conftest import UNREAD, Account, Bed

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    ("field", "value"),
    [("basePrompt", "Other."), ("referenceFileIds", []), ("skills", []), ("defaults", {"maxRuntimeSeconds": 900})],
)  # fmt: skip
async def test_any_other_change_makes_a_version_and_the_rest_is_carried_over(
    alice: Account, field: str, value: Any
) -> None:
    agent = await make(
        alice, basePrompt="Be exact.", defaults=DEFAULTS, referenceFileIds=[await alice.upload()],
        skills=[await alice.upload()],
    )  # fmt: skip
    first = agent["currentVersion"]
    changed = await change(alice, agent, **{field: value, "name": "Also " + agent["name"]})
    version = changed["currentVersion"]
    assert version["number"] == 2
    expected = DEFAULTS | value if field == "defaults" else value
    assert version == first | {
        field: expected, "id": version["id"], "number": 2, "createdAt": version["createdAt"],
    }  # fmt: skip
    assert changed["name"] == "Also " + agent["name"]
    assert await versions(alice, agent) == [first, version]


async def test_an_unchanged_agent_gets_no_version(alice: Account) -> None:
    agent = await make(alice, basePrompt="x", defaults=DEFAULTS, referenceFileIds=[await alice.upload()])
    version = agent["currentVersion"]
    same = {
        name: version[name] for name in ("runtime", "basePrompt", "defaults", "referenceFileIds", "skills")
    }
    assert await change(alice, agent, **same) == agent
    assert len(await versions(alice, agent)) == 1


async def test_ten_changes_at_once_give_ten_versions(alice: Account) -> None:
    agent = await make(alice, defaults={"maxRuntimeSeconds": 60})
    bodies = [{"basePrompt": f"Prompt {n}."} for n in range(5)]
    bodies += [{"defaults": {"sessionTtlSeconds": 100 + n}} for n in range(5)]
    changed = await asyncio.gather(*(change(alice, agent, **body) for body in bodies))
    stored = await versions(alice, agent)
    assert [version["number"] for version in stored] == list(range(1, 12))
    assert sorted(answer["currentVersion"]["number"] for answer in changed) == list(range(2, 12))
    assert {version["basePrompt"] for version in stored} >= {f"Prompt {n}." for n in range(5)}
    ttls = {version["defaults"]["sessionTtlSeconds"] for version in stored}
    assert ttls == {3600, *range(100, 105)}
    # No change is lost: the last version has the last prompt and the last time to live.
    last = (await alice.get(f"{AGENTS}/{agent['id']}")).json()["currentVersion"]
    assert last == stored[-1]
    assert last["basePrompt"].startswith("Prompt ") and last["defaults"]["sessionTtlSeconds"] >= 100


async def test_versions_are_paged_by_number(alice: Account) -> None:
    agent = await make(alice)
    for n in range(11):
        await change(alice, agent, basePrompt=str(n))
    path = f"{AGENTS}/{agent['id']}/versions"
    numbers: list[int] = []
    cursor = ""
    while True:
        page = (await alice.get(f"{path}?limit=5{cursor}")).json()
        numbers += [version["number"] for version in page["data"]]
        if not page["pageInfo"]["hasMore"]:
            break
        cursor = f"&cursor={page['pageInfo']['nextCursor']}"
        await change(alice, agent, basePrompt=f"meanwhile {len(numbers)}")
    assert numbers == list(range(12, 0, -1))
    for query, name in (("limit=0", "limit"), ("cursor=x", "cursor"), ("order=x", "order"), ("x=1", "x")):
        error = await refused(alice, "GET", f"{path}?{query}", 400, "validation_error")
        assert error["details"][0]["path"] == name


async def test_an_activated_version_is_current_and_the_next_is_based_on_it(alice: Account) -> None:
    agent = await make(alice, basePrompt="One.")
    first = agent["currentVersion"]
    await change(alice, agent, basePrompt="Two.")
    assert await do(alice, agent, f"versions/{first['id']}/activate") == agent
    assert await do(alice, agent, f"versions/{first['id']}/activate") == agent
    third = (await change(alice, agent, defaults={"maxRuntimeSeconds": 60}))["currentVersion"]
    assert (third["number"], third["basePrompt"]) == (3, "One.")
    other = await make(alice)
    for version_id in (other["currentVersion"]["id"], new_id("agv")):
        path = f"{AGENTS}/{agent['id']}/versions/{version_id}"
        await refused(alice, "GET", path, 404, "not_found")
        await refused(alice, "POST", f"{path}/activate", 404, "not_found")
    assert (await alice.get(f"{AGENTS}/{agent['id']}")).json()["currentVersion"] == third


async def test_a_task_keeps_its_version(bed: Bed, alice: Account) -> None:
    references = [await alice.upload(), await alice.upload()][::-1]
    agent = await make(alice, basePrompt="One.", defaults=DEFAULTS, referenceFileIds=references)
    first = agent["currentVersion"]
    task = await dispatch(alice, agent)
    assert task["agentVersionId"] == first["id"]
    assert task["execution"] == {name: DEFAULTS[name] for name in ("provider", "model", "weakModel")}
    assert task["runtimeRegion"] == "eu"
    changed = await change(
        alice, agent, defaults=dict.fromkeys(DEFAULTS), referenceFileIds=[], name="New name"
    )
    await do(alice, agent, "archive")
    assert (await alice.get(f"/api/v1/tasks/{task['id']}")).json() | UNREAD == task | {
        "agentName": "New name"
    }
    placed = await files.list_references(bed.pool, task["agentVersionId"])
    assert [file.id for file in placed] == references
    await do(alice, agent, "unarchive")
    assert (await dispatch(alice, agent))["agentVersionId"] == changed["currentVersion"]["id"]
    again = await dispatch(alice, agent, versionId=first["id"], overrides={"model": "gpt-5-mini"})
    assert again["agentVersionId"] == first["id"]
    assert again["execution"]["model"] == "gpt-5-mini"


async def test_repeats_of_one_request_make_one_agent_and_one_version(alice: Account) -> None:
    headers = {"Idempotency-Key": new_id("key")}
    answers = await asyncio.gather(*(alice.post(AGENTS, {"name": "Once"}, headers=headers) for _ in range(3)))
    assert [answer.status_code for answer in answers] == [201] * 3
    [agent_id] = {answer.json()["id"] for answer in answers}
    path, headers = f"{AGENTS}/{agent_id}", {"Idempotency-Key": new_id("key")}
    for body in ({"basePrompt": "x"}, {"basePrompt": "x"}):
        answer = await alice.send("PATCH", path, json=body, headers=headers)
        assert answer.json()["currentVersion"]["number"] == 2
    await refused(alice, "PATCH", path, 409, "conflict", json={"basePrompt": "y"}, headers=headers)
    await refused(alice, "POST", AGENTS, 409, "conflict", json={"name": "Once"})
