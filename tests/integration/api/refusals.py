"""A request that must be refused and must change nothing."""

from typing import Any

from agentcontainer.ids import new_id

from .conftest import Account, Bed, error_of


async def refused(
    bed: Bed, account: Account, method: str, path: str, status: int, code: str, **options: Any
) -> dict[str, Any]:
    """Send the request; check the refusal and that the number of rows is unchanged."""
    before = await bed.rows()
    answer = await account.send(method, path, **options)
    assert answer.status_code == status, answer.text
    error = error_of(answer)
    assert error["code"] == code
    assert "must match" not in error["message"], "a sentence without a regular expression"
    assert await bed.rows() == before
    return error


async def at(account: Account, path: str) -> str:
    """The path, with ids of the account's own resources filled in."""
    if "{agentId}" in path:
        created = await account.post("/api/v1/agents", {"name": new_id("Agent")})
        return path.format(agentId=created.json()["id"])
    if "{conversation}" in path:
        return path.format(conversation=(await account.converse())["task"]["id"])
    if "{task}" in path:
        return path.format(task=(await account.dispatch())["id"])
    if "{asleep}" in path:
        return path.format(asleep=await account.hibernating())
    if "{token}" in path:
        [token] = await account.hibernate((await account.dispatch())["id"], link_count=1)
        return path.format(token=token)
    if "{webhook}" in path:
        created = await account.post("/api/v1/webhooks", {"url": "https://hooks.example.com/"})
        return path.format(webhook=created.json()["id"])
    if "{key}" in path:
        created = await account.post("/api/v1/api-keys", {"name": "other"})
        return path.format(key=created.json()["id"])
    if "{account}" in path:
        return path.format(account=account.id)
    if "{login}" in path:
        begun = await account.bed.http.post("/api/v1/cli-logins", json={"hostname": "laptop"})
        return path.format(login=begun.json()["id"])
    return path


def as_json(content: str | bytes) -> dict[str, Any]:
    return {"content": content, "headers": {"Content-Type": "application/json"}}
