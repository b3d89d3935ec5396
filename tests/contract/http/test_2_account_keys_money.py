"""CONTRACT §2, a test a sentence: the account, its keys, its money."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import pytest

from agentcontainer import db
from agentcontainer.api.app import create_app
from agentcontainer.domain.tasks import service, store
from agentcontainer.domain.tasks.state import EndReason
from tests.api_bed import AGENT, Account, Bed, error_of, new_account

pytestmark = pytest.mark.asyncio(loop_scope="session")

V1 = "/api/v1"
DISPATCH = f"{V1}/agents/{AGENT}/tasks"
SECRET = "sk-ant-api03-abcdefghijklmnop-WXYZ"


async def balance(account: Account) -> float:
    return (await account.get(f"{V1}/account")).json()["creditBalance"]


async def entries(account: Account) -> list[dict[str, Any]]:
    return (await account.get(f"{V1}/account/ledger?order=asc&limit=100")).json()["data"]


async def use_container(bed: Bed, task_id: str, seconds: float) -> None:
    """As if its container had been up that long."""
    query = "UPDATE tasks SET container_micro_seconds = $2 WHERE id = $1"
    await bed.pool.execute(query, task_id, int(seconds * 1_000_000))


class TestAccount:
    async def test_the_account_object(self, alice: Account) -> None:
        account = (await alice.get(f"{V1}/account")).json()
        assert set(account) == {
            "id", "name", "email", "creditBalance", "billingMode", "fileStorage", "checkpointStorage", "createdAt",
        }  # fmt: skip
        assert account["billingMode"] == "standard"
        for storage in ("fileStorage", "checkpointStorage"):
            assert set(account[storage]) == {"usedBytes", "quotaBytes", "isEnforced"}

    async def test_file_storage_counts_what_is_stored(self, alice: Account) -> None:
        await alice.upload(b"x" * 1234)
        storage = (await alice.get(f"{V1}/account")).json()["fileStorage"]
        assert (storage["usedBytes"], storage["isEnforced"]) == (1234, True)


class TestKeys:
    async def test_an_api_key_is_created_with_a_name_and_shown_this_once(self, alice: Account) -> None:
        answer = await alice.post(f"{V1}/api-keys", {"name": "laptop"})
        assert answer.status_code == 201
        assert set(answer.json()) == {"id", "name", "key", "createdAt"}
        listed = (await alice.get(f"{V1}/api-keys")).json()["data"]
        assert not any("key" in entry for entry in listed)

    async def test_an_api_key_is_deleted(self, alice: Account) -> None:
        made = (await alice.post(f"{V1}/api-keys", {"name": "laptop"})).json()
        assert (await alice.send("DELETE", f"{V1}/api-keys/{made['id']}")).status_code == 204
        assert made["id"] not in (await alice.get(f"{V1}/api-keys")).text

    @pytest.mark.parametrize("provider", ["anthropic", "openrouter", "openai"])
    async def test_a_provider_key_reads_as_provider_last4_and_time(
        self, alice: Account, provider: str
    ) -> None:
        put = await alice.send("PUT", f"{V1}/provider-keys/{provider}", json={"apiKey": SECRET})
        assert put.status_code == 200
        [listed] = (await alice.get(f"{V1}/provider-keys")).json()["data"]
        assert listed == put.json()
        assert (listed["provider"], listed["last4"], set(listed)) == (
            provider,
            "WXYZ",
            {"provider", "last4", "createdAt"},
        )
        assert (await alice.send("DELETE", f"{V1}/provider-keys/{provider}")).status_code == 204
        assert (await alice.get(f"{V1}/provider-keys")).json()["data"] == []

    async def test_there_are_three_providers(self, alice: Account) -> None:
        answer = await alice.send("PUT", f"{V1}/provider-keys/mistral", json={"apiKey": SECRET})
        assert answer.status_code == 400

    async def test_no_response_or_plain_database_column_ever_holds_a_provider_key(
        self, api_bed: Bed, alice: Account
    ) -> None:
        put = await alice.send("PUT", f"{V1}/provider-keys/openai", json={"apiKey": SECRET})
        task = await alice.dispatch(overrides={"providerApiKey": SECRET})
        answers = [put.text, (await alice.get(f"{V1}/provider-keys")).text, str(task)]
        answers.append((await alice.get(f"{V1}/tasks/{task['id']}/events")).text)
        tables = await api_bed.pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for row in tables:
            answers.append(str(await api_bed.pool.fetch(f'SELECT t::text FROM "{row["tablename"]}" AS t')))
        assert len(tables) > 10
        assert not any(SECRET in answer or SECRET.encode().hex() in answer for answer in answers)


class TestLedger:
    async def test_an_entry(self, alice: Account) -> None:
        task = await alice.dispatch()
        credit, hold = await entries(alice)
        assert set(hold) == {"id", "kind", "amountUsd", "taskId", "balanceAfterUsd", "createdAt"}
        assert (credit["kind"], credit["amountUsd"], credit["taskId"]) == ("credit", 10, None)
        assert (hold["kind"], hold["amountUsd"], hold["taskId"]) == ("hold", -0.5, task["id"])
        assert hold["balanceAfterUsd"] == 9.5

    async def test_the_sum_of_all_entries_is_the_balance_always(self, api_bed: Bed, alice: Account) -> None:
        first, second = await alice.dispatch(), await alice.dispatch()
        await use_container(api_bed, first["id"], 77.7)
        for step in (
            alice.finish(first["id"]),
            alice.post(f"{V1}/tasks/{second['id']}/cancel"),
            alice.dispatch(),
        ):
            await step
            assert sum(entry["amountUsd"] for entry in await entries(alice)) == pytest.approx(
                await balance(alice)
            )


class TestBilling:
    async def test_dispatch_holds_50_cents(self, alice: Account) -> None:
        await alice.dispatch()
        assert await balance(alice) == 9.5

    async def test_a_balance_below_50_cents_answers_402_and_creates_nothing(self, api_bed: Bed) -> None:
        poor = await new_account(api_bed, credit_micro_usd=499_999)
        before = await api_bed.rows()
        answer = await poor.post(DISPATCH, {"instructions": "x"})
        assert (answer.status_code, error_of(answer)["code"]) == (402, "insufficient_balance")
        assert await api_bed.rows() == before

    async def test_container_time_costs_5_cents_a_minute_metered_per_second(
        self, api_bed: Bed, alice: Account
    ) -> None:
        task = await alice.dispatch()
        await use_container(api_bed, task["id"], 90)
        await alice.finish(task["id"])
        assert (await alice.get(f"{V1}/tasks/{task['id']}")).json()["costUsd"] == 0.075

    async def test_a_pending_task_costs_nothing(self, alice: Account) -> None:
        task = await alice.dispatch()
        cancelled = (await alice.post(f"{V1}/tasks/{task['id']}/cancel")).json()
        assert (cancelled["costUsd"], cancelled["containerMinutes"]) == (0, 0)
        assert await balance(alice) == 10

    async def test_at_the_end_the_hold_becomes_the_actual_cost_also_above_it(
        self, api_bed: Bed, alice: Account
    ) -> None:
        task = await alice.dispatch()
        await use_container(api_bed, task["id"], 1200)
        await alice.finish(task["id"])
        assert await balance(alice) == 9.0
        kinds = [(entry["kind"], entry["amountUsd"]) for entry in await entries(alice)]
        assert kinds[1:] == [("hold", -0.5), ("release", 0.5), ("charge", -1.0)]

    async def test_concurrent_dispatches_never_oversubscribe_a_balance(self, api_bed: Bed) -> None:
        account = await new_account(api_bed, credit_micro_usd=1_600_000)
        answers = await asyncio.gather(*(account.post(DISPATCH, {"instructions": "x"}) for _ in range(12)))
        assert sorted(answer.status_code for answer in answers) == [201] * 3 + [402] * 9
        assert await balance(account) == 0.1

    async def test_a_fault_of_the_platform_is_not_charged(self, api_bed: Bed, alice: Account) -> None:
        task = await alice.dispatch()
        await use_container(api_bed, task["id"], 90)
        async with db.transaction(api_bed.pool) as connection:
            await connection.execute("UPDATE tasks SET tries = 2 WHERE id = $1", task["id"])
            assert await store.claim(connection, task["id"], "run_test")
        await end_by_the_platform(api_bed, task["id"])
        ended = (await alice.get(f"{V1}/tasks/{task['id']}")).json()
        assert (ended["status"], ended["errorCode"], ended["costUsd"]) == (
            "failed",
            "infrastructure_error",
            0,
        )
        assert await balance(alice) == 10

    async def test_an_unlimited_grant_is_never_blocked_or_charged(self, api_bed: Bed) -> None:
        account = await new_account(api_bed, is_unlimited=True, credit_micro_usd=0)
        task = await account.dispatch()
        await use_container(api_bed, task["id"], 90)
        await account.finish(task["id"])
        assert (await account.get(f"{V1}/account")).json()["billingMode"] == "unlimited_grant"
        assert (await balance(account), await entries(account)) == (0, [])

    async def test_rates_are_settings(self, api_bed: Bed, alice: Account) -> None:
        dear = api_bed.settings.model_copy(
            update={"hold_usd": Decimal(2), "container_usd_per_minute": Decimal(3)}
        )
        app = create_app(dear, api_bed.pool, api_bed.vault, api_bed.blobs)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://testserver"
        ) as http:
            account = Account(replace(api_bed, http=http, settings=dear), alice.id, alice.key)
            task = await account.dispatch()
            assert await balance(account) == 8
            await use_container(api_bed, task["id"], 30)
            await account.finish(task["id"])
            assert await balance(account) == 8.5


async def end_by_the_platform(bed: Bed, task_id: str) -> None:
    async with db.transaction(bed.pool) as connection:
        await service.end(connection, bed.settings, task_id, EndReason.PLATFORM_FAULT, attempt=1)
