"""Wrong queries and ids in paths: the right code, a message that names the parameter, and no change."""

from typing import Any

import pytest

from .conftest import AGENT, Account, Bed
from .refusals import refused

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"), ("limit=101", "limit"), ("limit=", "limit"), ("limit=x", "limit"), ("limit=1.0", "limit"),
        ("limit=-1", "limit"), ("limit=+1", "limit"), ("limit=1_0", "limit"), ("limit=" + "9" * 5000, "limit"),
        ("limit=%D9%A1", "limit"), ("limit=1&limit=1", "limit"),
        ("cursor=", "cursor"), ("cursor=x", "cursor"), ("cursor=%00", "cursor"), ("cursor=dGFza3M6JyBPUiAx", "cursor"),
        ("cursor=" + "A" * 5000, "cursor"), ("cursor=%C3%A9", "cursor"), ("cursor=YWdlbnRzOmFndF8x", "cursor"),
        ("order=", "order"), ("order=up", "order"), ("order=DESC", "order"),
        ("status=", "status"), ("status=done", "status"),
        ("status=pending,running", "status"), ("status=%00", "status"),
        ("agentId=", "agentId"), ("agentId=a%20b", "agentId"),
        ("agentId=%00", "agentId"), ("agentId=" + "a" * 65, "agentId"),
        ("mode=", "mode"), ("mode=manual", "mode"),
        ("createdAfter=", "createdAfter"), ("createdAfter=yesterday", "createdAfter"),
        ("createdAfter=1700000000", "createdAfter"),
        ("createdAfter=2026-03-26", "createdAfter"), ("createdAfter=2026-03-26T14:00:00", "createdAfter"),
        ("createdAfter=2026-13-26T14:00:00Z", "createdAfter"),
        ("createdAfter=0001-01-01T00:00:00%2B14:00", "createdAfter"),
        ("createdBefore=2026-03-26T14:00:00+00:00", "createdBefore"),
        ("createdBefore=9999-12-31T23:59:59-14:00", "createdBefore"),
        ("metadata=x", "metadata"), ("metadata.=x", "metadata."), ("metadata.a=%00", "metadata.a"),
        ("metadata.a=1&metadata.a=2", "metadata.a"), ("metadata.%00=1", "metadata.?"),
        ("foo=1", "foo"), ("%00=1", "?"), ("Limit=1", "Limit"), ("created_after=2026-03-26T14:00:00Z", "created_after"),
        ("apiKey=ac_live_x", "apiKey"), ("stream=true", "stream"), ("limit=%FF", "query"), ("x" * 9000, "query"),
    ],
    ids=lambda value: value[:40],
)  # fmt: skip
async def test_wrong_query_of_the_task_list(bed: Bed, alice: Account, query: str, name: str) -> None:
    error = await refused(bed, alice, "GET", f"/api/v1/tasks?{query}", 400, "validation_error")
    assert error["details"][0]["path"] == name
    assert error["message"].startswith(f"{name}: ")


async def test_every_list_checks_its_query(bed: Bed, alice: Account) -> None:
    task = f"/api/v1/tasks/{(await alice.dispatch())['id']}"
    conversation = f"/api/v1/conversations/{(await alice.converse())['task']['id']}"
    for path in (
        "/api/v1/agents",
        "/api/v1/provider-keys",
        "/api/v1/tasks",
        f"{task}/events",
        f"{task}/files",
        f"{task}/messages",
        f"{conversation}/messages",
        f"{conversation}/activities",
    ):
        for query, name in (("limit=0", "limit"), ("cursor=x", "cursor"), ("order=x", "order"), ("x=1", "x")):
            error = await refused(bed, alice, "GET", f"{path}?{query}", 400, "validation_error")
            assert error["details"][0]["path"] == name
    for query in ("after=-1", "after=x", "after=", "after=" + "9" * 19):
        error = await refused(bed, alice, "GET", f"{task}/events?{query}", 400, "validation_error")
        assert error["details"][0]["path"] == "after"


async def test_routes_without_query_refuse_one(bed: Bed, alice: Account) -> None:
    task = f"/api/v1/tasks/{(await alice.dispatch())['id']}"
    conversation = f"/api/v1/conversations/{(await alice.converse())['task']['id']}"
    for method, path in (
        ("POST", f"/api/v1/agents/{AGENT}/conversations"), ("POST", f"{conversation}/messages"),
        ("POST", f"{conversation}/handoff"), ("POST", f"{conversation}/end"), ("POST", f"{task}/messages"),
        ("POST", f"{task}/wake"),
        ("GET", "/api/v1/account"), ("GET", f"/api/v1/agents/{AGENT}"), ("GET", task), ("POST", f"{task}/cancel"),
        ("POST", "/api/v1/uploads/prepare"), ("GET", "/healthz"), ("GET", "/api/v1/openapi.yaml"),
    ):  # fmt: skip
        error = await refused(bed, alice, method, f"{path}?verbose=1", 400, "validation_error")
        assert error["details"] == [{"path": "verbose", "message": "unknown query parameter"}]


@pytest.mark.parametrize(
    "hostile", ["%00", "a%00b", "%FF", "%0d%0a", "a%20b", "x" * 10_000, "'%20OR%201=1--", "é", "%2e%2e", "$1"]
)
async def test_hostile_ids_are_not_found(bed: Bed, alice: Account, hostile: str) -> None:
    task_id = (await alice.dispatch())["id"]
    for method, path in (
        ("GET", f"/api/v1/agents/{hostile}"), ("GET", f"/api/v1/tasks/{hostile}"),
        ("POST", f"/api/v1/tasks/{hostile}/cancel"), ("GET", f"/api/v1/tasks/{hostile}/events"),
        ("GET", f"/api/v1/tasks/{hostile}/files"), ("GET", f"/api/v1/tasks/{task_id}/files/{hostile}"),
        ("PUT", f"/uploads/{hostile}?expires=1&signature=x"), ("GET", f"/api/v1/tasks/{hostile}/messages"),
        ("GET", f"/api/v1/conversations/{hostile}/messages"), ("GET", f"/api/v1/conversations/{hostile}/activities"),
        ("POST", f"/api/v1/conversations/{hostile}/handoff"), ("POST", f"/api/v1/conversations/{hostile}/end"),
    ):  # fmt: skip
        await refused(bed, alice, method, path, 404, "not_found")
    for path, body in (
        (f"/api/v1/agents/{hostile}/tasks", {"instructions": "x"}),
        (f"/api/v1/agents/{hostile}/conversations", {"message": "x"}),
        (f"/api/v1/conversations/{hostile}/messages", {"content": "x"}),
        (f"/api/v1/tasks/{hostile}/messages", {"content": "x"}),
        (f"/api/v1/tasks/{hostile}/wake", {"kind": "external_wake"}),
        (f"/wake/{hostile}", {"message": "x"}),
    ):
        await refused(bed, alice, "POST", path, 404, "not_found", json=body)


async def test_resources_of_another_account_answer_like_missing_ones(
    bed: Bed, alice: Account, bob: Account
) -> None:
    task_id = (await bob.dispatch())["id"]
    [file_id] = await bob.finish(task_id, {"a.txt": b"secret"})
    live_id = (await bob.dispatch())["id"]
    prepared = await bob.post("/api/v1/uploads/prepare", {"filename": "a", "contentType": "text/csv"})
    upload_id = prepared.json()["uploadId"]
    own_id = (await alice.dispatch())["id"]
    reaches: list[tuple[str, str, str, Any]] = [
        ("GET", "/api/v1/tasks/{}", task_id, None),
        ("POST", "/api/v1/tasks/{}/cancel", live_id, None),
        ("GET", "/api/v1/tasks/{}/events", task_id, None),
        ("GET", "/api/v1/tasks/{}/files", task_id, None),
        ("GET", "/api/v1/tasks/{}/files/" + file_id, task_id, None),
        ("GET", f"/api/v1/tasks/{own_id}/files/{{}}", file_id, None),
        ("POST", "/api/v1/uploads/complete", upload_id, "uploadId"),
    ]
    for method, path, foreign, name in reaches:
        answers = []
        for id_ in (foreign, foreign[:-4] + "0000"):
            options = {"json": {name: id_}} if name else {}
            error = await refused(bed, alice, method, path.format(id_), 404, "not_found", **options)
            answers.append(error["message"].replace(id_, "ID"))
        assert answers[0] == answers[1], path
    assert (await bob.get(f"/api/v1/tasks/{live_id}")).json()["status"] == "pending"
    assert (await alice.get("/api/v1/tasks")).json()["data"][0]["id"] == own_id


async def test_an_output_is_found_under_its_own_task_only(bed: Bed, alice: Account) -> None:
    task_id, other_id = (await alice.dispatch())["id"], (await alice.dispatch())["id"]
    [file_id] = await alice.finish(task_id, {"a.txt": b"x"})
    await refused(bed, alice, "GET", f"/api/v1/tasks/{other_id}/files/{file_id}", 404, "not_found")
    uploaded = await alice.upload()
    await refused(bed, alice, "GET", f"/api/v1/tasks/{task_id}/files/{uploaded}", 404, "not_found")


async def test_providers_that_do_not_exist(bed: Bed, alice: Account) -> None:
    for provider in ("-google", "OpenAI", "a" * 32):
        path = f"/api/v1/provider-keys/{provider}"
        body = {"apiKey": "sk-0123456789"}
        for error in (
            await refused(bed, alice, "PUT", path, 400, "validation_error", json=body),
            await refused(bed, alice, "DELETE", path, 400, "validation_error"),
        ):
            assert error["details"][0]["path"] == "provider"
