"""The rate limit as a client sees it, and the request id on every response and log line."""

import logging
import re
from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio

from agentcontainer.api.app import create_app
from agentcontainer.domain.accounts import service as accounts

from .conftest import AGENT, Account, Bed, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
REQUEST_ID = re.compile(r"req_[0-9a-z]{26}")


@pytest_asyncio.fixture(loop_scope="session")
async def limited(bed: Bed) -> AsyncIterator[httpx2.AsyncClient]:
    """An application that allows three requests a minute."""
    settings = bed.settings.model_copy(update={"rate_limit_per_minute": 3})
    transport = httpx2.ASGITransport(app=create_app(settings, bed.pool, bed.vault, bed.blobs))
    async with httpx2.AsyncClient(transport=transport, base_url="http://testserver", verify=False) as http:
        yield http


async def test_too_many_requests_of_one_key_are_429(
    bed: Bed, limited: httpx2.AsyncClient, alice: Account
) -> None:
    _, second = await accounts.create_key(bed.pool, alice.id, "second")
    headers = {"Authorization": f"Bearer {alice.key}"}
    for path in ("account", "tasks", "nothing-here", "agents"):
        answer = await limited.get(f"/api/v1/{path}", headers=headers)
        assert answer.status_code == (404 if path == "nothing-here" else 200)
    refused = await limited.post(
        f"/api/v1/agents/{AGENT}/tasks",
        json={"instructions": "x"},
        headers=headers | {"Idempotency-Key": "k"},
    )
    assert (refused.status_code, error_of(refused)["code"]) == (429, "rate_limited")
    assert refused.headers["retry-after"] in ("19", "20")
    assert (await alice.get("/api/v1/tasks")).json()["data"] == []
    other = await limited.get("/api/v1/account", headers={"Authorization": f"Bearer {second}"})
    assert other.status_code == 200
    assert (await limited.get("/healthz")).status_code == 200


async def test_a_request_with_an_idempotency_key_counts_once(
    limited: httpx2.AsyncClient, alice: Account
) -> None:
    headers = {"Authorization": f"Bearer {alice.key}", "Idempotency-Key": "k"}
    answers = [await limited.post("/api/v1/api-keys", json={"name": "x"}, headers=headers) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 429]


async def test_every_response_and_its_log_line_name_the_request(
    bed: Bed, alice: Account, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "agentcontainer.api")
    task = await alice.dispatch()
    keyed = {"Idempotency-Key": "k"}
    caplog.clear()
    answers = [
        await bed.http.get("/healthz"),
        await bed.http.get("/api/v1/openapi.yaml"),
        await bed.http.get("/nowhere"),
        await bed.http.get("/api/v1/account"),
        await alice.get("/api/v1/account"),
        await alice.get("/api/v1/tasks?limit=x"),
        await alice.get("/api/v1/tasks/tsk_none"),
        await alice.send("PUT", "/api/v1/tasks"),
        await alice.post("/api/v1/api-keys", {"name": "x"}, headers=keyed),
        await alice.post("/api/v1/api-keys", {"name": "x"}, headers=keyed),
        await alice.post("/api/v1/api-keys", {"name": "y"}, headers=keyed),
        await alice.send("DELETE", "/api/v1/api-keys/key_none"),
        await alice.post(f"/api/v1/tasks/{task['id']}/cancel"),
        await alice.send("POST", "/api/v1/api-keys", content=b"{}"),
    ]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == len(ids) and all(REQUEST_ID.fullmatch(id_) for id_ in ids)
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(" ", 1)[0] for line in lines] == ids
    for answer, line in zip(answers, lines, strict=True):
        assert f" {answer.status_code} " in line
        if answer.status_code >= 400:
            assert error_of(answer)["requestId"] in line


async def test_an_unexpected_error_is_logged_with_its_request_id(
    bed: Bed, alice: Account, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "agentcontainer.api")
    task = await alice.dispatch()
    await bed.pool.execute("UPDATE tasks SET execution = '{}' WHERE id = $1", task["id"])
    caplog.clear()
    answer = await alice.get(f"/api/v1/tasks/{task['id']}")
    assert (answer.status_code, error_of(answer)["code"]) == (500, "internal")
    assert len(caplog.records) == 2
    for record in caplog.records:
        assert error_of(answer)["requestId"] in record.getMessage()
    await bed.pool.execute("DELETE FROM events WHERE task_id = $1", task["id"])
    await bed.pool.execute("DELETE FROM tasks WHERE id = $1", task["id"])
