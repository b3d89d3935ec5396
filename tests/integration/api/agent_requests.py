"""Requests about agents, and the fields of a new agent."""

from typing import Any

from agentcontainer.domain.agents import standard
from agentcontainer.ids import new_id

from .conftest import Account, error_of

AGENTS = "/api/v1/agents"
STANDARD = [agent.id for agent in standard.STANDARD_AGENTS]
PLATFORM_DEFAULTS: dict[str, Any] = {
    "provider": "anthropic",
    "model": "claude-sonnet-4-6",
    "weakModel": None,
    "internetAccess": False,
    "maxRuntimeSeconds": 3600,
    "softFinishAfterSeconds": None,
    "sessionTtlSeconds": 3600,
    "outputPolicy": {"mode": "any"},
    "runtimeRegion": "any",
}
DEFAULTS: dict[str, Any] = {
    "provider": "openai",
    "model": "gpt-5",
    "weakModel": "gpt-5-mini",
    "internetAccess": False,
    "maxRuntimeSeconds": 600,
    "softFinishAfterSeconds": 500,
    "sessionTtlSeconds": 60,
    "outputPolicy": {"mode": "named", "files": [{"name": "report", "jsonSchema": {"type": "object"}}]},
    "runtimeRegion": "eu",
}


async def make(account: Account, **body: Any) -> dict[str, Any]:
    answer = await account.post(AGENTS, {"name": new_id("Agent")} | body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def change(account: Account, agent: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = await account.send("PATCH", f"{AGENTS}/{agent['id']}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def do(account: Account, agent: dict[str, Any], verb: str) -> dict[str, Any]:
    answer = await account.post(f"{AGENTS}/{agent['id']}/{verb}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def versions(account: Account, agent: dict[str, Any], query: str = "order=asc") -> list[dict[str, Any]]:
    answer = await account.get(f"{AGENTS}/{agent['id']}/versions?{query}&limit=100")
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def dispatch(account: Account, agent: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = await account.post(f"{AGENTS}/{agent['id']}/tasks", {"instructions": "x"} | body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def refused(
    account: Account, method: str, path: str, status: int, code: str, **options: Any
) -> dict[str, Any]:
    """Send the request; check the refusal and that the number of rows is unchanged."""
    before = await account.bed.rows()
    answer = await account.send(method, path, **options)
    assert answer.status_code == status, answer.text
    assert await account.bed.rows() == before
    error = error_of(answer)
    assert error["code"] == code
    return error
