"""The published OpenAPI document: valid 3.1, complete, and consistent with the API's responses."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import jsonschema_rs
import pytest
import pytest_asyncio
import yaml

from agentcontainer.api.app import ROUTES
from agentcontainer.api.http.errors import CODES, MORE_CODES
from agentcontainer.errors import AgentContainerError
from agentcontainer.ids import new_id

from .conftest import AGENT, Account, Bed, new_account

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def document(bed: Bed) -> dict[str, Any]:
    answer = await bed.http.get("/api/v1/openapi.yaml")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/yaml"
    return yaml.safe_load(answer.text)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method.upper(), operation


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for child in part.values():
            yield from references(child)
    elif isinstance(part, list):
        for child in part:
            yield from references(child)


def resolve(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in part:
        target: Any = document
        for step in part["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        part = target
    return part


async def test_the_frame_of_an_openapi_document(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    assert set(document) == {"openapi", "info", "servers", "security", "paths", "components", "tags"}
    assert {"title", "version"} <= set(document["info"])
    assert document["servers"] == [{"url": "http://testserver"}]
    for reference in references(document):
        assert resolve(document, {"$ref": reference})
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z][A-Za-z]+", id_) for id_ in ids)
    for name, schema in document["components"]["schemas"].items():
        assert re.fullmatch(r"[A-Za-z]+", name)
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema)
    for path, _, operation in operations(document):
        assert operation["summary"]
        parameters = operation.get("parameters", [])
        in_path = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", path))
        assert all(parameter["required"] for parameter in parameters if parameter["in"] == "path")
        assert all({"name", "in", "required", "schema"} <= set(parameter) for parameter in parameters)
        for parameter in parameters:
            jsonschema_rs.meta.validate(
                {"$schema": "https://json-schema.org/draft/2020-12/schema"} | parameter["schema"]
            )
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[2345]\d\d", status)
            assert resolve(document, response)["description"]


async def test_every_route_is_described(document: dict[str, Any]) -> None:
    described = {(path, method) for path, method, _ in operations(document)}
    shown = [route for route in ROUTES if route.include_in_schema]  # all but HEAD
    assert described == {(route.path, method) for route in shown for method in route.methods or ()}
    assert {
        ("/healthz", "GET"), ("/readyz", "GET"), ("/api/v1/openapi.yaml", "GET"), ("/api/v1/account", "GET"),
        ("/api/v1/provider-keys", "GET"), ("/api/v1/provider-keys/{provider}", "PUT"),
        ("/api/v1/provider-keys/{provider}", "DELETE"), ("/api/v1/agents", "GET"), ("/api/v1/agents/{agentId}", "GET"),
        ("/api/v1/uploads/prepare", "POST"), ("/uploads/{uploadId}", "PUT"), ("/api/v1/uploads/complete", "POST"),
        ("/api/v1/agents/{agentId}/tasks", "POST"), ("/api/v1/tasks", "GET"), ("/api/v1/tasks/{taskId}", "GET"),
        ("/api/v1/tasks/{taskId}/cancel", "POST"), ("/api/v1/tasks/{taskId}/events", "GET"),
        ("/api/v1/tasks/{taskId}/files", "GET"), ("/api/v1/tasks/{taskId}/files/{fileId}", "GET"),
        ("/api/v1/agents/{agentId}/conversations", "POST"), ("/api/v1/conversations/{taskId}/messages", "POST"),
        ("/api/v1/conversations/{taskId}/messages", "GET"), ("/api/v1/conversations/{taskId}/activities", "GET"),
        ("/api/v1/conversations/{taskId}/handoff", "POST"), ("/api/v1/conversations/{taskId}/end", "POST"),
        ("/api/v1/tasks/{taskId}/messages", "POST"), ("/api/v1/tasks/{taskId}/messages", "GET"),
        ("/api/v1/tasks/{taskId}/wake", "POST"), ("/wake/{token}", "GET"), ("/wake/{token}", "POST"),
    } <= described  # fmt: skip


async def test_every_error_code_is_described(document: dict[str, Any]) -> None:
    published = set(document["components"]["schemas"]["ApiErrorCode"]["enum"])
    assert published == {code for code, _ in CODES.values()} | MORE_CODES.keys()
    own = {error.code for error in AgentContainerError.__subclasses__()}
    assert own <= published
    # 405 answers methods that no operation has.
    assert {str(status) for status in CODES} - {"405"} == set(document["components"]["responses"])


async def test_operations_that_need_a_key_declare_it(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        is_public = operation.get("security") == []
        without_key = ("openapi.yaml", "/cli-logins", "/cli-logins/poll")
        assert is_public == (not path.startswith("/api/v1/") or path.endswith(without_key))
        has_own = path in ("/metrics", "/api/v1/cli-logins/poll") or (
            path == "/session" and method != "DELETE"
        )
        assert ("401" in operation["responses"]) == (not is_public or has_own), path


async def test_query_parameters_are_those_the_api_takes(document: dict[str, Any], alice: Account) -> None:
    task_id = (await alice.converse())["task"]["id"]
    webhook_id = (await alice.post("/api/v1/webhooks", {"url": "https://hooks.example.com/"})).json()["id"]
    values = {
        "limit": "1", "order": "asc", "status": "pending", "agentId": AGENT, "mode": "autonomous", "after": "0",
        "createdAfter": "2026-01-01T00:00:00Z", "createdBefore": "2126-01-01T00:00:00Z",
        "completedAfter": "2026-01-01T00:00:00Z", "completedBefore": "2126-01-01T00:00:00Z", "q": "report",
        "errorCode": "agent_stopped", "agentVersionId": "agv_0", "fields": "summary",
        "batchId": "bat_0", "taskId": "tsk_0", "fromTurn": "1", "toTurn": "2", "stream": "false", "wait": "0",
        "from": "2026-01-01", "to": "2026-02-01", "by": "day", "format": "csv", "provider": "openai",
        "kind": "upload", "contentType": "text/", "minSizeBytes": "1",
    }  # fmt: skip
    tried = 0
    for path, method, operation in operations(document):
        names = {entry["name"] for entry in operation.get("parameters", []) if entry["in"] == "query"}
        if method != "GET" or not names or path.startswith("/api/v1/installation/"):
            continue
        tried += 1
        url = path.replace("{taskId}", task_id).replace("{agentId}", AGENT).replace("{webhookId}", webhook_id)
        query = {name: values[name] for name in names - {"cursor", "metadata", "apiKey"}}
        if "metadata" in names:
            query["metadata.key"] = "value"
        assert (await alice.get(url, params=query)).status_code == 200, path
    assert tried >= 15


async def test_responses_match_their_schemas(document: dict[str, Any], bed: Bed, alice: Account) -> None:
    checked: set[tuple[str, str, int]] = set()

    def check(path: str, answer: httpx2.Response) -> Any:
        method, status = answer.request.method, answer.status_code
        operation = document["paths"][path][method.lower()]
        response = resolve(document, operation["responses"][str(status)])
        schema = {"$ref": "#" + "/components" + response_pointer(document, response)} | {
            "components": document["components"]
        }
        jsonschema_rs.validator_for(schema, validate_formats=True).validate(answer.json())
        checked.add((path, method, status))
        return answer.json()

    v1 = "/api/v1"
    dispatch = {
        "instructions": "x",
        "metadata": {"a": [1, None]},
        "overrides": {"outputPolicy": {"mode": "named", "files": [{"name": "r"}]}},
    }
    check("/healthz", await bed.http.get("/healthz"))
    check("/readyz", await bed.http.get("/readyz"))
    check("/metrics", await bed.http.get("/metrics"))
    check(f"{v1}/account", await alice.get(f"{v1}/account"))
    check(f"{v1}/account", await bed.http.get(f"{v1}/account"))
    check(
        f"{v1}/provider-keys/{{provider}}",
        await alice.send("PUT", f"{v1}/provider-keys/openai", json={"apiKey": "x" * 8}),
    )
    check(
        f"{v1}/provider-keys/{{provider}}",
        await alice.send("PUT", f"{v1}/provider-keys/openai", json={"apiKey": "x"}),
    )
    check(f"{v1}/provider-keys", await alice.get(f"{v1}/provider-keys"))
    unreachable = {
        "baseUrl": "http://127.0.0.1:9",
        "api": "openai-completions",
        "price": {"input": 1, "output": 2},
    }
    check(
        f"{v1}/provider-keys/{{provider}}",
        await alice.send("PUT", f"{v1}/provider-keys/mine", json=unreachable),
    )
    check(f"{v1}/provider-keys/{{provider}}/test", await alice.post(f"{v1}/provider-keys/mine/test", {}))
    keys = f"{v1}/api-keys"
    created = check(keys, await alice.post(keys, {"name": "x"}, headers={"Idempotency-Key": "k"}))
    check(keys, await alice.post(keys, {"name": "x"}, headers={"Idempotency-Key": "k"}))
    check(keys, await alice.post(keys, {"name": "y"}, headers={"Idempotency-Key": "k"}))
    check(keys, await alice.get(keys))
    await alice.send("DELETE", f"{keys}/{created['id']}")
    check(f"{keys}/{{keyId}}", await alice.send("DELETE", f"{keys}/{created['id']}"))
    check(f"{v1}/account/ledger", await alice.get(f"{v1}/account/ledger"))
    low = {"lowBalanceUsd": 5, "usageMetadataKeys": ["customer"]}
    check(f"{v1}/account", await alice.send("PATCH", f"{v1}/account", json=low))
    check(f"{v1}/agents", await alice.get(f"{v1}/agents"))
    check(f"{v1}/agents/{{agentId}}", await alice.get(f"{v1}/agents/{AGENT}"))
    check(f"{v1}/agents/{{agentId}}", await alice.get(f"{v1}/agents/agt_0"))
    agent = check(f"{v1}/agents", await alice.post(f"{v1}/agents", {"name": "a"}))
    check(f"{v1}/agents", await alice.post(f"{v1}/agents", {"name": "a"}))
    own, version_id = f"{v1}/agents/{agent['id']}", agent["currentVersion"]["id"]
    check(f"{v1}/agents/{{agentId}}", await alice.send("PATCH", own, json={"basePrompt": "x"}))
    check(
        f"{v1}/agents/{{agentId}}",
        await alice.send("PATCH", f"{v1}/agents/{AGENT}", json={"basePrompt": "x"}),
    )
    for verb in ("archive", "unarchive"):
        check(f"{v1}/agents/{{agentId}}/{verb}", await alice.post(f"{own}/{verb}"))
    versions = f"{v1}/agents/{{agentId}}/versions"
    check(versions, await alice.get(f"{own}/versions"))
    check(f"{versions}/{{versionId}}", await alice.get(f"{own}/versions/{version_id}"))
    activate = f"{versions}/{{versionId}}/activate"
    check(activate, await alice.post(f"{own}/versions/{version_id}/activate"))
    upload = {"filename": "a", "contentType": "text/csv"}
    prepared = check(f"{v1}/uploads/prepare", await alice.post(f"{v1}/uploads/prepare", upload))
    check("/uploads/{uploadId}", await bed.http.put(f"/uploads/{prepared['uploadId']}", content=b""))
    completion = {"uploadId": prepared["uploadId"]}
    check(f"{v1}/uploads/complete", await alice.post(f"{v1}/uploads/complete", completion))
    await bed.http.put(prepared["uploadUrl"], content=b"x", headers=prepared["headers"])
    check(f"{v1}/uploads/complete", await alice.post(f"{v1}/uploads/complete", completion))
    tasks = f"{v1}/agents/{{agentId}}/tasks"
    task = check(tasks, await alice.post(tasks.format(agentId=AGENT), dispatch))
    check(tasks, await alice.post(f"{tasks.format(agentId=AGENT)}?dryRun=true", dispatch))
    check(tasks, await alice.post(tasks.format(agentId=AGENT), {"x": 1}))
    check(tasks, await alice.send("POST", tasks.format(agentId=AGENT), content=b"x"))
    task_path = f"{v1}/tasks/{{taskId}}"
    url = task_path.format(taskId=task["id"])
    check(task_path, await alice.send("PATCH", url, json={"budget": {"maxTokens": 10**6}}))
    await alice.finish(task["id"], {"r.txt": b"x"})
    check(task_path, await alice.send("PATCH", url, json={"budget": {"maxTokens": 10**7}}))
    check(task_path, await alice.get(url))
    check(f"{v1}/usage", await alice.get(f"{v1}/usage?by=day,metadata.customer"))
    check(f"{v1}/tasks", await alice.get(f"{v1}/tasks"))
    check(f"{v1}/tasks", await alice.get(f"{v1}/tasks?fields=summary"))
    check(f"{v1}/tasks", await alice.get(f"{v1}/tasks?limit=x"))
    check(f"{task_path}/cancel", await alice.post(f"{url}/cancel"))
    check(f"{task_path}/events", await alice.get(f"{url}/events"))
    check(f"{task_path}/events/{{sequence}}", await alice.get(f"{url}/events/1"))
    check(f"{v1}/events", await alice.get(f"{v1}/events"))
    check(f"{v1}/account/audit", await alice.get(f"{v1}/account/audit"))
    check(f"{task_path}/files", await alice.get(f"{url}/files"))
    check(f"{task_path}/files/{{fileId}}", await alice.get(f"{url}/files/file_0"))
    await check_sessions(check, bed, alice)
    await check_webhooks(check, alice)
    await check_batches(check, alice)
    await check_installation(check, bed, alice)
    await check_conversations(check, alice)
    await check_wakes(check, alice)
    check("/uploads/{uploadId}", await bed.http.post(f"/uploads/{prepared['uploadId']}", content=b""))
    files = f"{v1}/files"
    file_id = check(files, await alice.get(files))["data"][0]["id"]
    check(f"{files}/{{fileId}}", await alice.get(f"{files}/{file_id}"))
    check(f"{files}/{{fileId}}/uses", await alice.get(f"{files}/{file_id}/uses"))
    check(f"{files}/{{fileId}}/preview", await alice.get(f"{files}/{file_id}/preview"))
    check("/preview/{token}/{name}", await bed.http.get("/preview/forged/a.html"))
    check(f"{v1}/models", await alice.get(f"{v1}/models"))
    check(f"{v1}/capabilities", await alice.get(f"{v1}/capabilities"))
    beyond = await alice.get(f"{files}/{file_id}/content", headers={"Range": "bytes=99-"})
    check(f"{files}/{{fileId}}/content", beyond)
    check(f"{files}/{{fileId}}", await alice.send("DELETE", f"{files}/file_0"))
    check(task_path, await alice.send("DELETE", f"{v1}/tasks/tsk_0"))
    assert {(path, method) for path, method, _ in checked} == {
        (path, method)
        for path, method, _ in operations(document)
        if (path, method)
        not in ((f"{v1}/openapi.yaml", "GET"), (f"{v1}/provider-keys/{{provider}}", "DELETE"))
    }


async def check_sessions(check: Callable[[str, httpx2.Response], Any], bed: Bed, alice: Account) -> None:
    v1, page = "/api/v1", {"Sec-Fetch-Site": "same-origin"}
    logged_in = await bed.http.post("/session", json={"apiKey": alice.key}, headers=page)
    assert logged_in.status_code == 204
    cookie = page | {"Cookie": logged_in.headers["set-cookie"].partition(";")[0]}
    bed.http.cookies.clear()
    check("/session", await bed.http.post("/session", json={"apiKey": "wrong"}, headers=page))
    check("/session", await bed.http.get("/session", headers=cookie))
    check("/session", await bed.http.get("/session"))
    check("/session", await bed.http.delete("/session"))
    listed = check(f"{v1}/sessions", await alice.get(f"{v1}/sessions"))
    assert len(listed["data"]) == 1
    check(f"{v1}/sessions/{{sessionId}}", await alice.send("DELETE", f"{v1}/sessions/ses_0"))
    check(f"{v1}/login-codes", await alice.post(f"{v1}/login-codes"))
    logins = f"{v1}/cli-logins"
    begun = check(logins, await bed.http.post(logins, json={"hostname": "laptop"}))
    check(f"{logins}/{{loginId}}", await alice.get(f"{logins}/{begun['id']}"))
    decide = f"{logins}/{begun['id']}/decide"
    check(f"{logins}/{{loginId}}/decide", await alice.post(decide, {"isApproved": True}))
    poll = {"deviceCode": begun["deviceCode"]}
    check(f"{logins}/poll", await bed.http.post(f"{logins}/poll", json=poll))


async def check_webhooks(check: Callable[[str, httpx2.Response], Any], alice: Account) -> None:
    v1, webhooks = "/api/v1", "/api/v1/webhooks"
    created = check(webhooks, await alice.post(webhooks, {"url": "https://no-such-host.invalid/"}))
    check(webhooks, await alice.get(webhooks))
    one, url = f"{webhooks}/{{webhookId}}", f"{webhooks}/{created['id']}"
    check(one, await alice.get(url))
    check(one, await alice.send("PATCH", url, json={"description": "Ours"}))
    check(f"{one}/rotate-secret", await alice.post(f"{url}/rotate-secret"))
    check(f"{one}/test", await alice.post(f"{url}/test"))
    await alice.insert_delivery(created["id"])
    [delivery] = check(f"{one}/deliveries", await alice.get(f"{url}/deliveries"))["data"]
    check(f"{one}/deliveries/{{deliveryId}}", await alice.get(f"{url}/deliveries/{delivery['id']}"))
    resend = f"{one}/deliveries/{{deliveryId}}/resend"
    check(resend, await alice.post(f"{url}/deliveries/{delivery['id']}/resend"))
    check(f"{one}/resend", await alice.post(f"{url}/resend", {"since": "2026-01-01T00:00:00Z"}))
    check(one, await alice.send("DELETE", f"{webhooks}/whk_0"))
    secret = f"{v1}/account/callback-secret"
    check(secret, await alice.get(secret))
    check(secret, await alice.post(secret))
    deliveries = f"{v1}/tasks/{{taskId}}/webhook-deliveries"
    check(deliveries, await alice.get(deliveries.format(taskId=(await alice.dispatch())["id"])))


async def check_installation(check: Callable[[str, httpx2.Response], Any], bed: Bed, alice: Account) -> None:
    v1 = "/api/v1"
    check(f"{v1}/account", await alice.send("PATCH", f"{v1}/account", json={"name": "Alice"}))
    key = await alice.post(f"{v1}/api-keys", {"name": "x", "agentIds": [AGENT], "limits": {"tasksPerDay": 1}})
    path = f"{v1}/api-keys/{key.json()['id']}"
    check(f"{v1}/api-keys/{{keyId}}", await alice.send("PATCH", path, json={"role": "viewer"}))
    operator = await new_account(bed, is_operator=True)
    for name in ("health", "runners", "queue", "settings", "audit", "accounts"):
        check(f"{v1}/installation/{name}", await operator.get(f"{v1}/installation/{name}"))
        check(f"{v1}/installation/{name}", await alice.get(f"{v1}/installation/{name}"))
    runner_id = new_id("run")
    await bed.pool.execute(
        "INSERT INTO runners (id, host, region, capacity) VALUES ($1, 'host', 'any', 1)", runner_id
    )
    runner = f"{v1}/installation/runners"
    drained = await operator.send("PATCH", f"{runner}/{runner_id}", json={"isDraining": True})
    check(f"{runner}/{{runnerId}}", drained)
    await bed.pool.execute("UPDATE runners SET stopped_at = now() WHERE id = $1", runner_id)
    accounts = f"{v1}/installation/accounts"
    made = check(accounts, await operator.post(accounts, {"name": "Team"}))["account"]["id"]
    changed = await operator.send("PATCH", f"{accounts}/{made}", json={"limits": {"runningTasks": 1}})
    check(f"{accounts}/{{accountId}}", changed)
    credited = await operator.post(f"{accounts}/{made}/credit", {"amountUsd": 1})
    check(f"{accounts}/{{accountId}}/credit", credited)
    one, path = f"{accounts}/{{accountId}}", f"{accounts}/{made}"
    check(f"{one}/cancel-tasks", await operator.post(f"{path}/cancel-tasks"))
    check(f"{one}/export", await operator.get(f"{accounts}/acc_0/export"))
    check(one, await operator.send("DELETE", path))
    await operator.send("PATCH", path, json={"suspendedAt": "2026-01-01T00:00:00Z"})
    check(f"{one}/cancel-tasks", await operator.post(f"{path}/cancel-tasks"))


async def check_batches(check: Callable[[str, httpx2.Response], Any], alice: Account) -> None:
    v1 = "/api/v1"
    dispatched = await alice.post(f"{v1}/agents/{AGENT}/tasks/batch", {"tasks": [{"instructions": "Go."}]})
    batch_id = check(f"{v1}/agents/{{agentId}}/tasks/batch", dispatched)["batch"]["id"]
    check(f"{v1}/batches", await alice.get(f"{v1}/batches"))
    check(f"{v1}/batches/{{batchId}}", await alice.get(f"{v1}/batches/{batch_id}"))
    check(f"{v1}/batches/{{batchId}}/cancel", await alice.post(f"{v1}/batches/{batch_id}/cancel"))


async def check_conversations(check: Callable[[str, httpx2.Response], Any], alice: Account) -> None:
    v1 = "/api/v1"
    create = f"{v1}/agents/{{agentId}}/conversations"
    path = create.format(agentId=AGENT)
    created = check(create, await alice.post(path, {"message": "x", "inputFileIds": [await alice.upload()]}))
    check(create, await alice.post(path, {"message": " "}))
    await alice.take_turn(created["task"]["id"], tools=[{"command": "ls"}])
    for base in (f"{v1}/conversations/{{taskId}}", f"{v1}/tasks/{{taskId}}"):
        check(f"{base}/messages", await alice.get(f"{base.format(taskId=created['task']['id'])}/messages"))
    base = f"{v1}/conversations/{{taskId}}"
    url, other = base.format(taskId=created["task"]["id"]), base.format(taskId=(await alice.dispatch())["id"])
    steer = f"{v1}/tasks/{{taskId}}/messages"
    for target in (url, other):
        check(f"{base}/activities", await alice.get(f"{target}/activities"))
        check(f"{base}/events", await alice.get(f"{target}/events"))
        check(f"{base}/events/{{sequence}}", await alice.get(f"{target}/events/1"))
        check(f"{base}/messages", await alice.get(f"{target}/messages"))
        check(f"{base}/messages", await alice.post(f"{target}/messages", {"content": "x"}))
        check(f"{base}/interrupt", await alice.post(f"{target}/interrupt"))
        check(f"{base}/handoff", await alice.post(f"{target}/handoff"))
        check(f"{base}/end", await alice.post(f"{target}/end"))
        check(
            steer, await alice.post(f"{target.replace('conversations', 'tasks')}/messages", {"content": "x"})
        )
    waiting = base.format(taskId=await alice.awaiting_input())
    check(f"{base}/end", await alice.post(f"{waiting}/end"))


async def check_wakes(check: Callable[[str, httpx2.Response], Any], alice: Account) -> None:
    wake = "/api/v1/tasks/{taskId}/wake"
    url = wake.format(taskId=await alice.hibernating())
    check(f"{wake}-links", await alice.post(f"{url}-links"))
    for body in ({"kind": "message"}, {"kind": "message", "message": "x"}, {"kind": "external_wake"}):
        check(wake, await alice.post(url, body))
    check(f"{wake}-links", await alice.post("/api/v1/tasks/tsk_0/wake-links"))
    link, task = "/wake/{token}", await alice.dispatch()
    [token] = await alice.hibernate(task["id"], link_count=1)
    for body in ({"x": 1}, {"message": "x"}, {}):
        check(link, await alice.bed.http.post(link.format(token=token), json=body))
    for unusable in (token, "none"):
        headers = {"Accept": "application/json"}
        check(link, await alice.bed.http.get(link.format(token=unusable), headers=headers))


async def test_pages_and_forms_are_described(document: dict[str, Any], bed: Bed, alice: Account) -> None:
    path, task = "/wake/{token}", await alice.dispatch()
    [token] = await alice.hibernate(task["id"], link_count=1)
    url, form = path.format(token=token), {"Content-Type": "application/x-www-form-urlencoded"}
    body = document["paths"][path]["post"]["requestBody"]
    assert not body["required"]
    assert set(body["content"]) == {"application/json", form["Content-Type"]}
    for answer in (
        await bed.http.get(url), await bed.http.get(url[:-1]), await bed.http.get(f"{url}?x=1"),
        await bed.http.post(url, content=b"x=1", headers=form), await bed.http.post(url, content=b"x"),
        await bed.http.post(url, content=b"x" * 5 * 1024 * 1024, headers=form),
        await bed.http.post(url, headers=form), await bed.http.post(url, headers=form), await bed.http.get(url),
    ):  # fmt: skip
        operation = document["paths"][path][answer.request.method.lower()]
        response = resolve(document, operation["responses"][str(answer.status_code)])
        assert answer.headers["content-type"].partition(";")[0] == "text/html" in response["content"]


def response_pointer(document: dict[str, Any], response: dict[str, Any]) -> str:
    """The location of a response's schema below `components`."""
    reference = response["content"]["application/json"]["schema"]["$ref"]
    assert reference.startswith("#/components")
    return reference.removeprefix("#/components")


async def test_idempotent_operations_declare_their_headers(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        names = {entry["name"] for entry in operation.get("parameters", []) if entry["in"] == "header"}
        needs_key = operation.get("security") != []
        takes_one = method in ("POST", "PATCH") and path.startswith("/api/v1/") and needs_key
        assert ("Idempotency-Key" in names) == takes_one, (path, method)
        success = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
        assert ("Idempotent-Replayed" in success.get("headers", {})) == takes_one
        assert not takes_one or "409" in operation["responses"]
        assert not needs_key or "429" in operation["responses"]
