"""Waking a task, by a client or its deadline: exactly once, and never by a GET request."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from agentcontainer.api.app import create_app
from agentcontainer.domain.checkpoints import service as checkpoints
from agentcontainer.domain.hibernation.service import wake_due
from agentcontainer.domain.tasks import store
from agentcontainer.domain.tasks.state import EndReason

from .conftest import Account, Bed, error_of
from .waking import EXTERNAL, MIB, V1, events_of, linked, message_contents, status, wake

pytestmark = pytest.mark.asyncio(loop_scope="session")


class TestWake:
    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ({}, "kind"), ({"kind": None}, "kind"), ({"kind": "deadline"}, "kind"), ({"kind": "link"}, "kind"),
            ({"kind": "Message", "message": "x"}, "kind"), ({"message": "x"}, "kind"), ({"kind": ["message"]}, "kind"),
            ({"kind": "message"}, "message"), ({"kind": "message", "message": None}, "message"),
            ({"kind": "message", "message": ""}, "message"), ({"kind": "message", "message": " \n"}, "message"),
            ({"kind": "message", "message": 1}, "message"), ({"kind": "message", "message": "a\0b"}, "message"),
            ({"kind": "message", "message": "x" * (MIB // 2 + 1)}, "message"),
            ({"kind": "message", "message": "é" * (MIB // 4 + 1)}, "message"),
            ({"kind": "message", "content": "x"}, "message"),
            ({"kind": "external_wake", "message": "x"}, "message"),
            ({"kind": "external_wake", "message": ""}, "message"),
            ({"kind": "external_wake", "inputFileIds": []}, "inputFileIds"),
            ({"kind": "external_wake", "overrides": {"model": "gpt-5"}}, "overrides.model"),
            ({"kind": "external_wake", "overrides": {"provider": "openai"}}, "overrides.model"),
            ({"kind": "external_wake", "overrides": {"egress": {"allow": ["pypi.org"]}}}, "overrides.egress"),
            ({"kind": "external_wake", "overrides": {"softFinishAfterSeconds": 3600}},
             "overrides.softFinishAfterSeconds"),
            ({"kind": "external_wake", "overrides": {"providerApiKey": "x"}}, "overrides.providerApiKey"),
            ({"kind": "external_wake", "overrides": {"modle": "x"}}, "overrides.modle"),
            ({"kind": "external_wake", "overrides": {"outputPolicy": {"mode": "named", "files": [
                {"name": "a", "jsonSchema": {"type": "no-such-type"}}]}}}, "overrides.outputPolicy.files.0.jsonSchema"),
        ],
        ids=lambda value: ascii(value)[:60],
    )  # fmt: skip
    async def test_invalid_bodies_are_refused(
        self, bed: Bed, alice: Account, body: dict[str, Any], path: str
    ) -> None:
        task_id = await alice.hibernating()
        rows = await bed.rows()
        answer = await alice.post(wake(task_id), body)
        assert answer.status_code == 400, answer.text
        assert error_of(answer)["details"][0]["path"] == path
        assert await bed.rows() == rows
        assert await status(alice, task_id) == "hibernating"

    async def test_the_largest_message_fits_and_a_larger_body_is_413(self, alice: Account) -> None:
        largest = "\x01" * (MIB // 2)
        task_id, other_id = await alice.hibernating(), await alice.hibernating()
        answer = await alice.post(wake(task_id), {"kind": "message", "message": largest})
        assert answer.status_code == 200, answer.text
        assert await message_contents(alice, task_id) == [largest]
        answer = await alice.post(wake(other_id), {"kind": "message", "message": "x" * 8 * MIB})
        assert (answer.status_code, error_of(answer)["code"]) == (413, "payload_too_large")

    async def test_a_message_is_the_next_thing_the_agent_is_told(self, bed: Bed, alice: Account) -> None:
        task_id = await alice.hibernating()
        answer = await alice.post(wake(task_id), {"kind": "message", "message": "The review is done."})
        assert answer.status_code == 200, answer.text
        assert (answer.json()["status"], answer.json()["hibernateUntilAt"]) == ("pending", None)
        assert await message_contents(alice, task_id) == ["The review is done."]
        assert await events_of(alice, task_id, "task.woken") == [{"status": "pending", "kind": "message"}]
        task = await store.get(bed.pool, task_id)
        assert task is not None
        assert task.wake_kind == "message"
        assert task.checkpoint_id is not None  # from which it continues

    async def test_an_external_wake_says_nothing(self, alice: Account) -> None:
        task_id = await alice.hibernating()
        answer = await alice.post(wake(task_id), EXTERNAL | {"message": None, "overrides": None})
        assert (answer.status_code, answer.json()["status"]) == (200, "pending")
        assert await message_contents(alice, task_id) == []
        assert await events_of(alice, task_id, "task.woken") == [
            {"status": "pending", "kind": "external_wake"}
        ]

    async def test_overrides_are_merged_into_the_tasks_own_and_show_no_key(
        self, bed: Bed, alice: Account
    ) -> None:
        before = {"maxRuntimeSeconds": 600, "model": "claude-opus-4-5"}
        task_id = (await alice.dispatch(overrides=before))["id"]
        await alice.hibernate(task_id)
        wake_overrides = {"provider": "openai", "model": "gpt-5", "providerApiKey": "sk-of-the-second-half"}
        answer = await alice.post(wake(task_id), EXTERNAL | {"overrides": wake_overrides})
        assert answer.status_code == 200, answer.text
        task = answer.json()
        assert task["overrides"] == {"maxRuntimeSeconds": 600, "provider": "openai", "model": "gpt-5"}
        assert task["execution"] == {"provider": "openai", "model": "gpt-5", "weakModel": None}
        assert "sk-of-the-second-half" not in answer.text
        sealed = await store.provider_key_ciphertext(bed.pool, task_id)
        assert sealed is not None
        assert bed.vault.open(sealed, task_id) == "sk-of-the-second-half"

    async def test_a_provider_key_is_used_for_its_own_provider_after_a_wake(
        self, bed: Bed, alice: Account
    ) -> None:
        task_id = (await alice.dispatch(overrides={"providerApiKey": "sk-of-the-dispatch"}))["id"]
        await alice.hibernate(task_id)
        answer = await alice.post(wake(task_id), EXTERNAL | {"overrides": {"maxRuntimeSeconds": 60}})
        assert answer.status_code == 200, answer.text
        sealed = await store.provider_key_ciphertext(bed.pool, task_id)
        assert sealed is not None
        assert bed.vault.open(sealed, task_id) == "sk-of-the-dispatch"

    async def test_a_task_that_does_not_hibernate(self, bed: Bed, alice: Account) -> None:
        async def pending() -> str:
            return (await alice.dispatch())["id"]

        async def running() -> str:
            await alice.claim(task_id := await pending())
            return task_id

        async def finished() -> str:
            await alice.finish(task_id := await pending())
            return task_id

        async def failed() -> str:
            await alice.finish(task_id := await pending(), reason=EndReason.AGENT_CRASHED)
            return task_id

        async def cancelled_in_its_sleep() -> str:
            task_id = await alice.hibernating()
            assert (await alice.post(f"{V1}/tasks/{task_id}/cancel")).status_code == 200
            return task_id

        async def woken() -> str:
            task_id = await alice.hibernating()
            assert (await alice.post(wake(task_id), EXTERNAL)).status_code == 200
            return task_id

        make_tasks: list[Callable[[], Coroutine[Any, Any, str]]] = [
            pending, running, finished, failed, cancelled_in_its_sleep, woken, alice.awaiting_input,
        ]  # fmt: skip
        for make in make_tasks:
            task_id = await make()
            before = (await alice.get(f"{V1}/tasks/{task_id}/events")).json()
            rows = await bed.rows()
            for body in (EXTERNAL, {"kind": "message", "message": "x"}):
                answer = await alice.post(wake(task_id), body)
                assert (answer.status_code, error_of(answer)["code"]) == (409, "conflict"), make.__name__
                assert task_id in error_of(answer)["message"]
            assert await bed.rows() == rows
            assert (await alice.get(f"{V1}/tasks/{task_id}/events")).json() == before

    async def test_ten_at_once_wake_it_once(self, alice: Account) -> None:
        task_id, path = await linked(alice)
        contents = [f"message {number}" for number in range(5)]
        answers = await asyncio.gather(
            *(alice.post(wake(task_id), {"kind": "message", "message": content}) for content in contents),
            *(alice.post(wake(task_id), EXTERNAL) for _ in range(4)),
            alice.bed.http.post(path, json={"message": "by link"}),
        )
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
        [winner] = [number for number, answer in enumerate(answers) if answer.status_code == 200]
        possible = [*([content] for content in contents), [], [], [], [], ["by link"]]
        assert await message_contents(alice, task_id) == possible[winner]
        assert len(await events_of(alice, task_id, "task.woken")) == 1

    async def test_a_repeat_with_the_same_key_gets_the_same_answer(self, alice: Account) -> None:
        task_id, headers = await alice.hibernating(), {"Idempotency-Key": "k"}
        body = {"kind": "message", "message": "Go on."}
        answers = await asyncio.gather(*(alice.post(wake(task_id), body, headers=headers) for _ in range(5)))
        assert [answer.status_code for answer in answers] == [200] * 5
        assert len({answer.text for answer in answers}) == 1
        assert await message_contents(alice, task_id) == ["Go on."]
        other = await alice.post(wake(task_id), EXTERNAL, headers=headers)
        assert (other.status_code, error_of(other)["code"]) == (409, "conflict")

    async def test_a_wake_that_was_refused_can_be_tried_again_with_its_key(self, alice: Account) -> None:
        task_id, headers = (await alice.dispatch())["id"], {"Idempotency-Key": "again"}
        assert (await alice.post(wake(task_id), EXTERNAL, headers=headers)).status_code == 409
        await alice.hibernate(task_id)
        assert (await alice.post(wake(task_id), EXTERNAL, headers=headers)).status_code == 200

    async def test_a_woken_task_can_hibernate_and_wake_again(self, alice: Account) -> None:
        task_id = await alice.hibernating()
        for _ in range(3):
            assert (await alice.post(wake(task_id), EXTERNAL)).status_code == 200
            await alice.hibernate(task_id)
        kinds = [data["kind"] for data in await events_of(alice, task_id, "task.woken")]
        assert kinds == ["external_wake"] * 3

    async def test_a_message_that_its_agent_has_not_got_wakes_it_at_once(self, alice: Account) -> None:
        task_id = (await alice.dispatch())["id"]
        response = await alice.post(f"{V1}/tasks/{task_id}/messages", {"content": "And be quick."})
        assert response.status_code == 201
        await alice.hibernate(task_id)
        assert await status(alice, task_id) == "pending"
        assert len(await events_of(alice, task_id, "task.hibernated")) == 1
        assert await events_of(alice, task_id, "task.woken") == [{"status": "pending", "kind": "message"}]
        assert await message_contents(alice, task_id) == ["And be quick."]

    async def test_hibernation_is_not_billed(self, bed: Bed, alice: Account) -> None:
        task_id = await alice.hibernating()
        before = (await alice.get(f"{V1}/tasks/{task_id}")).json()
        await bed.pool.execute(
            "UPDATE tasks SET updated_at = updated_at - interval '3 days', created_at = created_at - interval '3 days'"
            " WHERE id = $1",
            task_id,
        )
        after = (await alice.get(f"{V1}/tasks/{task_id}")).json()
        assert (after["costUsd"], after["containerMinutes"]) == (
            before["costUsd"],
            before["containerMinutes"],
        )


class TestDeadline:
    async def test_the_deadline_wakes_due_tasks_only(self, bed: Bed, alice: Account) -> None:
        now = datetime.now(UTC)
        due = await alice.hibernating(until=now - timedelta(seconds=1))
        later = await alice.hibernating(until=now + timedelta(minutes=5))
        tries = [wake_due(bed.pool, bed.settings, task_id) for task_id in (due, later) for _ in range(5)]
        assert sum(await asyncio.gather(*tries)) == 1
        assert (await status(alice, due), await status(alice, later)) == ("pending", "hibernating")
        assert await events_of(alice, due, "task.woken") == [{"status": "pending", "kind": "deadline"}]

    async def test_either_the_deadline_or_the_client_wakes_a_task(self, bed: Bed, alice: Account) -> None:
        task_id = await alice.hibernating(until=datetime.now(UTC) - timedelta(seconds=1))
        answer, woken = await asyncio.gather(
            alice.post(wake(task_id), EXTERNAL), wake_due(bed.pool, bed.settings, task_id)
        )
        assert (answer.status_code, woken) in ((200, 0), (409, 1))
        assert len(await events_of(alice, task_id, "task.woken")) == 1


class TestCheckpointStorage:
    async def storage(self, account: Account) -> dict[str, Any]:
        return (await account.get(f"{V1}/account")).json()["checkpointStorage"]

    async def test_checkpoint_storage_counts_the_checkpoints_of_live_tasks(
        self, bed: Bed, alice: Account, bob: Account
    ) -> None:
        quota = {"quotaBytes": bed.settings.checkpoint_quota_bytes, "isEnforced": True}
        assert await self.storage(alice) == {"usedBytes": 0} | quota
        first = await alice.hibernating(size_bytes=1000)
        second = await alice.hibernating(size_bytes=200)
        await alice.checkpoint(second, 50_000)  # never used by an attempt
        assert await self.storage(alice) == {"usedBytes": 1200} | quota
        assert (await alice.post(wake(second), EXTERNAL)).status_code == 200
        await alice.hibernate(second, size_bytes=300)
        assert await self.storage(alice) == {"usedBytes": 1300} | quota
        await alice.post(f"{V1}/tasks/{first}/cancel")
        assert await self.storage(alice) == {"usedBytes": 300} | quota
        assert await self.storage(bob) == {"usedBytes": 0} | quota

    async def test_a_checkpoint_above_the_quota_is_refused(
        self, bed: Bed, alice: Account, bob: Account
    ) -> None:
        settings = bed.settings.model_copy(update={"checkpoint_quota_bytes": 1000})
        first = await alice.hibernating(size_bytes=400)
        await alice.hibernating(size_bytes=500)

        async def fault(task_id: str, size_bytes: int) -> str | None:
            return await checkpoints.quota_fault(bed.pool, settings, task_id, size_bytes)

        assert await fault(first, 500) is None  # replaces its current checkpoint
        refused = await fault(first, 501)
        assert refused is not None
        assert "501 bytes" in refused
        assert "1000 bytes" in refused
        assert "500 are left" in refused
        new = (await alice.dispatch())["id"]
        assert (await fault(new, 100), await fault(new, 101) is None) == (None, False)
        assert await fault((await bob.dispatch())["id"], 1000) is None
        unlimited = bed.settings.model_copy(update={"checkpoint_quota_bytes": 0})
        assert await checkpoints.quota_fault(bed.pool, unlimited, first, 10**15) is None

    async def test_without_a_quota_checkpoint_storage_is_not_enforced(self, bed: Bed, alice: Account) -> None:
        settings = bed.settings.model_copy(update={"checkpoint_quota_bytes": 0})
        transport = httpx2.ASGITransport(app=create_app(settings, bed.pool, bed.vault, bed.blobs))
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://testserver", verify=False
        ) as http:
            answer = await http.get(f"{V1}/account", headers={"Authorization": f"Bearer {alice.key}"})
        assert answer.json()["checkpointStorage"] == {"usedBytes": 0, "quotaBytes": 0, "isEnforced": False}
