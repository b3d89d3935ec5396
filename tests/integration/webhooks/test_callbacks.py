"""`overrides.callbackUrl`: a webhook for one task, and its share of the room of all webhooks."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from agentcontainer.api.webhook_lanes import BOUNDS
from agentcontainer.domain.webhooks import queue
from agentcontainer.domain.webhooks.queue import AT_ONCE
from tests.webhook_receiver import Received, receiver

from .bed import PATH, created, sending
from .conftest import AGENT, Account, Bed, error_of, new_account

pytestmark = pytest.mark.asyncio(loop_scope="session")

MANY_DUE = """
INSERT INTO webhook_endpoints (id, account_id, url, events, due_at)
SELECT 'whk_' || $1 || n, $1, 'https://hooks.example.com/', '{*}', now() - interval '1 day'
FROM generate_series(1, $2::int) AS n
"""


async def test_a_callback_url_gets_the_events_of_its_task_alone_and_goes_with_it(
    bed: Bed, alice: Account, bob: Account
) -> None:
    async with receiver() as hooks, receiver() as every, sending(bed):
        await created(alice, every)
        task = await alice.dispatch(overrides={"callbackUrl": hooks.url})
        other = await alice.dispatch()
        await alice.finish(task["id"])
        await hooks.until(2)
        await every.until(3)
        assert task["overrides"] == {"callbackUrl": hooks.url}
        secret = (await alice.get("/api/v1/account/callback-secret")).json()["secret"]
        for received in hooks.received:
            assert Webhook(secret).verify(received.body, received.headers)["data"]["taskId"] == task["id"]
        path = f"/api/v1/tasks/{task['id']}/webhook-deliveries"
        async with asyncio.timeout(5):
            while True:
                listed = (await alice.get(path)).json()["data"]
                if [each["status"] for each in listed] == ["delivered"] * 2:
                    break
                await asyncio.sleep(0.02)
        assert [each["eventType"] for each in listed] == ["task.finished", "task.created"]
        webhook = {"id": listed[0]["webhookId"]}
        assert (await alice.get(f"{PATH}/{webhook['id']}")).json()["taskId"] == task["id"]
        assert len((await alice.get(PATH)).json()["data"]) == 1
        rotated = (await alice.post("/api/v1/account/callback-secret", {"overlapSeconds": 60})).json()
        assert (await alice.post(f"{PATH}/{webhook['id']}/test")).json()["isDelivered"]
        for change in (
            await alice.send("PATCH", f"{PATH}/{webhook['id']}", json={"events": ["task.failed"]}),
            await alice.send("DELETE", f"{PATH}/{webhook['id']}"),
            await alice.post(f"{PATH}/{webhook['id']}/rotate-secret", {}),
            await bob.get(path),
        ):
            assert error_of(change)["code"] == "not_found"
        resent = await alice.post(f"{PATH}/{webhook['id']}/deliveries/{listed[0]['id']}/resend")
        assert resent.status_code == 200, resent.text
        for received in (await hooks.until(4))[2:]:  # a test event, and what was sent again
            for each in (secret, rotated["secret"]):
                assert Webhook(each).verify(received.body, received.headers)
        assert (await alice.get(f"/api/v1/tasks/{other['id']}/webhook-deliveries")).json()["data"] == []
        assert (await alice.send("DELETE", f"/api/v1/tasks/{task['id']}")).status_code == 204
    count = "SELECT count(*) FROM webhook_{} WHERE {} = $1"
    assert await bed.pool.fetchval(count.format("endpoints", "id"), webhook["id"]) == 0
    assert await bed.pool.fetchval(count.format("deliveries", "endpoint_id"), webhook["id"]) == 0


async def test_a_callback_url_is_checked_and_is_for_new_tasks_only(alice: Account) -> None:
    overrides = {"overrides": {"callbackUrl": "https://10.0.0.1/"}}
    agent = "/api/v1/agents/agt_standard_data"
    new = {"instructions": "Count."}
    for path, body, field in (
        (f"{agent}/tasks", new | overrides, "overrides.callbackUrl"),
        (f"{agent}/conversations", {"message": "Hello"} | overrides, "overrides.callbackUrl"),
        (f"{agent}/tasks/batch", {"tasks": [new, new | overrides]}, "tasks[1].overrides.callbackUrl"),
    ):
        error = error_of(await alice.post(path, body))
        assert error["details"][0]["path"] == field
    talk = await alice.awaiting_input()
    overrides["overrides"]["callbackUrl"] = "https://hooks.example.com/"
    message = await alice.post(f"/api/v1/conversations/{talk}/messages", {"content": "Go on."} | overrides)
    assert error_of(message)["details"][0]["message"] == "is for new tasks only"


async def test_receivers_of_one_account_that_hang_hold_up_no_other_account(bed: Bed, bob: Account) -> None:
    async def hang(_: Received) -> web.StreamResponse:
        await asyncio.sleep(3600)
        return web.Response()

    rich = await new_account(bed, credit_micro_usd=100_000_000)
    async with receiver(hang) as slow, receiver() as others, sending(bed):
        new = {"instructions": "Count.", "overrides": {"callbackUrl": slow.url}}
        answer = await rich.post(f"/api/v1/agents/{AGENT}/tasks/batch", {"tasks": [new] * 80})
        assert answer.status_code == 201, answer.text
        await slow.until(BOUNDS[1].of_account - AT_ONCE + 1)
        await bob.dispatch(overrides={"callbackUrl": others.url})
        await others.until(1, seconds=5)
        assert slow.most_in_flight <= BOUNDS[1].of_account


async def test_the_next_turn_is_found_however_many_endpoints_an_account_has(
    bed: Bed, alice: Account, bob: Account
) -> None:
    try:
        await bed.pool.execute(MANY_DUE, alice.id, 20_000)
        await bed.pool.execute(MANY_DUE, bob.id, 1)
        await bed.pool.execute("ANALYZE webhook_endpoints")
        accounts = await queue.waiting_accounts(bed.pool, 1, "", 1000)
        assert {alice.id, bob.id} <= {account.id for account in accounts if account.is_due}
        assert await buffers(bed, queue.WAITING_ACCOUNTS, 1, "", 1000) < 30 + 5 * len(accounts)
        assert await buffers(bed, queue.LOCK_DUE, 1, [alice.id, bob.id], [4, 4]) < 60
        claimed = await queue.claim(bed.pool, 1, {alice.id: 4, bob.id: 4})
        assert claimed == []  # these endpoints have no deliveries
    finally:
        statement = "DELETE FROM webhook_endpoints WHERE account_id = ANY ($1)"
        await bed.pool.execute(statement, [alice.id, bob.id])


async def buffers(bed: Bed, statement: str, *arguments: Any) -> int:
    """How many buffers the statement touches."""
    explained = await bed.pool.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *arguments)
    [plan] = json.loads(explained) if isinstance(explained, str) else explained
    return plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
