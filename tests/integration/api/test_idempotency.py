"""`Idempotency-Key`: one effect and one response under concurrent repeats, late repeats and crashes."""

import asyncio
import json
import secrets
from typing import Any

import asyncpg
import httpx2
import pytest

from agentcontainer.api.app import ROUTES
from agentcontainer.api.http import idempotency
from agentcontainer.api.http.auth import is_authenticated
from agentcontainer.api.http.idempotency import METHODS
from agentcontainer.domain.retention.service import purge

from .conftest import AGENT, Account, Bed, error_of, new_account
from .test_serve import running

pytestmark = pytest.mark.asyncio(loop_scope="session")

TASKS = f"/api/v1/agents/{AGENT}/tasks"
BODY = {"instructions": "Count the rows."}
SECRET = "sk-ant-verysecret-0123456789abcd"


def keyed(key: str | None = None) -> dict[str, str]:
    return {"Idempotency-Key": key or secrets.token_hex(8)}


async def task_count(bed: Bed, account: Account) -> int:
    return await bed.pool.fetchval("SELECT count(*) FROM tasks WHERE account_id = $1", account.id)


def is_replay(answer: httpx2.Response) -> bool:
    return answer.headers.get("idempotent-replayed") == "true"


async def test_a_repeat_gets_the_first_response_again(bed: Bed, alice: Account) -> None:
    headers = keyed()
    first = await alice.post(TASKS, BODY, headers=headers)
    await alice.post(f"/api/v1/tasks/{first.json()['id']}/cancel")
    again = await alice.post(TASKS, BODY, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert (is_replay(first), is_replay(again)) == (False, True)
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert await task_count(bed, alice) == 1


async def test_another_request_with_the_same_key_is_refused(bed: Bed, alice: Account) -> None:
    headers = keyed()
    await alice.post(TASKS, BODY, headers=headers)
    for path, body in (
        (TASKS, BODY | {"title": "Other"}),
        ("/api/v1/agents/agt_standard_coding/tasks", BODY),
        ("/api/v1/api-keys", {"name": "x"}),
    ):
        answer = await alice.post(path, body, headers=headers)
        assert (answer.status_code, error_of(answer)["code"]) == (409, "conflict")
        assert "retry-after" not in answer.headers
    assert await task_count(bed, alice) == 1


async def test_a_key_is_the_accounts_own(bed: Bed, alice: Account, bob: Account) -> None:
    headers = keyed()
    ids = {(await account.post(TASKS, BODY, headers=headers)).json()["id"] for account in (alice, bob)}
    assert len(ids) == 2
    assert await task_count(bed, bob) == 1


async def test_requests_without_a_key_are_not_deduplicated(bed: Bed, alice: Account) -> None:
    assert (await alice.dispatch())["id"] != (await alice.dispatch())["id"]


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\u00e9", "a\tb", "\x00"], ids=ascii)
async def test_keys_are_printable_ascii(bed: Bed, alice: Account, key: str) -> None:
    answer = await alice.post(TASKS, BODY, headers={"Idempotency-Key": key.encode()})
    assert error_of(answer)["details"] == [
        {"path": "Idempotency-Key", "message": "must be given once, as 1 to 255 printable ASCII characters"}
    ]
    assert await task_count(bed, alice) == 0


async def test_the_longest_and_the_strangest_keys(alice: Account) -> None:
    for key in ("~" * 255, "%s $1 \\ ' \" {x}"):
        first = await alice.post(TASKS, BODY, headers=keyed(key))
        again = await alice.post(TASKS, BODY, headers=keyed(key))
        assert (first.status_code, again.json()["id"]) == (201, first.json()["id"])


async def test_two_idempotency_keys_are_refused(bed: Bed, alice: Account) -> None:
    headers = [("Authorization", f"Bearer {alice.key}"), ("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
    assert (await bed.http.post(TASKS, json=BODY, headers=headers)).status_code == 400


async def test_an_error_is_not_kept(bed: Bed) -> None:
    poor = await new_account(bed, credit_micro_usd=0)
    headers = keyed()
    assert (await poor.post(TASKS, {"instructions": ""}, headers=headers)).status_code == 400
    assert (await poor.post(TASKS, BODY, headers=headers)).status_code == 402
    assert await task_count(bed, poor) == 0
    await bed.pool.execute("UPDATE accounts SET billing_mode = 'unlimited_grant' WHERE id = $1", poor.id)
    answer = await poor.post(TASKS, BODY, headers=headers)
    assert (answer.status_code, is_replay(answer)) == (201, False)


async def test_concurrent_repeats_create_one_thing(bed: Bed, alice: Account) -> None:
    headers = keyed()
    answers = await asyncio.gather(*(alice.post(TASKS, BODY, headers=headers) for _ in range(30)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert [is_replay(answer) for answer in answers].count(False) == 1
    assert await task_count(bed, alice) == 1
    kinds = await bed.pool.fetch("SELECT kind FROM ledger_entries WHERE account_id = $1", alice.id)
    assert sorted(row["kind"] for row in kinds) == ["credit", "hold"]


async def test_a_repeat_waits_for_the_first_and_then_gives_up(bed: Bed, alice: Account) -> None:
    """Other requests are served meanwhile, even when more repeats wait than there are connections."""
    headers = keyed()
    blocker = await asyncpg.connect(bed.settings.database_url)
    try:
        blocked = blocker.transaction()
        await blocked.start()
        await blocker.execute("SELECT FROM accounts WHERE id = $1 FOR UPDATE", alice.id)
        first = asyncio.create_task(alice.post(TASKS, BODY, headers=headers))
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        async with asyncio.timeout(30):
            while not await blocker.fetchval(waits):
                await asyncio.sleep(0.01)
        repeats = [asyncio.create_task(alice.post(TASKS, BODY, headers=headers)) for _ in range(20)]
        await asyncio.sleep(0.3)
        other = await alice.get("/api/v1/tasks")
        assert other.status_code == 200
        assert not any(repeat.done() for repeat in repeats), "it was served meanwhile"
        for answer in await asyncio.gather(*repeats):
            assert (answer.status_code, error_of(answer)["code"]) == (409, "conflict")
            assert answer.headers["retry-after"] == "1"
        late = asyncio.create_task(alice.post(TASKS, BODY, headers=headers))
        await asyncio.sleep(0.2)
        await blocked.rollback()
        assert (await first).status_code == 201
        assert is_replay(await late)
        assert (await late).content == (await first).content
    finally:
        await blocker.close()


async def test_nothing_secret_is_kept_in_plain(bed: Bed, alice: Account) -> None:
    headers = keyed()
    body = BODY | {"overrides": {"providerApiKey": SECRET}}
    assert (await alice.post(TASKS, body, headers=headers)).status_code == 201
    other = await alice.post(TASKS, BODY | {"overrides": {"providerApiKey": SECRET[::-1]}}, headers=headers)
    assert other.status_code == 409
    created = await alice.post("/api/v1/api-keys", {"name": "ci"}, headers=keyed("make"))
    again = await alice.post("/api/v1/api-keys", {"name": "ci"}, headers=keyed("make"))
    assert again.json() == created.json()
    assert await bed.pool.fetchval("SELECT count(*) FROM api_keys WHERE account_id = $1", alice.id) == 2
    rows = await bed.pool.fetch("SELECT * FROM idempotency_keys WHERE account_id = $1", alice.id)
    assert len(rows) == 2
    for row in rows:
        stored = row["response"] + row["fingerprint"].encode()
        for secret in (SECRET, created.json()["key"], "Count the rows"):
            assert secret.encode() not in stored
        assert len(row["fingerprint"]) == 64


async def test_prepare_and_complete_of_an_upload_are_idempotent(bed: Bed, alice: Account) -> None:
    upload = {"filename": "a.txt", "contentType": "text/plain"}
    prepared, again = [
        (await alice.post("/api/v1/uploads/prepare", upload, headers=keyed("prepare"))).json()
        for _ in range(2)
    ]
    assert prepared == again
    await bed.http.put(prepared["uploadUrl"], content=b"x", headers=prepared["headers"])
    body = {"uploadId": prepared["uploadId"]}
    done, again = [
        await alice.post("/api/v1/uploads/complete", body, headers=keyed("complete")) for _ in range(2)
    ]
    assert (done.status_code, is_replay(again), again.content) == (201, True, done.content)


async def test_a_completion_whose_response_was_never_stored_is_repeated(bed: Bed, alice: Account) -> None:
    upload = {"filename": "a.txt", "contentType": "text/plain"}
    prepared = (await alice.post("/api/v1/uploads/prepare", upload)).json()
    await bed.http.put(prepared["uploadUrl"], content=b"x", headers=prepared["headers"])
    body = {"uploadId": prepared["uploadId"]}
    done = await alice.post("/api/v1/uploads/complete", body, headers=keyed("crash"))
    await bed.pool.execute("DELETE FROM idempotency_keys WHERE account_id = $1", alice.id)
    answers = await asyncio.gather(
        *(alice.post("/api/v1/uploads/complete", body, headers=keyed("crash")) for _ in range(5))
    )
    assert {answer.content for answer in answers} == {done.content}
    other = await alice.post("/api/v1/uploads/complete", {"uploadId": "upl_x"}, headers=keyed("crash"))
    assert other.status_code == 409
    assert await bed.pool.fetchval("SELECT count(*) FROM files WHERE account_id = $1", alice.id) == 1


async def test_a_cancel_repeated_after_its_effect(alice: Account) -> None:
    task = await alice.dispatch()
    first, again = [
        await alice.post(f"/api/v1/tasks/{task['id']}/cancel", headers=keyed("cancel")) for _ in range(2)
    ]
    assert (first.status_code, again.content, is_replay(again)) == (200, first.content, True)


async def test_every_route_with_an_effect_takes_the_key() -> None:
    document: dict[str, Any] = {}
    for route in ROUTES:
        for method in route.methods or ():
            document[f"{method} {route.path}"] = idempotency.is_idempotent(route)
    assert all(
        is_idempotent
        for operation, is_idempotent in document.items()
        if operation.split()[0] in METHODS
        and operation.split()[1].startswith("/api/v1/")
        and operation not in ("POST /api/v1/cli-logins", "POST /api/v1/cli-logins/poll")  # without a key
    )
    assert any(is_authenticated(route) and idempotency.is_idempotent(route) for route in ROUTES)


async def test_a_replay_needs_a_valid_api_key(bed: Bed, alice: Account) -> None:
    headers = keyed()
    await alice.post(TASKS, BODY, headers=headers)
    answer = await Account(bed, alice.id, "ac_live_wrong").post(TASKS, BODY, headers=headers)
    assert answer.status_code == 401


async def test_a_body_too_large_is_refused_before_it_is_read_whole(alice: Account) -> None:
    answer = await alice.post("/api/v1/api-keys", {"name": "x" * 100_000}, headers=keyed())
    assert answer.status_code == 413


async def test_responses_are_kept_a_day(bed: Bed, alice: Account) -> None:
    for key, age in (("young", "23 hours 59 minutes"), ("old", "24 hours 1 minute")):
        await alice.post(TASKS, BODY, headers=keyed(key))
        await bed.pool.execute(
            f"UPDATE idempotency_keys SET created_at = now() - interval '{age}' WHERE account_id = $1 AND key = $2",
            alice.id, key,
        )  # fmt: skip
    removed = (await purge(bed.pool, bed.blobs, bed.settings))["idempotency"]
    assert removed.rows >= 1
    assert removed.bytes > removed.rows
    assert is_replay(await alice.post(TASKS, BODY, headers=keyed("young")))
    assert not is_replay(await alice.post(TASKS, BODY, headers=keyed("old")))


async def test_a_process_killed_between_effect_and_response_leaves_one_effect(bed: Bed) -> None:
    """kill -9 while the response is being stored, and again once both are committed but unanswered."""
    headers = keyed()
    blocker = await asyncpg.connect(bed.settings.database_url)
    try:
        async with running(bed) as api:
            account_id = (await api.http.get("/api/v1/account")).json()["id"]
            own = {"Authorization": api.http.headers["Authorization"]} | headers
            blocked = blocker.transaction()
            await blocked.start()
            await blocker.execute("LOCK TABLE idempotency_keys IN SHARE MODE")  # allows reads, blocks writes
            sent = asyncio.create_task(api.http.post(TASKS, json=BODY, headers=headers))
            await storing(blocker)
            api.process.kill()
            await api.process.wait()
            with pytest.raises(httpx2.TransportError):
                await sent
            await blocked.rollback()
        account = Account(bed, account_id, own["Authorization"].removeprefix("Bearer "))
        async with running(bed) as api:
            port = int(api.base.rpartition(":")[2])
            _reader, writer = await asyncio.open_connection("127.0.0.1", port)
            content = json.dumps(BODY, separators=(",", ":")).encode()
            head = "".join(f"{name}: {value}\r\n" for name, value in own.items())
            writer.write(
                f"POST {TASKS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(content)}\r\n{head}\r\n".encode()
                + content
            )
            while await task_count(bed, account) == 0:
                await asyncio.sleep(0.01)
            api.process.kill()  # the response has not been read
            writer.close()
            await api.process.wait()
        async with running(bed) as api:
            answer = await api.http.post(TASKS, json=BODY, headers=own)
        assert (answer.status_code, is_replay(answer)) == (201, True)
        rows = await bed.pool.fetch("SELECT id, hold_micro_usd FROM tasks WHERE account_id = $1", account_id)
        assert [(row["id"], row["hold_micro_usd"]) for row in rows] == [(answer.json()["id"], 500_000)]
        assert (await account.get("/api/v1/account")).json()["creditBalance"] == 9.5
    finally:
        await blocker.close()


async def storing(connection: asyncpg.Connection) -> None:
    """Wait until a transaction has written its effect and is blocked while it stores its response."""
    query = "SELECT count(*) FROM pg_locks WHERE relation = 'idempotency_keys'::regclass AND NOT granted"
    for _ in range(1000):
        if await connection.fetchval(query):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody stores a response")
