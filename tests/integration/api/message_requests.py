"""Creates conversations and tasks in each state, and sends requests about their messages."""

from collections.abc import Callable, Coroutine
from typing import Any

from agentcontainer.domain.tasks.state import EndReason

from .conftest import AGENT, Account, Bed, error_of

V1 = "/api/v1"
CREATE = f"{V1}/agents/{AGENT}/conversations"
MIB = 1024 * 1024


def messages(task_id: str, resource: str = "conversations") -> str:
    return f"{V1}/{resource}/{task_id}/messages"


async def everything(account: Account, path: str, limit: int = 100, **query: Any) -> list[dict[str, Any]]:
    """All entries of a list, over all its pages."""
    items, cursor = list[dict[str, Any]](), None
    while True:
        params = {"limit": limit} | query | ({"cursor": cursor} if cursor else {})
        answer = await account.get(path, params=params)
        assert answer.status_code == 200, answer.text
        items += answer.json()["data"]
        cursor = answer.json()["pageInfo"]["nextCursor"]
        if cursor is None:
            return items


async def refused(bed: Bed, account: Account, path: str, status: int, body: Any) -> dict[str, Any]:
    """Post the body; check the refusal and that the number of rows is unchanged."""
    before = await bed.rows()
    answer = await account.post(path, body)
    assert answer.status_code == status, answer.text
    assert await bed.rows() == before
    return error_of(answer)


async def pending(account: Account) -> str:
    return (await account.converse())["task"]["id"]


async def cancelled(account: Account) -> str:
    task_id = await pending(account)
    assert (await account.post(f"{V1}/tasks/{task_id}/cancel")).status_code == 200
    return task_id


async def failed(account: Account) -> str:
    task_id = await pending(account)
    await account.finish(task_id, reason=EndReason.AGENT_CRASHED)
    return task_id


async def ended(account: Account) -> str:
    task_id = await account.awaiting_input()
    assert (await account.post(f"{V1}/conversations/{task_id}/end")).status_code == 200
    return task_id


async def autonomous(account: Account) -> str:
    return (await account.dispatch())["id"]


async def autonomous_and_finished(account: Account) -> str:
    task_id = await autonomous(account)
    await account.finish(task_id)
    return task_id


async def handed_off(account: Account) -> str:
    task_id = await account.awaiting_input()
    assert (await account.post(f"{V1}/conversations/{task_id}/handoff")).status_code == 201
    return task_id


async def asleep(account: Account) -> str:
    task_id = await handed_off(account)
    await account.hibernate(task_id)
    return task_id


Made = Callable[[Account], Coroutine[Any, Any, str]]
