"""Every id of one account, used by another account on every route, is treated as if it did not exist."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from agentcontainer.api.app import ROUTES
from agentcontainer.api.http.access import Level, access_of
from agentcontainer.api.http.auth import is_authenticated
from agentcontainer.api.http.routing import has_required_body
from agentcontainer.domain.sessions import service as sessions

from .conftest import AGENT, Account, Bed, error_of, new_account

pytestmark = pytest.mark.asyncio(loop_scope="session")

# And a value for them. The logins of command lines belong to no account until one of them approves.
OF_OPERATORS = (Level.INSPECTS, Level.OPERATES)  # which see all accounts
NOT_IDS = {"provider": "openai", "sequence": "1", "loginId": "clg_0"}
# What each route with a body needs to get as far as the id. A route that is missing here fails the test.
BODIES: dict[str, dict[str, Any]] = {
    "PATCH /api/v1/agents/{agentId}": {"name": "Taken over"},
    "PATCH /api/v1/api-keys/{keyId}": {"name": "Taken over"},
    "PATCH /api/v1/tasks/{taskId}": {"title": "Taken over"},
    "POST /api/v1/agents/{agentId}/tasks": {"instructions": "x"},
    "POST /api/v1/agents/{agentId}/tasks/batch": {"tasks": [{"instructions": "x"}]},
    "POST /api/v1/agents/{agentId}/conversations": {"message": "x"},
    "POST /api/v1/conversations/{taskId}/messages": {"content": "x"},
    "POST /api/v1/tasks/{taskId}/messages": {"content": "x"},
    "POST /api/v1/tasks/{taskId}/wake": {"kind": "external_wake"},
    "PATCH /api/v1/webhooks/{webhookId}": {"description": "Taken over"},
    "POST /api/v1/webhooks/{webhookId}/rotate-secret": {},
    "POST /api/v1/webhooks/{webhookId}/resend": {"since": "2026-01-01T00:00:00Z"},
}
ROUTES_WITH_IDS = [
    (method, route.path)
    for route in ROUTES
    for method in sorted(route.methods or ())
    if is_authenticated(route)
    and access_of(route).level not in OF_OPERATORS
    and set(route.param_convertors) - set(NOT_IDS)
    and method != "HEAD"  # has no body
]
NO_LISTS = ("/api/v1/account", "/api/v1/account/callback-secret", "/api/v1/capabilities")
LISTS = [
    route.path
    for route in ROUTES
    if is_authenticated(route)
    and access_of(route).level not in OF_OPERATORS
    and route.methods == {"GET"}
    and not route.param_convertors
]


def body_of(method: str, path: str) -> dict[str, Any] | None:
    [route] = [route for route in ROUTES if route.path == path and method in (route.methods or ())]
    return BODIES[f"{method} {path}"] if has_required_body(route) else None


async def belongings(account: Account) -> dict[str, str]:
    """One resource of every kind, by the name of its path parameter."""
    agent = await account.post("/api/v1/agents", {"name": "Own", "basePrompt": "Be kind."})
    assert agent.status_code == 201, agent.text
    key = await account.post("/api/v1/api-keys", {"name": "own"})
    task = await account.dispatch()
    batch = await account.post(f"/api/v1/agents/{AGENT}/tasks/batch", {"tasks": [{"instructions": "Go."}]})
    _, session = await sessions.log_in_with_key(
        account.bed.pool, account.key, sessions.Browser("", None, None), is_confirmed=False
    )
    [output_id] = await account.finish(task["id"], {"report.txt": b"secret"})
    webhook = await account.post("/api/v1/webhooks", {"url": "https://hooks.example.com/"})
    delivery_id = await account.insert_delivery(webhook.json()["id"])
    return {
        "agentId": agent.json()["id"],
        "versionId": agent.json()["currentVersion"]["id"],
        "keyId": key.json()["id"],
        "sessionId": session.id,
        "taskId": task["id"],
        "batchId": batch.json()["batch"]["id"],
        "fileId": output_id,
        "webhookId": webhook.json()["id"],
        "deliveryId": delivery_id,
    }


def trials(path: str, foreign_ids: dict[str, str], own_ids: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Every request that names a resource of the other account, and the same with an unused id."""
    names = [name for name in re.findall(r"\{(\w+)\}", path) if name not in NOT_IDS]
    for changed in itertools.chain.from_iterable(
        itertools.combinations(names, count) for count in range(1, len(names) + 1)
    ):
        ids = {name: foreign_ids[name] if name in changed else own_ids[name] for name in names}
        missing = {name: nobodys(foreign_ids[name]) if name in changed else own_ids[name] for name in names}
        yield path.format(**ids, **NOT_IDS), path.format(**missing, **NOT_IDS)


def nobodys(id_: str) -> str:
    prefix, _, rest = id_.partition("_")
    return f"{prefix}_{'z' * len(rest)}"


def shape(answer: httpx2.Response, ids: dict[str, str]) -> dict[str, Any]:
    """Everything by which a client could distinguish one refusal from another."""
    error = error_of(answer)
    message = error["message"]
    for id_ in ids.values():
        message = message.replace(id_, "ID").replace(nobodys(id_), "ID")
    headers = {
        name: value
        for name, value in answer.headers.items()
        if name not in ("x-request-id", "content-length")
    }
    return error | {"message": message, "requestId": "", "status": answer.status_code, "headers": headers}


@pytest.mark.parametrize(("method", "path"), ROUTES_WITH_IDS)
async def test_an_id_of_another_account_answers_like_a_missing_one(bed: Bed, method: str, path: str) -> None:
    alice, bob = await new_account(bed), await new_account(bed)
    foreign_ids, own_ids = await belongings(alice), await belongings(bob)
    body = body_of(method, path)
    options: dict[str, Any] = {} if body is None else {"json": body}
    before = await state_of(bed, alice)
    tried = 0
    for foreign, missing in trials(path, foreign_ids, own_ids):
        refused = await bob.send(method, foreign, **options)
        nothing = await bob.send(method, missing, **options)
        assert (refused.status_code, error_of(refused)["code"]) == (404, "not_found"), foreign
        assert shape(refused, foreign_ids) == shape(nothing, foreign_ids)
        tried += 1
    assert tried
    assert await state_of(bed, alice) == before
    # The owner's same request passes the check of the id; otherwise the refusals above would prove nothing.
    assert (await alice.send(method, path.format(**foreign_ids, **NOT_IDS), **options)).status_code != 404


@pytest.mark.parametrize("path", LISTS)
async def test_lists_have_nothing_of_another_account(bed: Bed, path: str) -> None:
    alice, bob = await new_account(bed), await new_account(bed)
    foreign_ids = await belongings(alice)
    own = await bob.get(path, params={} if path in NO_LISTS else {"limit": "100"})
    assert own.status_code == 200
    for id_ in (alice.id, *foreign_ids.values()):
        assert id_ not in own.text


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        (f"/api/v1/agents/{AGENT}/tasks", {"instructions": "x", "inputFileIds": ["ID"]}, "fileId"),
        (f"/api/v1/agents/{AGENT}/tasks", {"instructions": "x", "inputFiles": [{"fileId": "ID"}]}, "fileId"),
        (f"/api/v1/agents/{AGENT}/tasks", {"instructions": "x", "versionId": "ID"}, "versionId"),
        (f"/api/v1/agents/{AGENT}/conversations", {"message": "x", "inputFileIds": ["ID"]}, "fileId"),
        (f"/api/v1/agents/{AGENT}/conversations", {"message": "x", "versionId": "ID"}, "versionId"),
        (f"/api/v1/agents/{AGENT}/conversations", {"message": "x", "skills": ["ID"]}, "fileId"),
        ("/api/v1/conversations/OWN/messages", {"content": "x", "inputFiles": [{"fileId": "ID"}]}, "fileId"),
        ("/api/v1/agents", {"name": "Thief", "referenceFileIds": ["ID"]}, "fileId"),
        ("/api/v1/uploads/complete", {"uploadId": "ID"}, "uploadId"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_id_of_another_account_in_a_body_is_refused(
    bed: Bed, path: str, body: dict[str, Any], name: str
) -> None:
    alice, bob = await new_account(bed), await new_account(bed)
    upload = await alice.post("/api/v1/uploads/prepare", {"filename": "a", "contentType": "text/plain"})
    foreign_ids = await belongings(alice) | {"uploadId": upload.json()["uploadId"]}
    if "OWN" in path:
        path = path.replace("OWN", (await bob.converse())["task"]["id"])
    rows = await bed.rows()

    def naming(id_: str) -> Any:
        def substituted(part: Any) -> Any:
            if isinstance(part, dict):
                return {key: substituted(value) for key, value in part.items()}
            if isinstance(part, list):
                return [substituted(value) for value in part]
            return id_ if part == "ID" else part

        return substituted(body)

    refused = await bob.post(path, naming(foreign_ids[name]))
    nothing = await bob.post(path, naming(nobodys(foreign_ids[name])))
    assert refused.status_code in (400, 404)
    assert [detail["path"] for detail in error_of(refused).get("details", [])] == [
        detail["path"] for detail in error_of(nothing).get("details", [])
    ]
    errors = [shape(answer, foreign_ids) | {"details": None} for answer in (refused, nothing)]
    assert errors[0] == errors[1]
    assert await bed.rows() == rows


@pytest.mark.parametrize(
    ("method", "part"),
    [("POST", "messages"), ("GET", "messages"), ("GET", "activities"), ("POST", "handoff"), ("POST", "end")],
)
async def test_a_conversation_of_another_account_answers_like_a_missing_one(
    bed: Bed, method: str, part: str
) -> None:
    alice, bob = await new_account(bed), await new_account(bed)
    ids = [await alice.awaiting_input(), (await alice.converse())["task"]["id"], "tsk_" + "z" * 26]
    options: dict[str, Any] = {"json": {"content": "x"}} if (method, part) == ("POST", "messages") else {}
    before = await bed.rows()
    shapes = list[dict[str, Any]]()
    for id_ in ids:
        answer = await bob.send(method, f"/api/v1/conversations/{id_}/{part}", **options)
        assert (answer.status_code, error_of(answer)["code"]) == (404, "not_found")
        shapes.append(shape(answer, {"taskId": id_}))
    assert shapes[0] == shapes[1] == shapes[2]
    assert await bed.rows() == before


async def test_a_hibernating_task_of_another_account_answers_like_a_missing_one(bed: Bed) -> None:
    alice, bob = await new_account(bed), await new_account(bed)
    task_id = await alice.hibernating()
    before = await state_of(bed, alice)
    for body in ({"kind": "external_wake"}, {"kind": "message", "message": "Give me the files."}):
        refused = await bob.post(f"/api/v1/tasks/{task_id}/wake", body)
        nothing = await bob.post(f"/api/v1/tasks/{nobodys(task_id)}/wake", body)
        assert (refused.status_code, error_of(refused)["code"]) == (404, "not_found")
        assert shape(refused, {"taskId": task_id}) == shape(nothing, {"taskId": task_id})
    assert await state_of(bed, alice) == before


async def state_of(bed: Bed, account: Account) -> list[str]:
    """All rows of an account that a request could have changed."""
    state = list[str]()
    for table in ("agents", "tasks", "files", "ledger_entries", "api_keys", "idempotency_keys"):
        # Every request updates the last use of its API key, which is not a change that matters here.
        columns = "(to_jsonb(t) - 'last_used_at')::text"
        rows = await bed.pool.fetch(
            f"SELECT {columns} FROM {table} t WHERE account_id = $1 ORDER BY 1", account.id
        )
        state += [row[0] for row in rows]
    return state
