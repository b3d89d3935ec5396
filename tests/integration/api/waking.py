"""Requests and queries for the tests of waking."""

from typing import Any

from tests.api_bed import Account

V1 = "/api/v1"
MIB = 1024 * 1024
JSON = {"Accept": "application/json"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
EXTERNAL = {"kind": "external_wake"}


def wake(task_id: str) -> str:
    return f"{V1}/tasks/{task_id}/wake"


async def status(account: Account, task_id: str) -> str:
    return (await account.get(f"{V1}/tasks/{task_id}")).json()["status"]


async def events_of(account: Account, task_id: str, type_: str) -> list[dict[str, Any]]:
    answer = await account.get(f"{V1}/tasks/{task_id}/events", params={"limit": 100})
    return [event["data"] for event in answer.json()["data"] if event["type"] == type_]


async def message_contents(account: Account, task_id: str) -> list[str]:
    answer = await account.get(f"{V1}/tasks/{task_id}/messages")
    return [message["content"] for message in answer.json()["data"]]


async def linked(account: Account, **options: Any) -> tuple[str, str]:
    """A hibernating task's id, and the path of its wake link."""
    task_id = (await account.dispatch())["id"]
    [token] = await account.hibernate(task_id, link_count=1, **options)
    return task_id, f"/wake/{token}"
