"""A client of the original product works unchanged except for its base URL."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from .conftest import Client, Platform, finish, script

POLL_SECONDS = 0.75
REPORT = b"region,total\nnorth,40\nsouth,2\n"
# Every field that the first version of the API promised, with the types of its values.
TEXT, OPTIONAL, NUMBER, STORAGE = (
    str,
    (str, type(None)),
    (int, float),
    ("usedBytes", "quotaBytes", "isEnforced"),
)
FIELDS: Mapping[str, Mapping[str, Any]] = {
    "account": {
        "id": TEXT, "name": TEXT, "email": OPTIONAL, "creditBalance": NUMBER, "billingMode": TEXT,
        "fileStorage": dict, "checkpointStorage": dict, "createdAt": TEXT,
    },
    "agent": {
        "id": TEXT, "name": TEXT, "description": OPTIONAL, "currentVersion": dict, "isStandard": bool,
        "archivedAt": OPTIONAL, "createdAt": TEXT,
    },
    "version": {
        "id": TEXT, "agentId": TEXT, "number": int, "runtime": dict, "basePrompt": OPTIONAL, "defaults": dict,
        "referenceFileIds": list, "skills": list, "createdAt": TEXT,
    },
    "task": {
        "id": TEXT, "mode": TEXT, "agentId": TEXT, "agentName": TEXT, "agentVersionId": TEXT, "runtime": dict,
        "status": TEXT, "turnStatus": OPTIONAL, "turnNumber": (int, type(None)),
        "sessionTtlSeconds": (int, type(None)), "hibernateUntilAt": OPTIONAL, "title": OPTIONAL,
        "instructions": OPTIONAL, "runtimeRegion": TEXT, "overrides": dict, "execution": dict, "skills": list,
        "metadata": dict, "createdAt": TEXT, "startedAt": OPTIONAL, "completedAt": OPTIONAL,
        "completion": OPTIONAL, "result": OPTIONAL, "error": OPTIONAL, "errorCode": OPTIONAL,
        "costUsd": (*NUMBER, type(None)), "containerMinutes": (*NUMBER, type(None)), "tokenUsage": dict,
    },
    "message": {
        "id": TEXT, "turnNumber": int, "attemptNumber": (int, type(None)), "role": TEXT, "status": TEXT,
        "content": TEXT, "files": list, "tokenUsage": (dict, type(None)), "costUsd": (*NUMBER, type(None)),
        "sequence": int, "createdAt": TEXT,
    },
    "activity": {
        "id": TEXT, "turnNumber": int, "attemptNumber": int, "startedSequence": int, "completedSequence": int,
        "kind": TEXT, "callId": TEXT, "toolKey": TEXT, "input": object, "inputOmittedReason": OPTIONAL,
        "status": TEXT, "errorCode": OPTIONAL, "startedAt": TEXT, "completedAt": TEXT, "durationMs": int,
    },
    "output": {
        "id": TEXT, "filename": TEXT, "contentType": TEXT, "sizeBytes": int, "createdAt": TEXT,
        "outputName": OPTIONAL,
    },
    "event": {
        "id": TEXT, "sequence": int, "type": TEXT, "taskId": TEXT, "createdAt": TEXT, "data": dict,
    },
}  # fmt: skip


class ExistingClient:
    """Uses the original API only, and ignores fields that it does not know."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self.http = httpx2.Client(
            base_url=base_url, headers={"Authorization": f"Bearer {api_key}"}, timeout=30, trust_env=False
        )

    def request(self, method: str, path: str, **options: Any) -> Any:
        answer = self.http.request(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json()

    def every(self, path: str, limit: int = 100) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        query: dict[str, Any] = {"limit": limit}
        while True:
            page = self.request("GET", path, params=query)
            items += page["data"]
            if not page["pageInfo"]["hasMore"]:
                return items
            query["cursor"] = page["pageInfo"]["nextCursor"]

    def upload(self, filename: str, content_type: str, content: bytes) -> str:
        body = {"filename": filename, "contentType": content_type, "sizeBytes": len(content)}
        prepared = self.request("POST", "/uploads/prepare", json=body)
        method = prepared.get("method") or "POST"
        headers = prepared.get("headers") or {"Content-Type": content_type}
        response = httpx2.request(
            method, prepared["uploadUrl"], content=content, headers=headers, trust_env=False
        )
        assert response.is_success, response.text
        completion = {"uploadId": prepared["uploadId"]}
        if response.content and "storageId" in response.json():
            completion["storageId"] = response.json()["storageId"]
        return self.request("POST", "/uploads/complete", json=completion)["id"]

    def dispatch(self, agent_id: str, key: str, body: dict[str, Any]) -> httpx2.Response:
        return self.http.post(f"/agents/{agent_id}/tasks", json=body, headers={"Idempotency-Key": key})

    def until_over(self, task_id: str) -> dict[str, Any]:
        return self.until(task_id, "finished", "failed", "cancelled", "expired")

    def until(self, task_id: str, *statuses: str) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while True:
            task = self.request("GET", f"/tasks/{task_id}")
            if task["status"] in statuses:
                return task
            assert task["status"] in ("pending", "running")
            assert time.monotonic() < deadline, task
            time.sleep(POLL_SECONDS)


@pytest.fixture
def existing(client: Client, shared_platform: Platform) -> Iterator[ExistingClient]:
    existing_client = ExistingClient(f"{shared_platform.base_url}/api/v1", client.api_key)
    yield existing_client
    existing_client.http.close()


def test_an_existing_client_works_from_the_agent_list_to_the_outputs(existing: ExistingClient) -> None:
    created = existing.request(
        "POST", "/agents", json={"name": "Sales", "basePrompt": "Sum up what you get."}
    )
    agents = existing.every("/agents")
    assert [agent["id"] for agent in existing.every("/agents", limit=1)] == [agent["id"] for agent in agents]
    assert {"Sales"} < {agent["name"] for agent in agents}
    [agent] = [agent for agent in agents if agent["name"] == "Sales"]
    assert agent == created

    file_id = existing.upload("sales.csv", "text/csv", REPORT)
    instructions = script(
        {"bash": "cp task_files/sales.csv report.csv && wc -l < report.csv > lines.txt"},
        finish("report.csv", "lines.txt", message="The report is ready."),
    )
    body = {
        "instructions": instructions,
        "inputFiles": [{"fileId": file_id, "snapshot": "include"}],
        "metadata": {"orderId": "42"},
    }
    key = str(uuid4())
    dispatched = existing.dispatch(agent["id"], key, body)
    assert dispatched.status_code == 201, dispatched.text
    task = existing.until_over(dispatched.json()["id"])
    assert (task["status"], task["completion"], task["result"]) == (
        "finished",
        "complete",
        "The report is ready.",
    )
    assert (task["agentId"], task["agentName"], task["error"]) == (agent["id"], "Sales", None)
    assert task["metadata"] == {"orderId": "42"}

    outputs = existing.every(f"/tasks/{task['id']}/files")
    assert {output["filename"] for output in outputs} == {"report.csv", "lines.txt"}
    for output in outputs:
        answer = existing.http.get(f"/tasks/{task['id']}/files/{output['id']}")
        assert len(answer.content) == output["sizeBytes"]
        assert answer.headers["content-type"].partition(";")[0] == output["contentType"].partition(";")[0]
        assert output["filename"] in answer.headers["content-disposition"]
        assert answer.content == (REPORT if output["filename"] == "report.csv" else b"3\n")

    # The client cannot know whether its dispatch arrived before the connection broke, so it sends it again.
    again = existing.dispatch(agent["id"], key, body)
    assert (again.status_code, again.json()) == (201, dispatched.json())
    assert [listed["id"] for listed in existing.every("/tasks")] == [task["id"]]
    other = existing.dispatch(agent["id"], key, body | {"title": "Another"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")


def check(kind: str, value: dict[str, Any]) -> None:
    """The object has every field of the first version, with a value of its type."""
    wrong = {name: value.get(name, "missing") for name, type_ in FIELDS[kind].items()
             if name not in value or not isinstance(value[name], type_)}  # fmt: skip
    assert wrong == {}, kind


def test_a_conversation_of_an_existing_client(existing: ExistingClient) -> None:
    begun = existing.http.post(
        "/agents/agt_standard_data/conversations",
        json={"message": script({"bash": "echo 42 > answer.txt"}, {"say": "The first answer."})},
        headers={"Idempotency-Key": str(uuid4())},
    )
    assert begun.status_code == 201, begun.text
    check("task", begun.json()["task"])
    check("message", begun.json()["message"])
    task_id = begun.json()["task"]["id"]
    existing.until(task_id, "awaiting_input")
    body = {"content": script({"say": "The second answer."})}
    assert existing.http.post(f"/conversations/{task_id}/messages", json=body).status_code == 201
    existing.until(task_id, "awaiting_input")
    messages = existing.every(f"/conversations/{task_id}/messages")
    for message in messages:
        check("message", message)
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2
    assert [message["content"] for message in messages[1::2]] == ["The first answer.", "The second answer."]
    [activity] = existing.every(f"/conversations/{task_id}/activities")
    check("activity", activity)
    assert (activity["toolKey"], activity["status"]) == ("bash", "completed")
    assert existing.request("POST", f"/conversations/{task_id}/end")["status"] == "finished"
    followed = existing.http.get(f"/conversations/{task_id}/events", params={"stream": "true"})
    lines = [line.partition(": ") for line in followed.text.splitlines()]
    events = [json.loads(value) for name, _, value in lines if name == "data"]
    stored = [event for event in events if event["type"] != "message.delta"]
    for event in stored:
        check("event", event)
    assert [event["sequence"] for event in stored] == list(range(1, len(stored) + 1))
    assert stored[-1]["type"] == "task.finished"


def test_a_task_sleeps_is_woken_and_cancelled_by_an_existing_client(existing: ExistingClient) -> None:
    sleeping = script({"bash": 'hibernate --message "Until the review." --for 30m'}, {"bash": "sleep 60"})
    task = existing.dispatch("agt_standard_data", str(uuid4()), {"instructions": sleeping}).json()
    asleep = existing.until(task["id"], "hibernating")
    assert asleep["hibernateUntilAt"] is not None
    woken = existing.request(
        "POST", f"/tasks/{task['id']}/wake", json={"kind": "message", "message": "Approved."}
    )
    assert woken["status"] == "pending"
    again = existing.http.post(f"/tasks/{task['id']}/wake", json={"kind": "external_wake"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    assert existing.request("POST", f"/tasks/{task['id']}/cancel")["status"] in ("running", "cancelled")
    check("task", existing.until_over(task["id"]))


def test_every_field_of_the_first_version_is_still_there(existing: ExistingClient) -> None:
    account = existing.request("GET", "/account")
    check("account", account)
    for name in ("fileStorage", "checkpointStorage"):
        assert set(STORAGE) <= set(account[name])
    agent = next(each for each in existing.every("/agents") if each["isStandard"])
    check("agent", agent)
    check("version", agent["currentVersion"])
    body = {"instructions": script({"bash": "echo 1 > a.txt"}, finish("a.txt"))}
    task = existing.dispatch(agent["id"], str(uuid4()), body).json()
    check("task", task)
    ended = existing.until_over(task["id"])
    check("task", ended)
    assert set(ended["tokenUsage"]) >= {"input_tokens", "output_tokens"}
    assert set(ended["execution"]) >= {"provider", "model", "weakModel"}
    [output] = existing.every(f"/tasks/{task['id']}/files")
    check("output", output)
    for event in existing.every(f"/tasks/{task['id']}/events"):
        check("event", event)
    for path, status, code in (
        ("/tasks/tsk_00000000000000000000", 404, "not_found"),
        ("/tasks?limit=0", 400, "validation_error"),
    ):
        refused = existing.http.get(path)
        assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
        assert {"code", "message", "requestId"} <= set(refused.json()["error"])
