"""What webhooks get: every matching event of the feed, signed, again after failures, and no more than they can take."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from agentcontainer.domain.retention import service as retention
from agentcontainer.domain.webhooks import queue, settling
from tests.webhook_receiver import Received, accept, answering, receiver

from .bed import PATH, TASK_PAGES, created, deliveries, entries, make_due, sending, settled
from .conftest import AGENT, Account, Bed, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_every_matching_event_arrives_once_signed_and_as_in_the_feed(
    bed: Bed, alice: Account, bob: Account
) -> None:
    async with receiver() as hooks, receiver() as ends, sending(bed):
        every, only_ends = (
            await created(alice, hooks),
            await created(alice, ends, "task.finished", "task.failed"),
        )
        task = await alice.dispatch(title="Count", metadata={"order": 7})
        await bob.dispatch()
        await alice.finish(task["id"])
        await hooks.until(2)
        await ends.until(1)
        feed = await entries(alice, 2)
        await settled(alice, every, 1, count=2)
        listed = await deliveries(alice, only_ends)
    assert len(hooks.received) == 2
    for entry in feed:
        [received] = hooks.by_id()[entry["id"]]
        assert Webhook(every["secret"]).verify(received.body, received.headers) == {
            "type": entry["type"], "timestamp": entry["createdAt"], "apiVersion": "v1", "data": entry["data"],
        }  # fmt: skip
        assert len(received.body) < 20_000
        assert received.content["data"]["url"] == TASK_PAGES + task["id"]
    [received] = ends.received
    [delivery] = listed
    assert (delivery["eventId"], delivery["eventType"], delivery["status"], delivery["position"]) == (
        received.id, "task.finished", "delivered", 2,
    )  # fmt: skip
    assert delivery["taskId"] == task["id"]
    path = f"{PATH}/{only_ends['id']}/deliveries/{delivery['id']}"
    details = (await alice.get(path)).json()
    assert details["body"] == received.content
    [attempt] = details["attempts"]
    assert (attempt["status"], attempt["error"], attempt["answer"]) == (200, None, "thanks")
    stats = (await alice.get(f"{PATH}/{only_ends['id']}")).json()["stats7d"]
    assert (stats["attempts"], stats["successShare"]) == (1, 1.0)
    assert error_of(await bob.get(path))["code"] == "not_found"


async def test_a_large_task_has_a_small_request(bed: Bed, alice: Account) -> None:
    async with receiver() as hooks, sending(bed):
        await created(alice, hooks)
        metadata = {str(number): "\u0001" * 20 for number in range(120)}
        await alice.dispatch(title="ä" * 200, metadata=metadata, instructions="x" * 100_000)
        [received] = await hooks.until(1)
    assert received.content["data"]["metadata"] == metadata
    assert len(received.body) < 20_000


async def test_a_failure_is_tried_again_ten_times_within_three_days(bed: Bed, alice: Account) -> None:
    pauses = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    async with receiver(answering(500, "down")) as hooks, sending(bed):
        webhook = await created(alice, hooks)
        await alice.dispatch()
        for number, pause in enumerate(pauses, 1):
            [delivery] = await settled(alice, webhook, number)
            wait = datetime.fromisoformat(delivery["nextAttemptAt"]) - datetime.now(UTC)
            assert 0.9 * pause - 2 <= wait.total_seconds() <= 1.1 * pause, number
            await make_due(bed, webhook)
        [delivery] = await settled(alice, webhook, 10)
        assert (delivery["status"], delivery["nextAttemptAt"]) == ("failed", None)
        first, *others = hooks.received
        assert all((other.id, other.body) == (first.id, first.body) for other in others)
        for received in hooks.received:
            Webhook(webhook["secret"]).verify(received.body, received.headers)
        got = (await alice.get(f"{PATH}/{webhook['id']}")).json()
        assert (got["disabledAt"], got["lastSuccessAt"], got["stats7d"]["successShare"]) == (None, None, 0)
        assert got["failingSince"]

        hooks.answer = accept
        path = f"{PATH}/{webhook['id']}/deliveries/{delivery['id']}"
        assert (await alice.post(f"{path}/resend")).json()["status"] == "pending"
        [delivery] = await settled(alice, webhook, 11)
        assert delivery["status"] == "delivered"
        details = (await alice.get(path)).json()
    assert [attempt["status"] for attempt in details["attempts"]] == [500] * 10 + [200]
    assert (await alice.get(f"{PATH}/{webhook['id']}")).json()["failingSince"] is None


@pytest.mark.parametrize(
    ("status", "retry_after", "seconds"),
    [(429, "1000", 1000), (503, "1", 5), (500, "1000", 5), (429, "x", 5)],
)
async def test_a_receiver_may_ask_to_wait(
    bed: Bed, alice: Account, status: int, retry_after: str, seconds: int
) -> None:
    async with receiver(answering(status, Retry_After=retry_after)) as hooks, sending(bed):
        webhook = await created(alice, hooks)
        await alice.dispatch()
        [delivery] = await settled(alice, webhook, 1)
    wait = datetime.fromisoformat(delivery["nextAttemptAt"]) - datetime.now(UTC)
    assert 0.8 * seconds - 2 <= wait.total_seconds() <= 1.2 * seconds


async def test_410_disables_at_once_and_the_other_webhooks_hear_of_it(bed: Bed, alice: Account) -> None:
    async with receiver(answering(410)) as gone, receiver() as hooks, sending(bed):
        webhook = await created(alice, gone)
        await created(alice, hooks, "webhook.disabled")
        await alice.dispatch()
        [received] = await hooks.until(1)
        assert received.content["data"] == {
            "webhookId": webhook["id"], "webhookUrl": gone.url, "disabledReason": "gone", "position": 2,
        }  # fmt: skip
        [delivery] = await deliveries(alice, webhook)
        assert delivery["status"] == "failed"
        await alice.dispatch()
        await entries(alice, 3)
        got = (await alice.get(f"{PATH}/{webhook['id']}")).json()
        assert got["disabledReason"] == "gone"
        assert len(await deliveries(alice, webhook)) == 1
        resend = await alice.post(f"{PATH}/{webhook['id']}/deliveries/{delivery['id']}/resend")
        assert error_of(resend)["code"] == "conflict"
    acts = [entry["action"] for entry in (await alice.get("/api/v1/account/audit")).json()["data"]]
    assert acts[0] == "webhook.disabled"
    assert acts.count("webhook.created") == 2


async def test_five_days_without_a_success_disable(bed: Bed, alice: Account) -> None:
    async with receiver(answering(500)) as hooks, sending(bed):
        webhook = await created(alice, hooks)
        await alice.dispatch()
        await settled(alice, webhook, 1)
        assert (await alice.get(f"{PATH}/{webhook['id']}")).json()["disabledAt"] is None
        statement = "UPDATE webhook_endpoints SET failing_since = now() - interval '121 hours' WHERE id = $1"
        await bed.pool.execute(statement, webhook["id"])
        await alice.dispatch()
        await entries(alice, 3)
        got = (await alice.get(f"{PATH}/{webhook['id']}")).json()
        assert got["disabledReason"] == "failing"
        assert {each["status"] for each in await deliveries(alice, webhook)} == {"failed"}
        enabled = await alice.send("PATCH", f"{PATH}/{webhook['id']}", json={"isEnabled": True})
        assert enabled.json()["failingSince"] is None
        hooks.answer = accept
        resent = await alice.post(f"{PATH}/{webhook['id']}/resend", {"since": "2026-01-01T00:00:00Z"})
        assert resent.json() == {"count": 2, "nextSince": None}
        listed = await settled(alice, webhook, 2, count=2)
    assert {each["status"] for each in listed} == {"delivered"}


async def test_too_many_pending_deliveries_disable(
    bed: Bed, alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "MAX_PENDING", 2)
    async with receiver() as hooks:
        webhook = await created(alice, hooks)
        for count in (2, 3):
            while len(await deliveries(alice, webhook)) < count:
                await alice.dispatch()
                await entries(alice, len(await deliveries(alice, webhook)))
                await asyncio.sleep(0.05)
            await queue.admit(bed.pool)
            await settling.clean_up(bed.pool)
            got = (await alice.get(f"{PATH}/{webhook['id']}")).json()
            assert got["disabledReason"] == (
                None if len(await deliveries(alice, webhook)) <= 2 else "backlog"
            )
    assert {each["status"] for each in await deliveries(alice, webhook)} == {"failed"}


async def test_resend_since_is_bounded_and_says_where_to_go_on(
    bed: Bed, alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentcontainer.domain.webhooks.resending.MAX_RESENT", 2)
    async with receiver() as hooks, sending(bed):
        webhook = await created(alice, hooks)
        for _ in range(3):
            await alice.dispatch()
        listed = await settled(alice, webhook, 1, count=3)
        path = f"{PATH}/{webhook['id']}/resend"
        since = (await entries(alice, 3))[0]["createdAt"]
        assert (await alice.post(path, {"since": since})).json() == {"count": 0, "nextSince": None}
        first = (await alice.post(path, {"since": since, "status": "all"})).json()
        assert first["count"] == 2
        second = (await alice.post(path, {"since": first["nextSince"], "status": "all"})).json()
        assert (second["count"], second["nextSince"]) in ((1, None), (2, None))
        await settled(alice, webhook, 2, count=3)
    assert {id_: len(each) >= 2 for id_, each in hooks.by_id().items()} == {
        each["eventId"]: True for each in listed
    }
    for body in ({}, {"since": "yesterday"}, {"since": since, "status": "pending"}):
        assert error_of(await alice.post(path, body))["code"] == "validation_error"


async def test_pages_and_filters_of_deliveries(bed: Bed, alice: Account) -> None:
    async with receiver() as hooks, sending(bed):
        webhook = await created(alice, hooks)
        for _ in range(5):
            await alice.dispatch()
        listed = await settled(alice, webhook, 1, count=5)
    positions = [each["position"] for each in listed]
    assert positions == sorted(positions)
    path, found, cursor = f"{PATH}/{webhook['id']}/deliveries", list[Any](), None
    while True:
        page = (await alice.get(path, params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        found += page["data"]
        if not (cursor := page["pageInfo"]["nextCursor"]):
            break
    assert found == listed[::-1]
    assert await deliveries(alice, webhook, status="delivered") == listed
    assert await deliveries(alice, webhook, status="failed") == []
    assert error_of(await alice.get(f"{path}?status=lost"))["code"] == "validation_error"


async def test_a_bound_key_sees_deliveries_of_its_agents_and_a_viewer_no_answers(
    bed: Bed, alice: Account
) -> None:
    async with receiver() as hooks, sending(bed):
        webhook = await created(alice, hooks)
        for agent in (AGENT, "agt_standard_coding", AGENT):
            await alice.post(f"/api/v1/agents/{agent}/tasks", {"instructions": "Go."})
        listed = await settled(alice, webhook, 1, count=3)
    body = {"name": "Bound", "role": "viewer", "agentIds": [AGENT]}
    bound = Account(bed, alice.id, (await alice.post("/api/v1/api-keys", body)).json()["key"])
    assert await deliveries(bound, webhook) == [listed[0], listed[2]]
    assert await deliveries(bound, webhook, limit=1) == [listed[0]]
    paths = [f"{PATH}/{webhook['id']}/deliveries/{each['id']}" for each in listed[:2]]
    own, foreign = [await bound.get(path) for path in paths]
    assert [attempt["answer"] for attempt in own.json()["attempts"]] == [None]
    assert error_of(foreign)["code"] == "not_found"


async def test_a_receiver_that_hangs_gets_four_at_a_time_of_all_processes_and_holds_up_nobody(
    bed: Bed, alice: Account, bob: Account
) -> None:
    async def hang(_: Received) -> web.StreamResponse:
        await asyncio.sleep(3600)
        return web.Response()

    async with receiver(hang) as slow, receiver() as quick, receiver() as others, sending(bed, senders=2):
        await created(alice, slow)
        await created(alice, quick)
        await created(bob, others)
        await asyncio.gather(*[alice.dispatch() for _ in range(8)], bob.dispatch())
        await others.until(1, seconds=3)
        await quick.until(8, seconds=3)
        await slow.until(4)
        await asyncio.sleep(0.3)
        assert (len(slow.received), slow.most_in_flight) == (4, 4)
        assert quick.most_in_flight <= 4


async def test_what_a_process_did_not_settle_is_sent_again_when_its_lease_ends(
    bed: Bed, alice: Account
) -> None:
    async with receiver() as hooks:
        webhook = await created(alice, hooks)
        await alice.dispatch()
        await entries(alice, 1)
        await queue.admit(bed.pool)
        turns = {alice.id: 100}
        assert len(await queue.claim(bed.pool, 1, turns)) == 1  # by a process that dies
        assert await queue.claim(bed.pool, 1, turns) == []
        statement = "UPDATE webhook_deliveries SET leased_until = now(), next_attempt_at = now() WHERE endpoint_id = $1"
        await bed.pool.execute(statement, webhook["id"])
        await bed.pool.execute("UPDATE webhook_endpoints SET due_at = now() WHERE id = $1", webhook["id"])
        async with sending(bed):
            await hooks.until(1)
            [delivery] = await settled(alice, webhook, 1)
    assert delivery["status"] == "delivered"


async def test_a_disabled_or_deleted_webhook_gets_nothing_more(bed: Bed, alice: Account) -> None:
    async with receiver() as hooks:
        disabled, deleted = await created(alice, hooks), await created(alice, hooks)
        await alice.dispatch()
        await entries(alice, 1)
        await alice.send("PATCH", f"{PATH}/{disabled['id']}", json={"isEnabled": False})
        await alice.send("DELETE", f"{PATH}/{deleted['id']}")
        async with sending(bed):
            await asyncio.sleep(0.3)
    assert hooks.received == []
    assert [each["status"] for each in await deliveries(alice, disabled)] == ["failed"]
    await settling.clean_up(bed.pool)
    query = "SELECT count(*) FROM webhook_{} WHERE {} = $1"
    assert await bed.pool.fetchval(query.format("deliveries", "endpoint_id"), deleted["id"]) == 0
    assert await bed.pool.fetchval(query.format("endpoints", "id"), deleted["id"]) == 0


async def test_the_deletion_of_a_task_empties_its_deliveries(bed: Bed, alice: Account) -> None:
    async with receiver() as hooks, sending(bed):
        webhook = await created(alice, hooks, "task.finished")
        task = await alice.dispatch(title="secret plan")
        await alice.finish(task["id"])
        [delivery] = await settled(alice, webhook, 1)
        assert (await alice.send("DELETE", f"/api/v1/tasks/{task['id']}")).status_code == 204
        details = (await alice.get(f"{PATH}/{webhook['id']}/deliveries/{delivery['id']}")).json()
        assert details["body"]["data"] == {"position": delivery["position"], "taskId": task["id"]}
        assert [attempt["answer"] for attempt in details["attempts"]] == [""]


async def test_old_deliveries_are_purged_with_their_attempts(bed: Bed, alice: Account) -> None:
    async with receiver() as hooks, sending(bed):
        webhook = await created(alice, hooks)
        await alice.dispatch()
        await settled(alice, webhook, 1)
    statement = "UPDATE webhook_deliveries SET created_at = now() - interval '31 days' WHERE endpoint_id = $1"
    await bed.pool.execute(statement, webhook["id"])
    due = await retention.due(bed.pool, bed.settings)
    assert due["webhook_deliveries"].rows == 1
    await retention.purge_older(bed.pool, bed.blobs, "webhook_deliveries", timedelta(days=30))
    assert await deliveries(alice, webhook) == []
    count = "SELECT count(*) FROM webhook_attempts WHERE endpoint_id = $1"
    assert await bed.pool.fetchval(count, webhook["id"]) == 0
