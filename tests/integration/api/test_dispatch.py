"""Dispatch: the task it returns, what it stores, and what it costs."""

import asyncio
import re
from typing import Any

import pytest

from agentcontainer.domain.tasks.state import EndReason

from .conftest import AGENT, UNREAD, Account, Bed, error_of, new_account

pytestmark = pytest.mark.asyncio(loop_scope="session")

DISPATCH = f"/api/v1/agents/{AGENT}/tasks"
LEDGER = "SELECT kind, amount_micro_usd FROM ledger_entries WHERE account_id = $1 ORDER BY position"
LEDGER_SUM = "SELECT coalesce(sum(amount_micro_usd), 0) FROM ledger_entries WHERE account_id = $1"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def balance(account: Account) -> float:
    return (await account.get("/api/v1/account")).json()["creditBalance"]


async def ledger(account: Account) -> list[tuple[str, int]]:
    rows = await account.bed.pool.fetch(LEDGER, account.id)
    return [(row["kind"], row["amount_micro_usd"]) for row in rows]


async def test_the_task_object_has_every_key(alice: Account) -> None:
    task = await alice.dispatch()
    assert re.fullmatch(r"tsk_[0-9a-z]{20,}", task["id"])
    assert TIME.fullmatch(task["createdAt"])
    assert task == {
        "id": task["id"],
        "url": f"http://testserver/tasks/{task['id']}",
        "mode": "autonomous",
        "agentId": AGENT,
        "agentName": "Data",
        "agentVersionId": task["agentVersionId"],
        "runtime": {"containerImage": None, "agentRuntime": "pi"},
        "status": "pending",
        "queue": None,
        "turnStatus": None,
        "turnNumber": 0,
        "sessionTtlSeconds": None,
        "hibernateUntilAt": None,
        "hibernationReason": None,
        "wakeUrl": None,
        "title": "Count the rows.",
        "instructions": "Count the rows.",
        "inputFileIds": None,
        "inputFiles": [],
        "inputRepositories": [],
        "runtimeRegion": "any",
        "overrides": {},
        "execution": {"provider": "anthropic", "model": "claude-sonnet-4-6", "weakModel": "claude-haiku-4-5"},
        "skills": [],
        "metadata": {},
        "createdAt": task["createdAt"],
        "startedAt": None,
        "completedAt": None,
        "eventsPurgedAt": None,
        "batchId": None,
        "completion": None,
        "result": None,
        "error": None,
        "errorCode": None,
        "costUsd": 0,
        "modelCostUsd": 0,
        "budget": None,
        "containerMinutes": 0,
        "tokenUsage": {"input_tokens": 0, "output_tokens": 0, "cached_input_tokens": 0},
        "outputCount": None,
        "lastActivity": None,
        "lastMessage": None,
    }
    assert (await alice.get(f"/api/v1/tasks/{task['id']}")).json() | UNREAD == task


async def test_all_fields_of_a_dispatch_are_accepted(alice: Account) -> None:
    version_id = (await alice.get(f"/api/v1/agents/{AGENT}")).json()["currentVersion"]["id"]
    overrides: dict[str, Any] = {
        "provider": "anthropic",
        "runtime": "pi",
        "model": "claude-sonnet-4.6",
        "weakModel": "claude-3-5-haiku-latest",
        "internetAccess": False,
        "maxRuntimeSeconds": 1800,
        "softFinishAfterSeconds": 1500,
        "runtimeRegion": "eu",
        "outputPolicy": {"mode": "named", "files": [{"name": "report", "jsonSchema": {"default": None}}]},
    }
    task = await alice.dispatch(
        versionId=version_id,
        inputFileIds=[await alice.upload(), await alice.upload()],
        title="Quarterly figures",
        metadata={"customer": "x", "deep": {"list": [1, 1.5, None, True, "é"]}},
        overrides=overrides | {"providerApiKey": "sk-ant-0123456789"},
    )
    assert task["overrides"] == overrides
    assert task["metadata"] == {"customer": "x", "deep": {"list": [1, 1.5, None, True, "é"]}}
    assert task["title"] == "Quarterly figures"
    assert task["runtimeRegion"] == "eu"
    assert task["execution"] == {
        "provider": "anthropic", "model": "claude-sonnet-4.6", "weakModel": "claude-3-5-haiku-latest",
    }  # fmt: skip


async def test_input_files_in_either_spelling_keep_their_order(bed: Bed, alice: Account) -> None:
    files = [await alice.upload() for _ in range(3)]
    files.reverse()
    query = "SELECT file_id FROM task_input_files WHERE task_id = $1 ORDER BY position"
    for body in (
        {"inputFileIds": files},
        {"inputFiles": [{"fileId": file_id, "snapshot": "include"} for file_id in files]},
    ):
        task = await alice.dispatch(**body)
        assert [row["file_id"] for row in await bed.pool.fetch(query, task["id"])] == files


async def test_the_provider_key_is_never_shown_nor_stored_in_plain(bed: Bed, alice: Account) -> None:
    key = "sk-ant-verysecret-0123456789"
    task = await alice.dispatch(overrides={"providerApiKey": key})
    for path in ("", "/events"):
        assert key not in (await alice.get(f"/api/v1/tasks/{task['id']}{path}")).text
    row = await bed.pool.fetchrow("SELECT * FROM tasks WHERE id = $1", task["id"])
    assert row is not None
    assert key not in str(dict(row))
    assert bed.vault.open(row["provider_key_ciphertext"], task["id"]) == key


async def test_dispatch_holds_and_the_end_releases(alice: Account) -> None:
    task = await alice.dispatch()
    assert await balance(alice) == 9.5
    await alice.finish(task["id"])
    assert await balance(alice) == 10
    assert await ledger(alice) == [("credit", 10_000_000), ("hold", -500_000), ("release", 500_000)]


async def test_the_actual_cost_is_charged_per_started_second(bed: Bed, alice: Account) -> None:
    task = await alice.dispatch()
    await bed.pool.execute(
        "UPDATE tasks SET container_micro_seconds = 61200000, input_tokens = 1200, output_tokens = 34 WHERE id = $1",
        task["id"],
    )
    await alice.finish(task["id"], reason=EndReason.INCOMPLETE)
    ended = (await alice.get(f"/api/v1/tasks/{task['id']}")).json()
    assert (ended["status"], ended["completion"], ended["result"]) == ("finished", "incomplete", "Done.")
    assert ended["containerMinutes"] == 1.0333
    assert ended["costUsd"] == 0.051667
    assert ended["tokenUsage"] == {"input_tokens": 1200, "output_tokens": 34, "cached_input_tokens": 0}
    assert TIME.fullmatch(ended["completedAt"])
    assert await balance(alice) == 9.948333
    assert (await ledger(alice))[2:] == [("release", 500_000), ("charge", -51_667)]


async def test_below_the_hold_nothing_is_created(bed: Bed) -> None:
    poor = await new_account(bed, credit_micro_usd=499_999)
    before = await bed.rows()
    answer = await poor.post(DISPATCH, {"instructions": "x"})
    assert answer.status_code == 402
    error = error_of(answer)
    assert error["code"] == "insufficient_balance"
    assert "$0.50" in error["message"]
    assert await bed.rows() == before
    assert (await poor.get("/api/v1/tasks")).json()["data"] == []


async def test_exactly_the_hold_is_enough(bed: Bed) -> None:
    account = await new_account(bed, credit_micro_usd=500_000)
    await account.dispatch()
    assert await balance(account) == 0


async def test_concurrent_dispatches_never_oversubscribe_a_balance(bed: Bed) -> None:
    account = await new_account(bed, credit_micro_usd=2_700_000)
    answers = await asyncio.gather(*(account.post(DISPATCH, {"instructions": str(n)}) for n in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] * 5 + [402] * 15
    assert await balance(account) == 0.2
    assert await bed.pool.fetchval("SELECT count(*) FROM tasks WHERE account_id = $1", account.id) == 5
    assert await bed.pool.fetchval(LEDGER_SUM, account.id) == 200_000


async def test_an_unlimited_account_is_never_blocked_or_charged(bed: Bed) -> None:
    account = await new_account(bed, is_unlimited=True, credit_micro_usd=0)
    task = await account.dispatch()
    await bed.pool.execute("UPDATE tasks SET container_micro_seconds = 60000000 WHERE id = $1", task["id"])
    await account.finish(task["id"])
    assert (await account.get(f"/api/v1/tasks/{task['id']}")).json()["containerMinutes"] == 1
    assert await balance(account) == 0
    assert await ledger(account) == []


async def test_an_archived_agent_takes_no_task(bed: Bed, alice: Account) -> None:
    await bed.pool.execute("UPDATE agents SET archived_at = now() WHERE id = 'agt_standard_coding'")
    try:
        answer = await alice.post("/api/v1/agents/agt_standard_coding/tasks", {"instructions": "x"})
        assert answer.status_code == 409
        assert error_of(answer)["code"] == "conflict"
        assert await balance(alice) == 10
    finally:
        await bed.pool.execute("UPDATE agents SET archived_at = NULL WHERE id = 'agt_standard_coding'")


async def test_an_agent_that_does_not_exist(alice: Account) -> None:
    answer = await alice.post("/api/v1/agents/agt_nowhere/tasks", {"instructions": "x"})
    assert answer.status_code == 404
    assert error_of(answer)["code"] == "not_found"


async def refused(account: Account, **body: Any) -> str:
    """The path of the field for which a dispatch with this body is refused."""
    answer = await account.post(DISPATCH, {"instructions": "x"} | body)
    assert (answer.status_code, error_of(answer)["code"]) == (400, "validation_error"), answer.text
    return error_of(answer)["details"][0]["path"]


async def test_an_agent_version_can_be_chosen(alice: Account) -> None:
    agent = (await alice.post("/api/v1/agents", {"name": "Heron"})).json()
    await alice.send("PATCH", f"/api/v1/agents/{agent['id']}", json={"basePrompt": "Be brief."})
    body = {"instructions": "x", "versionId": agent["currentVersion"]["id"]}
    task = (await alice.post(f"/api/v1/agents/{agent['id']}/tasks", body)).json()
    assert task["agentVersionId"] == agent["currentVersion"]["id"]


async def test_title_metadata_skills_and_repositories(alice: Account) -> None:
    skill = await alice.upload(b"PK", "skill.zip")
    repositories = [{"url": "https://example.org/team/code.git", "ref": "main", "path": "code"}]
    body = {
        "title": "T",
        "metadata": {"a": {"b": [1, None]}},
        "skills": [skill],
        "inputRepositories": repositories,
    }
    task = await alice.dispatch(**body)
    assert (task["title"], task["metadata"], task["skills"]) == ("T", {"a": {"b": [1, None]}}, [skill])
    assert task["inputRepositories"] == repositories


async def test_a_task_that_is_read_by_its_id_names_its_input_files(alice: Account) -> None:
    files = [await alice.upload(), await alice.upload()]
    task = await alice.dispatch(inputFileIds=files[::-1])
    await alice.finish(task["id"])
    assert (await alice.send("DELETE", f"/api/v1/files/{files[0]}")).status_code == 204
    read = (await alice.get(f"/api/v1/tasks/{task['id']}")).json()
    assert read["inputFileIds"] == files[::-1]
    listed = (await alice.get("/api/v1/tasks?limit=1")).json()["data"][0]
    assert listed["inputFileIds"] is None


async def test_metadata_is_an_object_of_at_most_16_kib(alice: Account) -> None:
    limit = 16 * 1024 - len('{"a":""}')
    assert (await alice.dispatch(metadata={"a": "x" * limit}))["metadata"]["a"]
    assert await refused(alice, metadata={"a": "x" * (limit + 1)}) == "metadata"
    assert await refused(alice, metadata=[1]) == "metadata"


async def test_all_overrides_are_accepted_and_shown(alice: Account) -> None:
    overrides = {
        "provider": "openai", "model": "gpt-5.2", "weakModel": "gpt-5-mini", "runtime": "pi",
        "internetAccess": False,
        "maxRuntimeSeconds": 600, "softFinishAfterSeconds": 500, "runtimeRegion": "eu",
        "outputPolicy": {"mode": "named", "files": [{"name": "report", "required": False}]},
        "budget": {"maxCostUsd": 1.5, "maxTokens": 100_000},
    }  # fmt: skip
    task = await alice.dispatch(overrides=overrides | {"providerApiKey": "sk-of-this-task"})
    assert task["overrides"] == overrides
    assert task["execution"] == {"provider": "openai", "model": "gpt-5.2", "weakModel": "gpt-5-mini"}
    assert task["runtimeRegion"] == "eu"


async def test_overrides_change_one_task_only(alice: Account) -> None:
    before = (await alice.get(f"/api/v1/agents/{AGENT}")).json()
    await alice.dispatch(overrides={"provider": "openai", "model": "gpt-5.2"})
    assert (await alice.get(f"/api/v1/agents/{AGENT}")).json() == before
    assert (await alice.dispatch())["execution"]["provider"] == "anthropic"


@pytest.mark.parametrize(
    ("overrides", "path"),
    [
        ({"provider": "mistral"}, "provider"),
        ({"runtime": "other"}, "runtime"),
        ({"runtimeRegion": "us"}, "runtimeRegion"),
        ({"maxRuntimeSeconds": 60, "softFinishAfterSeconds": 60}, "softFinishAfterSeconds"),
        ({"model": "gpt-5.2"}, "model"),
        ({"provider": "openai"}, "model"),
        ({"budget": {}}, "budget"),
        ({"outputPolicy": {"mode": "some"}}, "outputPolicy.mode"),
    ],
)
async def test_overrides_that_do_not_fit_are_refused(
    alice: Account, overrides: dict[str, Any], path: str
) -> None:
    assert await refused(alice, overrides=overrides) == f"overrides.{path}"


async def test_a_model_that_the_catalogue_does_not_know_is_accepted(alice: Account) -> None:
    task = await alice.dispatch(overrides={"model": "claude-next-9"})
    assert task["execution"]["model"] == "claude-next-9"


@pytest.mark.parametrize("model", ["claude-sonnet-4.6", "claude-sonnet-4-6"])
async def test_both_spellings_of_a_model_work(alice: Account, model: str) -> None:
    assert (await alice.dispatch(overrides={"model": model}))["status"] == "pending"


@pytest.mark.parametrize("mode", ["any", "none", "at_least_one"])
async def test_an_output_policy_can_be_chosen(alice: Account, mode: str) -> None:
    assert (await alice.dispatch(overrides={"outputPolicy": {"mode": mode}}))["overrides"] == {
        "outputPolicy": {"mode": mode}
    }
