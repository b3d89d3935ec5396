"""What a pending task says about its place in the queue."""

from typing import Any

import pytest

from agentcontainer.domain.accounts import administration
from agentcontainer.domain.accounts.administration import AccountChange, LimitChange
from agentcontainer.domain.tasks import queue, runners
from tests.api_bed import Account, Bed, new_account

in_session = pytest.mark.asyncio(loop_scope="session")


async def state(account: Account, task: dict[str, Any]) -> tuple[int, str, str]:
    read = (await account.get(f"/api/v1/tasks/{task['id']}")).json()["queue"]
    assert read["since"] == task["createdAt"]
    return read["position"], read["reason"], read["message"]


@in_session
async def test_a_pending_task_says_what_it_waits_for(api_bed: Bed) -> None:
    pool, account = api_bed.pool, await new_account(api_bed)
    first, second = await account.dispatch(), await account.dispatch()
    urgent = await account.dispatch(overrides={"priority": 5})
    assert await state(account, second) == (2, "no_free_slot", "2 before you")
    assert await state(account, urgent) == (0, "no_free_slot", "next of your account's tasks")
    listed = (await account.get("/api/v1/tasks")).json()["data"]
    assert [task["queue"] for task in listed] == [None] * 3
    await administration.change(pool, account.id, AccountChange(limits=LimitChange(running_tasks=1)))
    await account.claim(urgent["id"])
    assert await state(account, second) == (1, "account_limit", "1 of 1 slots of your account run")
    await queue.set_paused(pool, is_paused=True)
    try:
        expected = (0, "draining", "the operator has paused the queue for maintenance")
        assert await state(account, first) == expected
    finally:
        await queue.set_paused(pool, is_paused=False)
    assert (await account.get(f"/api/v1/tasks/{urgent['id']}")).json()["queue"] is None


@in_session
async def test_a_task_without_a_runner_of_its_region_says_so(api_bed: Bed) -> None:
    account = await new_account(api_bed)
    task = await account.dispatch(overrides={"runtimeRegion": "eu"})
    await api_bed.pool.execute("UPDATE runners SET region = 'any'")
    try:
        assert await state(account, task) == (0, "no_runner", "no runner in eu")
    finally:
        await api_bed.pool.execute("UPDATE runners SET region = 'eu'")
    await runners.set_draining(api_bed.pool, "run_test", is_draining=True)
    try:
        expected = (0, "draining", "all runners of this region are being drained")
        assert await state(account, task) == expected
    finally:
        await runners.set_draining(api_bed.pool, "run_test", is_draining=False)
