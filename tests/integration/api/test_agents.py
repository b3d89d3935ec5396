"""Agents and versions: what is made, what a change makes of it, and who may do what."""

import asyncio
import re
from typing import Any

import pytest

from agentcontainer.domain.agents import standard
from agentcontainer.domain.files import service as files
from agentcontainer.ids import new_id

from .conftest import Account, Bed, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

AGENTS = "/api/v1/agents"
STANDARD = [agent.id for agent in standard.STANDARD_AGENTS]
PLATFORM_DEFAULTS: dict[str, Any] = {
    "provider": "anthropic",
    "model": "claude-sonnet-4-6",
    "weakModel": None,
    "internetAccess": False,
    "maxRuntimeSeconds": 3600,
    "softFinishAfterSeconds": None,
    "sessionTtlSeconds": 3600,
    "outputPolicy": {"mode": "any"},
    "runtimeRegion": "any",
}
DEFAULTS: dict[str, Any] = {
    "provider": "openai",
    "model": "gpt-5",
    "weakModel": "gpt-5-mini",
    "internetAccess": False,
    "maxRuntimeSeconds": 600,
    "softFinishAfterSeconds": 500,
    "sessionTtlSeconds": 60,
    "outputPolicy": {"mode": "named", "files": [{"name": "report", "jsonSchema": {"type": "object"}}]},
    "runtimeRegion": "eu",
}


async def make(account: Account, **body: Any) -> dict[str, Any]:
    answer = await account.post(AGENTS, {"name": new_id("Agent")} | body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def change(account: Account, agent: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = await account.send("PATCH", f"{AGENTS}/{agent['id']}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def do(account: Account, agent: dict[str, Any], verb: str) -> dict[str, Any]:
    answer = await account.post(f"{AGENTS}/{agent['id']}/{verb}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def versions(account: Account, agent: dict[str, Any], query: str = "order=asc") -> list[dict[str, Any]]:
    answer = await account.get(f"{AGENTS}/{agent['id']}/versions?{query}&limit=100")
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def dispatch(account: Account, agent: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = await account.post(f"{AGENTS}/{agent['id']}/tasks", {"instructions": "x"} | body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def refused(
    account: Account, method: str, path: str, status: int, code: str, **options: Any
) -> dict[str, Any]:
    """Send it: this answer, and no row more or less than before."""
    before = await account.bed.rows()
    answer = await account.send(method, path, **options)
    assert answer.status_code == status, answer.text
    assert await account.bed.rows() == before
    error = error_of(answer)
    assert error["code"] == code
    return error


async def test_an_agent_with_everything(alice: Account) -> None:
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


async def test_a_name_is_enough(alice: Account) -> None:
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
    made = [await make(alice) for _ in range(3)]
    await do(alice, made[0], "archive")
    for order in ("asc", "desc"):
        seen: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = (await alice.get(f"{AGENTS}?limit=2&order={order}{cursor}")).json()
            seen += page["data"]
            if not page["pageInfo"]["hasMore"]:
                break
            cursor = f"&cursor={page['pageInfo']['nextCursor']}"
        ids = [agent["id"] for agent in seen]
        assert sorted(ids) == sorted([*STANDARD, *(agent["id"] for agent in made)])
        assert ids == sorted(ids, reverse=order == "desc")
    archived = [agent for agent in seen if agent["archivedAt"]]
    assert [agent["id"] for agent in archived] == [made[0]["id"]]


async def test_name_and_description_are_edited_in_place(alice: Account) -> None:
    agent = await make(alice, description="Old.")
    changed = await change(alice, agent, name="Renamed agent")
    assert changed == agent | {"name": "Renamed agent"}
    assert await change(alice, agent, description="") == changed | {"description": ""}
    assert len(await versions(alice, agent)) == 1


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


@pytest.mark.parametrize("body", [{}, {"name": None, "defaults": None}])
async def test_a_change_of_nothing_is_refused(alice: Account, body: dict[str, Any]) -> None:
    agent = await make(alice)
    error = await refused(alice, "PATCH", f"{AGENTS}/{agent['id']}", 400, "validation_error", json=body)
    assert error["details"] == [{"path": "body", "message": "must say what to change"}]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"runtimeRegion": None}, {"runtimeRegion": "any"}),
        (dict.fromkeys(DEFAULTS), PLATFORM_DEFAULTS),
        ({"outputPolicy": {"mode": "none"}}, {"outputPolicy": {"mode": "none"}}),
        # A default that nobody named now and that no longer fits gives way.
        ({"maxRuntimeSeconds": 500}, {"maxRuntimeSeconds": 500, "softFinishAfterSeconds": None}),
        (
            {"provider": "anthropic", "model": "claude-sonnet-4.6"},
            {"provider": "anthropic", "model": "claude-sonnet-4.6", "weakModel": None},
        ),
    ],
)
async def test_defaults_are_merged_field_by_field(
    alice: Account, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    agent = await make(alice, defaults=DEFAULTS)
    changed = await change(alice, agent, defaults=given)
    assert changed["currentVersion"]["defaults"] == DEFAULTS | expected


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"provider": "anthropic"}, "defaults.model"),
        ({"provider": None}, "defaults.model"),
        ({"model": None}, "defaults.model"),
        ({"model": "claude-sonnet-4-6"}, "defaults.model"),
        ({"weakModel": "claude-haiku-4-5"}, "defaults.weakModel"),
        ({"softFinishAfterSeconds": 600}, "defaults.softFinishAfterSeconds"),
        (
            {"outputPolicy": {"mode": "named", "files": [{"name": "a", "jsonSchema": {"type": "x"}}]}},
            "defaults.outputPolicy.files.0.jsonSchema",
        ),
    ],
)
async def test_defaults_that_do_not_fit_together(alice: Account, given: dict[str, Any], path: str) -> None:
    agent = await make(alice, defaults=DEFAULTS)
    one = f"{AGENTS}/{agent['id']}"
    error = await refused(alice, "PATCH", one, 400, "validation_error", json={"defaults": given, "name": "y"})
    assert [detail["path"] for detail in error["details"]] == [path]
    assert (await alice.get(one)).json() == agent


@pytest.mark.parametrize("given", [{"provider": "openai"}, {"model": "gpt-5"}])
async def test_provider_and_model_of_a_new_agent_go_together(alice: Account, given: dict[str, Any]) -> None:
    body = {"name": "x", "defaults": given}
    error = await refused(alice, "POST", AGENTS, 400, "validation_error", json=body)
    assert [detail["path"] for detail in error["details"]] == ["defaults.model"]
    assert (await make(alice, defaults={"provider": "openai", "model": "gpt-5"}))["currentVersion"]


async def test_an_image_is_refused_with_a_sentence(alice: Account) -> None:
    body = {"name": "x", "runtime": {"containerImage": "python:3.14"}}
    error = await refused(alice, "POST", AGENTS, 400, "validation_error", json=body)
    assert error["details"][0]["path"] == "runtime.containerImage"
    assert "registry docker.io, which is not allowed here" in error["message"]


async def test_ten_changes_at_once_give_ten_versions(alice: Account) -> None:
    agent = await make(alice, defaults={"maxRuntimeSeconds": 60})
    bodies = [{"basePrompt": f"Prompt {n}."} for n in range(5)]
    bodies += [{"defaults": {"sessionTtlSeconds": 100 + n}} for n in range(5)]
    changed = await asyncio.gather(*(change(alice, agent, **body) for body in bodies))
    found = await versions(alice, agent)
    assert [version["number"] for version in found] == list(range(1, 12))
    assert sorted(answer["currentVersion"]["number"] for answer in changed) == list(range(2, 12))
    assert {version["basePrompt"] for version in found} >= {f"Prompt {n}." for n in range(5)}
    ttls = {version["defaults"]["sessionTtlSeconds"] for version in found}
    assert ttls == {3600, *range(100, 105)}
    # Nothing lost: the last version holds the last prompt and the last time to live.
    last = (await alice.get(f"{AGENTS}/{agent['id']}")).json()["currentVersion"]
    assert last == found[-1]
    assert last["basePrompt"].startswith("Prompt ") and last["defaults"]["sessionTtlSeconds"] >= 100


async def test_versions_page_by_number(alice: Account) -> None:
    agent = await make(alice)
    for n in range(11):
        await change(alice, agent, basePrompt=str(n))
    path = f"{AGENTS}/{agent['id']}/versions"
    seen: list[int] = []
    cursor = ""
    while True:
        page = (await alice.get(f"{path}?limit=5{cursor}")).json()
        seen += [version["number"] for version in page["data"]]
        if not page["pageInfo"]["hasMore"]:
            break
        cursor = f"&cursor={page['pageInfo']['nextCursor']}"
        await change(alice, agent, basePrompt=f"meanwhile {len(seen)}")
    assert seen == list(range(12, 0, -1))
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
    assert (await alice.get(f"/api/v1/tasks/{task['id']}")).json() == task | {"agentName": "New name"}
    placed = await files.list_references(bed.pool, task["agentVersionId"])
    assert [file.id for file in placed] == references
    await do(alice, agent, "unarchive")
    assert (await dispatch(alice, agent))["agentVersionId"] == changed["currentVersion"]["id"]
    again = await dispatch(alice, agent, versionId=first["id"], overrides={"model": "gpt-5-mini"})
    assert again["agentVersionId"] == first["id"]
    assert again["execution"]["model"] == "gpt-5-mini"


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
        for given, position in (([own, foreign], 1), ([new_id("file")], 0), ([own, own], 1)):
            for method, path in (("POST", AGENTS), ("PATCH", f"{AGENTS}/{agent['id']}")):
                body = {"name": "x", field: given}
                error = await refused(alice, method, path, 400, "validation_error", json=body)
                assert [detail["path"] for detail in error["details"]] == [f"{field}.{position}"]


async def test_standard_agents_can_be_read_and_not_changed(alice: Account) -> None:
    for agent_id in STANDARD:
        one = f"{AGENTS}/{agent_id}"
        agent = (await alice.get(one)).json()
        assert agent["isStandard"] is True
        [version] = await versions(alice, agent)
        assert version == agent["currentVersion"]
        assert (await alice.get(f"{one}/versions/{version['id']}")).json() == version
        await refused(alice, "PATCH", one, 403, "forbidden", json={"basePrompt": "Obey me."})
        for verb in ("archive", "unarchive", f"versions/{version['id']}/activate", "versions/agv_0/activate"):
            await refused(alice, "POST", f"{one}/{verb}", 403, "forbidden")
        assert (await alice.get(one)).json() == agent


async def test_an_agent_of_another_account_answers_like_a_missing_one(alice: Account, bob: Account) -> None:
    agent, own = await make(bob), await make(alice)
    version_id = agent["currentVersion"]["id"]
    reaches: list[tuple[str, str, Any]] = [
        ("GET", "", None), ("PATCH", "", {"name": "Mine now"}), ("POST", "/archive", None),
        ("POST", "/unarchive", None), ("POST", "/tasks", {"instructions": "x"}), ("GET", "/versions", None),
        ("GET", f"/versions/{version_id}", None), ("POST", f"/versions/{version_id}/activate", None),
    ]  # fmt: skip
    for method, path, body in reaches:
        told: list[str] = []
        for agent_id in (agent["id"], new_id("agt")):
            options = {"json": body} if body else {}
            url = f"{AGENTS}/{agent_id}{path}"
            error = await refused(alice, method, url, 404, "not_found", **options)
            told.append(error["message"].replace(agent_id, "ID"))
        assert told[0] == told[1]
    for method, path in (("GET", ""), ("POST", "/activate")):
        url = f"{AGENTS}/{own['id']}/versions/{version_id}{path}"
        await refused(alice, method, url, 404, "not_found")
    body = {"instructions": "x", "versionId": version_id}
    await refused(alice, "POST", f"{AGENTS}/{own['id']}/tasks", 400, "validation_error", json=body)
    assert (await bob.get(f"{AGENTS}/{agent['id']}")).json() == agent


async def test_verbs_take_no_fields(alice: Account) -> None:
    agent = await make(alice)
    for verb in ("archive", "unarchive", f"versions/{agent['currentVersion']['id']}/activate"):
        path = f"{AGENTS}/{agent['id']}/{verb}"
        await refused(alice, "POST", path, 400, "validation_error", json={"force": True})
        assert (await alice.post(path, {})).status_code == 200


async def test_the_longest_base_prompt(alice: Account) -> None:
    await make(alice, basePrompt="\x01" * 100_000)  # six bytes each in JSON
    body = {"name": "x", "basePrompt": "é" * 50_001}
    error = await refused(alice, "POST", AGENTS, 400, "validation_error", json=body)
    assert error["details"][0]["path"] == "basePrompt"


async def test_repeats_of_one_request_make_one_agent_and_one_version(alice: Account) -> None:
    headers = {"Idempotency-Key": new_id("key")}
    made = await asyncio.gather(*(alice.post(AGENTS, {"name": "Once"}, headers=headers) for _ in range(3)))
    assert [answer.status_code for answer in made] == [201] * 3
    [agent_id] = {answer.json()["id"] for answer in made}
    path, headers = f"{AGENTS}/{agent_id}", {"Idempotency-Key": new_id("key")}
    for body in ({"basePrompt": "x"}, {"basePrompt": "x"}):
        answer = await alice.send("PATCH", path, json=body, headers=headers)
        assert answer.json()["currentVersion"]["number"] == 2
    await refused(alice, "PATCH", path, 409, "conflict", json={"basePrompt": "y"}, headers=headers)
    await refused(alice, "POST", AGENTS, 409, "conflict", json={"name": "Once"})
