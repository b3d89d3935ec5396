"""A client of the original product works unchanged except for its base URL."""

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from .conftest import Client, Platform, finish, script

POLL_SECONDS = 0.75
REPORT = b"region,total\nnorth,40\nsouth,2\n"


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
        deadline = time.monotonic() + 60
        while True:
            task = self.request("GET", f"/tasks/{task_id}")
            if task["status"] in ("finished", "failed", "cancelled", "expired"):
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
