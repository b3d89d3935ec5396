"""What a client can choose: models and capabilities; and a dispatch that is only tried."""

from dataclasses import replace
from typing import Any

import httpx2
import pytest

from agentcontainer.api.app import create_app
from agentcontainer.price_file import from_text
from agentcontainer_client import AsyncAgentContainer, Conflict

from .conftest import AGENT, Account, Bed, error_of, new_account

pytestmark = pytest.mark.asyncio(loop_scope="session")

TRY = f"/api/v1/agents/{AGENT}/tasks?dryRun=true"


async def test_models_are_listed_with_limits_and_prices(alice: Account) -> None:
    first = (await alice.get("/api/v1/models", params={"limit": "2"})).json()
    assert [model["provider"] for model in first["data"]] == ["anthropic", "anthropic"]
    cursor = first["pageInfo"]["nextCursor"]
    rest = (await alice.get("/api/v1/models", params={"limit": "1000", "cursor": cursor})).json()
    models = first["data"] + rest["data"]
    assert not rest["pageInfo"]["hasMore"]
    keys = [(model["provider"], model["id"]) for model in models]
    assert keys == sorted(set(keys))
    [default] = [model for model in models if model["isDefault"]]
    assert default["id"] == "claude-sonnet-4-6"
    assert default["contextWindow"] > 100_000
    assert default["price"]["output"] > default["price"]["input"] > default["price"]["cacheRead"]
    assert "offline" not in {model["provider"] for model in models}
    openai = (await alice.get("/api/v1/models?provider=openai&order=desc&limit=1000")).json()["data"]
    ids = [model["id"] for model in openai]
    assert ids == sorted(ids, reverse=True)
    assert {model["provider"] for model in openai} == {"openai"}
    wrong = await alice.get("/api/v1/models", params={"cursor": "bW9kZWxzOjE"})
    assert error_of(wrong)["details"][0]["path"] == "cursor"


async def test_models_and_capabilities_follow_the_settings(bed: Bed) -> None:
    prices = from_text('{"openai": {"own-model": {"input": 1, "output": 2}}}')
    changed = bed.settings.model_copy(
        update={
            "model_prices_file": prices, "offline_model": "on", "internet_access": False,
            "egress_proxy_only": True, "image_registries": ("https://images.corp:5000",),
        }
    )  # fmt: skip
    transport = httpx2.ASGITransport(app=create_app(changed, bed.pool, bed.vault, bed.blobs))
    async with httpx2.AsyncClient(transport=transport, base_url="http://testserver", verify=False) as http:
        account = await new_account(replace(bed, settings=changed, http=http))
        models = (await account.get("/api/v1/models?limit=1000")).json()["data"]
        capabilities = (await account.get("/api/v1/capabilities")).json()
    by_id = {model["id"]: model for model in models}
    assert by_id["own-model"]["price"] == {"input": 1, "output": 2, "cacheRead": 1, "cacheWrite": 1}
    assert by_id["own-model"]["contextWindow"] is None
    assert by_id["offline-script"]["price"]["output"] == 0
    assert capabilities["registries"] == ["images.corp:5000"]
    assert capabilities["switchedOff"] == ["internet_access", "own_destinations"]
    assert "offline" in capabilities["providers"]
    assert capabilities["regions"] == [
        {"region": "any", "hasRunner": True}, {"region": "eu", "hasRunner": True},
    ]  # fmt: skip
    assert capabilities["maxUploadBytes"] == bed.settings.max_upload_bytes


async def tried(account: Account, **body: Any) -> dict[str, Any]:
    answer = await account.post(TRY, {"instructions": "Count."} | body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_dispatch_can_be_tried_without_creating_anything(bed: Bed, alice: Account) -> None:
    before = await bed.rows()
    trial = await tried(alice, overrides={"maxRuntimeSeconds": 900, "priority": 3})
    assert trial["problems"] == []
    assert (trial["holdUsd"], trial["balanceAfterUsd"]) == (0.5, 9.5)
    execution = trial["execution"]
    assert execution["maxRuntimeSeconds"] == {"value": 900, "from": "task"}
    assert execution["priority"] == {"value": 3, "from": "task"}
    assert execution["runtimeRegion"] == {"value": "any", "from": "platform"}
    assert execution["budget"] == {"value": None, "from": "platform"}
    assert execution["outputPolicy"]["value"] == {"mode": "any"}
    budget = {"maxTokens": 90_000, "onReached": "pause"}
    with_budget = await tried(alice, overrides={"budget": budget})
    assert with_budget["execution"]["budget"] == {"value": budget, "from": "task"}
    assert await bed.rows() == before
    task = await alice.dispatch(overrides={"maxRuntimeSeconds": 900, "priority": 3})
    assert task["agentVersionId"] == trial["agentVersionId"]


async def test_a_trial_says_which_layer_decided(alice: Account) -> None:
    defaults = {"softFinishAfterSeconds": 1000, "weakModel": "claude-haiku-4-5", "maxRuntimeSeconds": 2000}
    agent = (await alice.post("/api/v1/agents", {"name": "Layers", "defaults": defaults})).json()
    path = f"/api/v1/agents/{agent['id']}/tasks?dryRun=true"
    overrides = {"provider": "openai", "model": "gpt-5.2"}
    answer = await alice.post(path, {"instructions": "x", "overrides": overrides})
    execution = answer.json()["execution"]
    assert execution["softFinishAfterSeconds"] == {"value": 1000, "from": "version"}
    assert execution["model"] == {"value": "gpt-5.2", "from": "task"}
    assert execution["weakModel"] == {"value": None, "from": "task"}  # the provider's change dropped it
    plain = (await alice.post(path, {"instructions": "x"})).json()["execution"]
    assert plain["weakModel"] == {"value": "claude-haiku-4-5", "from": "version"}
    assert plain["provider"] == {"value": "anthropic", "from": "platform"}


async def test_a_trial_names_what_would_be_refused(bed: Bed, alice: Account) -> None:
    poor = await new_account(bed, credit_micro_usd=100_000)
    trial = await tried(poor, inputFiles=[{"fileId": "file_0"}])
    assert [(problem["code"], problem["path"]) for problem in trial["problems"]] == [
        ("validation_error", "inputFiles.0.fileId"), ("insufficient_balance", None),
    ]  # fmt: skip
    assert trial["execution"] is None
    assert trial["balanceAfterUsd"] == -0.4
    agent = (await alice.post("/api/v1/agents", {"name": "Old"})).json()["id"]
    await alice.post(f"/api/v1/agents/{agent}/archive")
    archived = await alice.post(f"/api/v1/agents/{agent}/tasks?dryRun=true", {"instructions": "x"})
    assert [problem["code"] for problem in archived.json()["problems"]] == ["conflict"]
    await bed.pool.execute(
        "INSERT INTO account_queues (account_id, max_queued) VALUES ($1, 0) "
        "ON CONFLICT (account_id) DO UPDATE SET max_queued = 0",
        alice.id,
    )
    assert [problem["code"] for problem in (await tried(alice))["problems"]] == ["limit_reached"]
    free = await new_account(bed, is_unlimited=True, credit_micro_usd=0)
    assert (await tried(free))["holdUsd"] == 0


async def test_a_trial_is_strict_and_takes_no_idempotency_key(alice: Account) -> None:
    keyed = {"Idempotency-Key": "dry"}
    refused = await alice.post(TRY, {"instructions": "x"}, headers=keyed)
    assert (refused.status_code, error_of(refused)["details"][0]["path"]) == (400, "Idempotency-Key")
    path = f"/api/v1/agents/{AGENT}/tasks"
    assert (await alice.post(path, {"instructions": "x"}, headers=keyed)).status_code == 201
    assert (await alice.post(TRY, {"instructions": "x"}, headers=keyed)).status_code == 400
    assert (await alice.post(f"{path}?dryRun=false", {"instructions": "x"}, headers=keyed)).status_code == 201
    assert (await alice.post(f"{path}?dryRun=yes", {"instructions": "x"})).status_code == 400
    assert (await alice.post(TRY, {"instructions": "x", "unknown": 1})).status_code == 400
    assert (
        await alice.post("/api/v1/agents/agt_0/tasks?dryRun=true", {"instructions": "x"})
    ).status_code == 404


async def test_a_viewer_may_try_what_it_may_not_do(bed: Bed, alice: Account) -> None:
    await bed.pool.execute("UPDATE api_keys SET role = 'viewer' WHERE account_id = $1", alice.id)
    assert (await tried(alice))["problems"] == []
    refused = await alice.post(f"/api/v1/agents/{AGENT}/tasks", {"instructions": "x"})
    assert error_of(refused)["code"] == "forbidden"


async def test_the_client_previews_and_lists(bed: Bed, alice: Account) -> None:
    file_id = await alice.upload()
    transport = httpx2.ASGITransport(app=create_app(bed.settings, bed.pool, bed.vault, bed.blobs))
    async with AsyncAgentContainer("http://testserver", alice.key, transport=transport) as client:
        trial = await client.tasks.preview("x", agent=AGENT, priority=2, files=[file_id, ("new.txt", b"1")])
        assert trial.problems == []
        assert trial.execution is not None
        assert (trial.execution.priority.value, trial.execution.priority.from_) == (2, "task")
        ids = [model.id async for model in client.system.list_models(provider="anthropic")]
        assert "claude-sonnet-4-6" in ids
        assert (await client.system.capabilities()).internet_access
        assert (await client.files.uses(file_id)).is_complete
        agent = await client.agents.create("Guarded by the client")
        first = agent.current_version.id
        await agent.update(base_prompt="2", if_current_version_id=first)
        with pytest.raises(Conflict):
            await agent.update(base_prompt="3", if_current_version_id=first)
