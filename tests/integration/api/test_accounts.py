"""The account, its provider keys, the agents it sees, and authentication."""

import pytest

from agentcontainer.api.app import ROUTES
from agentcontainer.api.http.auth import is_authenticated
from agentcontainer.domain.accounts import service as accounts

from .conftest import AGENT, Account, Bed, error_of, new_account

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = "sk-ant-verysecret-0123456789abcd"


async def test_the_account_has_all_its_fields(bed: Bed) -> None:
    account = await new_account(bed, name="Ada", email="ada@example.com", credit_micro_usd=12_345_678)
    answer = (await account.get("/api/v1/account")).json()
    assert answer == {
        "id": account.id,
        "name": "Ada",
        "email": "ada@example.com",
        "creditBalance": 12.345678,
        "heldUsd": 0,
        "lowBalanceUsd": None,
        "usageMetadataKeys": [],
        "billingMode": "standard",
        "fileStorage": {"usedBytes": 0, "quotaBytes": bed.settings.file_quota_bytes, "isEnforced": True},
        "checkpointStorage": {
            "usedBytes": 0,
            "quotaBytes": bed.settings.checkpoint_quota_bytes,
            "isEnforced": True,
        },
        "createdAt": answer["createdAt"],
        "role": "member",
        "isOperator": False,
        "limits": {"runningTasks": None, "queuedTasks": None, "costUsdPerDay": None, "maxPriority": None},
    }
    unlimited = await new_account(bed, is_unlimited=True)
    assert (await unlimited.get("/api/v1/account")).json()["billingMode"] == "unlimited_grant"


@pytest.mark.parametrize(
    "authorization",
    [
        None, "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "ac_live_x", "Bearer ac_live_unknown", "Bearer a b",
        "Bearer " + "x" * 5000, "Bearer é", "Bearer \x00", "Token ac_live_x", "Bearer KEY,", "Bearer  KEY x",
    ],
    ids=ascii,
)  # fmt: skip
async def test_without_a_valid_key_every_route_answers_401(
    bed: Bed, alice: Account, authorization: str | None
) -> None:
    headers = (
        {} if authorization is None else {"Authorization": authorization.replace("KEY", alice.key).encode()}
    )
    for route in ROUTES:
        if not is_authenticated(route) or not route.include_in_schema:  # an answer to HEAD has no body
            continue
        [method] = route.methods or ()
        answer = await bed.http.request(method, route.path, headers=headers)
        assert answer.status_code == 401, route.path
        assert answer.headers["www-authenticate"] == "Bearer"
        assert error_of(answer)["code"] == "unauthorized"


async def test_a_key_in_the_query_is_not_accepted(bed: Bed, alice: Account) -> None:
    answer = await bed.http.get("/api/v1/account", params={"apiKey": alice.key})
    assert answer.status_code == 401
    assert alice.key not in answer.text


async def test_two_authorization_headers_are_refused(bed: Bed, alice: Account) -> None:
    headers = [("Authorization", f"Bearer {alice.key}"), ("Authorization", "Bearer ac_live_x")]
    assert (await bed.http.get("/api/v1/account", headers=headers)).status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_in_any_case(bed: Bed, alice: Account, scheme: str) -> None:
    answer = await bed.http.get("/api/v1/account", headers={"Authorization": f"{scheme} {alice.key}"})
    assert answer.status_code == 200


async def test_a_revoked_key_is_refused(bed: Bed, alice: Account) -> None:
    _, second = await accounts.create_key(bed.pool, alice.id, "second")
    query = "UPDATE api_keys SET revoked_at = now() WHERE account_id = $1 AND name = 'default'"
    await bed.pool.execute(query, alice.id)
    assert (await alice.get("/api/v1/account")).status_code == 401
    assert (await Account(bed, alice.id, second).get("/api/v1/account")).status_code == 200


async def test_the_use_of_a_key_is_recorded(bed: Bed, alice: Account) -> None:
    await alice.get("/api/v1/account")
    assert (
        await bed.pool.fetchval("SELECT last_used_at FROM api_keys WHERE account_id = $1", alice.id)
        is not None
    )


async def test_provider_keys_can_be_set_listed_and_deleted(bed: Bed, alice: Account, bob: Account) -> None:
    put = await alice.send("PUT", "/api/v1/provider-keys/openai", json={"apiKey": KEY})
    assert put.status_code == 200
    no_endpoint = {"baseUrl": None, "api": None, "price": None}
    created_at = put.json()["createdAt"]
    assert put.json() == {"provider": "openai", "last4": "abcd", "createdAt": created_at} | no_endpoint
    await alice.send("PUT", "/api/v1/provider-keys/anthropic", json={"apiKey": "short-01"})

    listed = await alice.get("/api/v1/provider-keys?order=asc")
    assert [(key["provider"], key["last4"]) for key in listed.json()["data"]] == [
        ("anthropic", ""),
        ("openai", "abcd"),
    ]
    assert (await bob.get("/api/v1/provider-keys")).json()["data"] == []
    for text in (put.text, listed.text, (await alice.get("/api/v1/account")).text):
        assert KEY not in text

    row = await bed.pool.fetchrow(
        "SELECT * FROM provider_keys WHERE account_id = $1 AND provider = 'openai'", alice.id
    )
    assert KEY.encode() not in row["ciphertext"]
    stored = await accounts.open_provider_key(bed.pool, bed.vault, alice.id, "openai")
    assert stored and stored.key == KEY and KEY not in repr(stored)

    await alice.send("PUT", "/api/v1/provider-keys/openai", json={"apiKey": KEY[::-1]})
    stored = await accounts.open_provider_key(bed.pool, bed.vault, alice.id, "openai")
    assert stored and stored.key == KEY[::-1]

    assert (await bob.send("DELETE", "/api/v1/provider-keys/openai")).status_code == 404
    deleted = await alice.send("DELETE", "/api/v1/provider-keys/openai")
    assert (deleted.status_code, deleted.content) == (204, b"")
    again = await alice.send("DELETE", "/api/v1/provider-keys/openai")
    assert (again.status_code, error_of(again)["code"]) == (404, "not_found")


async def test_the_offline_script_takes_no_key(alice: Account) -> None:
    answer = await alice.send("PUT", "/api/v1/provider-keys/offline", json={"apiKey": KEY})
    assert (answer.status_code, error_of(answer)["details"][0]["path"]) == (400, "provider")


async def test_provider_keys_are_paged(alice: Account) -> None:
    for provider in ("openai", "anthropic", "openrouter"):
        await alice.send("PUT", f"/api/v1/provider-keys/{provider}", json={"apiKey": KEY})
    for order, expected in (
        ("asc", ["anthropic", "openai", "openrouter"]), ("desc", ["openrouter", "openai", "anthropic"]),
    ):  # fmt: skip
        first = (await alice.get(f"/api/v1/provider-keys?limit=2&order={order}")).json()
        cursor = first["pageInfo"]["nextCursor"]
        rest = (await alice.get(f"/api/v1/provider-keys?limit=2&order={order}&cursor={cursor}")).json()
        assert [key["provider"] for key in first["data"] + rest["data"]] == expected
        assert rest["pageInfo"] == {"hasMore": False, "nextCursor": None}


async def test_every_account_sees_the_standard_agents(alice: Account) -> None:
    agents = (await alice.get("/api/v1/agents?limit=100")).json()["data"]
    assert {agent["id"] for agent in agents} == {"agt_standard_coding", "agt_standard_documents", AGENT}
    agent = (await alice.get(f"/api/v1/agents/{AGENT}")).json()
    assert agent in agents
    version = agent["currentVersion"]
    assert agent == {
        "id": AGENT,
        "name": "Data",
        "description": agent["description"],
        "currentVersion": version,
        "isStandard": True,
        "archivedAt": None,
        "createdAt": agent["createdAt"],
    }
    assert version == {
        "id": version["id"],
        "agentId": AGENT,
        "number": 1,
        "runtime": {"containerImage": None, "agentRuntime": "pi"},
        "basePrompt": version["basePrompt"],
        "defaults": {
            "provider": "anthropic",
            "model": "claude-sonnet-4-6",
            "weakModel": "claude-haiku-4-5",
            "internetAccess": False,
            "maxRuntimeSeconds": 3600,
            "softFinishAfterSeconds": 3300,
            "sessionTtlSeconds": 3600,
            "outputPolicy": {"mode": "any"},
            "runtimeRegion": "any",
        },
        "referenceFileIds": [],
        "skills": [],
        "createdAt": version["createdAt"],
    }


async def test_agents_are_paged(alice: Account) -> None:
    first = (await alice.get("/api/v1/agents?limit=2")).json()
    rest = (await alice.get(f"/api/v1/agents?limit=2&cursor={first['pageInfo']['nextCursor']}")).json()
    assert len({agent["id"] for agent in first["data"] + rest["data"]}) == 3
    assert (first["pageInfo"]["hasMore"], rest["pageInfo"]["hasMore"]) == (True, False)


async def test_an_agent_of_another_account_answers_like_a_missing_one(
    bed: Bed, alice: Account, bob: Account
) -> None:
    async with bed.pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO agent_versions (id, agent_id, number, defaults)"
            " SELECT 'agv_of_bob', 'agt_of_bob', 1, defaults FROM agent_versions WHERE agent_id = $1", AGENT,
        )  # fmt: skip
        await connection.execute(
            "INSERT INTO agents (id, account_id, name, current_version_id)"
            " VALUES ('agt_of_bob', $1, 'B', 'agv_of_bob')",
            bob.id,
        )
    own = (await bob.get("/api/v1/agents/agt_of_bob")).json()
    assert own["isStandard"] is False
    assert "agt_of_bob" not in (await alice.get("/api/v1/agents")).text
    foreign = await alice.get("/api/v1/agents/agt_of_bob")
    missing = await alice.get("/api/v1/agents/agt_of_bbb")
    assert (foreign.status_code, missing.status_code) == (404, 404)
    assert error_of(foreign)["message"] == error_of(missing)["message"].replace("bbb", "bob")
    body = {"instructions": "x"}
    assert (await alice.post("/api/v1/agents/agt_of_bob/tasks", body)).status_code == 404
    body = {"instructions": "x", "versionId": "agv_of_bob"}
    assert (await alice.post(f"/api/v1/agents/{AGENT}/tasks", body)).status_code == 400
    assert (await bob.post("/api/v1/agents/agt_of_bob/tasks", {"instructions": "x"})).status_code == 201


async def test_file_storage_counts_what_is_stored(alice: Account) -> None:
    await alice.upload(b"x" * 1234)
    storage = (await alice.get("/api/v1/account")).json()["fileStorage"]
    assert (storage["usedBytes"], storage["isEnforced"]) == (1234, True)


async def test_no_response_and_no_database_column_holds_a_provider_key_in_plain_text(
    bed: Bed, alice: Account
) -> None:
    put = await alice.send("PUT", "/api/v1/provider-keys/openai", json={"apiKey": KEY})
    task = await alice.dispatch(overrides={"providerApiKey": KEY})
    answers = [put.text, (await alice.get("/api/v1/provider-keys")).text, str(task)]
    answers.append((await alice.get(f"/api/v1/tasks/{task['id']}/events")).text)
    tables = await bed.pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for row in tables:
        answers.append(str(await bed.pool.fetch(f'SELECT t::text FROM "{row["tablename"]}" AS t')))
    assert len(tables) > 10
    assert not any(KEY in answer or KEY.encode().hex() in answer for answer in answers)
