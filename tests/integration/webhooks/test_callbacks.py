"""`overrides.callbackUrl`: a webhook for one task."""

import asyncio

import pytest
from standardwebhooks.webhooks import Webhook

from tests.webhook_receiver import receiver

from .bed import PATH, created, sending
from .conftest import Account, Bed, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


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
