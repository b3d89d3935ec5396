"""What API keys may be made and changed into: never more than the key that does it may do. Limits, expiry, replays."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.accounts import store
from agentcontainer.domain.cli_logins import service as cli_logins
from agentcontainer.domain.tasks import budgets
from agentcontainer.domain.tasks.model import TaskUsage

from .conftest import AGENT, Account, Bed, error_of, new_account
from .stream_bed import all_of, serving, within
from .test_access import OTHER_AGENT, key_of
from .test_sessions import Browser

pytestmark = pytest.mark.asyncio(loop_scope="session")
KEYS = "/api/v1/api-keys"
DISPATCH = f"/api/v1/agents/{AGENT}/tasks"
NO_LIMITS = {"costUsdPerDay": None, "tasksPerDay": None, "maxPriority": None}


def in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat(timespec="milliseconds")


async def id_of(account: Account, name: str = "test") -> str:
    """The id of the account's newest key of this name."""
    listed = (await account.get(f"{KEYS}?limit=100")).json()["data"]
    return next(key["id"] for key in listed if key["name"] == name)


class TestCreation:
    async def test_a_key_has_what_was_asked_for(self, alice: Account) -> None:
        asked = {
            "role": "viewer", "agentIds": [OTHER_AGENT, AGENT], "expiresAt": "2031-01-01T00:00:00.000Z",
            "limits": {"costUsdPerDay": None, "tasksPerDay": 7, "maxPriority": 3},
        }  # fmt: skip
        sent = asked | {"limits": {"tasksPerDay": 7, "maxPriority": 3}}
        made = (await alice.post(KEYS, {"name": "test"} | sent)).json()
        expected = asked | {"agentIds": sorted([OTHER_AGENT, AGENT]), "last4": made["key"][-4:]}
        [listed] = [key for key in (await alice.get(KEYS)).json()["data"] if key["id"] == made["id"]]
        assert {name: made[name] for name in expected} == expected
        assert {name: listed[name] for name in expected} == expected

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("role", "owner"), ("role", "operator"), ("role", None), ("agentIds", []), ("agentIds", ["agt_none"]),
            ("agentIds", [""]), ("agentIds", "agt_standard_data"), ("agentIds", [AGENT] * 101),
            ("expiresAt", "2020-01-01T00:00:00Z"), ("expiresAt", "2999-01-01T00:00:00Z"), ("expiresAt", "tomorrow"),
            ("expiresAt", "2031-01-01T00:00:00"), ("expiresAt", 5), ("limits", []), ("limits", {"tasksPerDay": -1}),
            ("limits", {"tasksPerDay": 1.5}), ("limits", {"maxPriority": 11}), ("limits", {"costUsdPerDay": "1"}),
            ("limits", {"perDay": 1}), ("isOperator", True),
        ],
    )  # fmt: skip
    async def test_wrong_values_name_their_field(self, alice: Account, field: str, value: object) -> None:
        if (field, value) == ("role", None):  # null means not given
            assert (await alice.post(KEYS, {"name": "x", field: value})).json()["role"] == "member"
            return
        answer = await alice.post(KEYS, {"name": "x", field: value})
        assert answer.status_code == 400, answer.text
        assert error_of(answer)["details"][0]["path"].startswith(field)

    async def test_an_agent_of_another_account_does_not_exist(self, alice: Account, bob: Account) -> None:
        foreign = (await bob.post("/api/v1/agents", {"name": "Own"})).json()["id"]
        answer = await alice.post(KEYS, {"name": "x", "agentIds": [foreign]})
        assert error_of(answer)["details"][0]["path"] == "agentIds"

    async def test_a_key_that_expires_makes_keys_that_expire_with_it(self, alice: Account) -> None:
        expiring = await key_of(alice, expiresAt=in_days(2))
        made = (await expiring.post(KEYS, {"name": "child"})).json()
        own = next(key for key in (await alice.get(KEYS)).json()["data"] if key["name"] == "test")
        assert made["expiresAt"] == own["expiresAt"] is not None
        for later in (in_days(3), in_days(2.1)):
            refused = await expiring.post(KEYS, {"name": "x", "expiresAt": later})
            assert error_of(refused)["code"] == "forbidden"
        assert (await expiring.post(KEYS, {"name": "x", "expiresAt": in_days(1)})).status_code == 201


class TestChanges:
    async def test_a_key_changes_at_once(self, alice: Account) -> None:
        other = await key_of(alice)
        path = f"{KEYS}/{await id_of(alice)}"
        assert (await other.post(DISPATCH, {"instructions": "x"})).status_code == 201
        changed = await alice.send("PATCH", path, json={"role": "viewer", "name": "Reader"})
        assert (changed.status_code, changed.json()["role"], changed.json()["name"]) == (
            200,
            "viewer",
            "Reader",
        )
        assert (await other.post(DISPATCH, {"instructions": "x"})).status_code == 403
        assert (await other.get("/api/v1/tasks")).status_code == 200
        body = {"agentIds": [OTHER_AGENT], "limits": {"tasksPerDay": 1}, "expiresAt": in_days(1)}
        await alice.send("PATCH", path, json=body)
        assert (await other.get("/api/v1/tasks")).json()["data"] == []
        whole = {"role": "member", "agentIds": None, "limits": None, "expiresAt": None}
        changed = await alice.send("PATCH", path, json=whole)
        assert changed.json() | whole | {"limits": NO_LIMITS} == changed.json()
        assert (await other.post(DISPATCH, {"instructions": "x"})).status_code == 201

    @pytest.mark.parametrize(
        "body", [{}, {"role": "owner"}, {"agentIds": ["agt_none"]}, {"key": "x"}, {"name": ""}]
    )
    async def test_wrong_changes_change_nothing(self, alice: Account, body: dict[str, Any]) -> None:
        await key_of(alice)
        before = (await alice.get(KEYS)).json()
        assert (await alice.send("PATCH", f"{KEYS}/{await id_of(alice)}", json=body)).status_code == 400
        assert (await alice.get(KEYS)).json() == before

    async def test_no_key_changes_itself(self, alice: Account) -> None:
        await key_of(alice)
        path = f"{KEYS}/{await id_of(alice, 'default')}"
        assert error_of(await alice.send("PATCH", path, json={"name": "x"}))["code"] == "forbidden"

    async def test_the_last_whole_key_cannot_be_bound_or_revoked(self, alice: Account) -> None:
        own = await id_of(alice, "default")
        await key_of(alice, role="viewer")
        await key_of(alice, agentIds=[AGENT])
        expiring = await key_of(alice, expiresAt=in_days(1))
        assert (await alice.send("DELETE", f"{KEYS}/{own}")).status_code == 409
        assert (await expiring.send("DELETE", f"{KEYS}/{own}")).status_code == 409
        assert (await expiring.send("PATCH", f"{KEYS}/{own}", json={"role": "viewer"})).status_code == 403
        await key_of(alice)
        assert (await alice.send("DELETE", f"{KEYS}/{own}")).status_code == 204

    async def test_a_change_ends_streams_of_the_key(self, bed: Bed, alice: Account, short_dir: Path) -> None:
        task_id = (await alice.dispatch())["id"]
        other = await key_of(alice)
        with serving(bed, short_dir, stream__KEEP_ALIVE_SECONDS=0.3) as api:
            async with await api.follow(task_id, other) as stream, await api.follow(task_id, alice) as kept:
                await within(30, stream.some(1))
                body = {"agentIds": [OTHER_AGENT]}
                await alice.send("PATCH", f"{KEYS}/{await id_of(alice)}", json=body)
                assert [frame.id for frame in await within(30, all_of(stream.frames())) if frame.id] == []
                assert stream.is_whole
                await within(30, kept.some(1))
        waiting = await other.get(f"/api/v1/tasks/{task_id}/events")
        assert waiting.status_code == 404


grants = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["viewer", "member"]),
        "agentIds": st.none() | st.lists(st.sampled_from([AGENT, OTHER_AGENT]), min_size=1, unique=True),
        "limits": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "costUsdPerDay": st.integers(0, 3),
                "tasksPerDay": st.integers(0, 3),
                "maxPriority": st.integers(0, 3),
            },
        ),
        "expiresAt": st.none() | st.integers(1, 3).map(lambda days: f"2031-01-0{days}T00:00:00Z"),
    },
)
calls = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.sampled_from(["create", "change", "revoke", "log in", "approve"]),
        st.integers(0, 9),
        grants,
    ),
    max_size=8,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=grants, calls=calls)
async def test_no_sequence_of_calls_makes_a_key_that_can_do_more(
    bed: Bed, first: dict[str, Any], calls: list[tuple[int, str, int, dict[str, Any]]]
) -> None:
    """From one key that is bound somehow, any calls with it, with what it made, and with browsers that it logged in:
    all stay within it. The owner's own key, which can do everything, is among the targets, and stays as it is."""
    owner = await new_account(bed)
    root = await key_of(owner, **first)
    keys: list[Account | Browser] = [root]
    ids = [await id_of(owner, "default"), await id_of(owner)]
    before = {key.id: key.grant for key in await all_keys(bed, owner)}
    bound = before[ids[1]]
    for actor, method, target, body in calls:
        sender, path = keys[actor % len(keys)], f"{KEYS}/{ids[target % len(ids)]}"
        if method == "create":
            answer = await sender.send("POST", KEYS, json={"name": "made"} | body)
            if answer.status_code == 201:
                keys.append(Account(bed, owner.id, answer.json()["key"]))
                ids.append(answer.json()["id"])
        elif method == "change":
            answer = await sender.send("PATCH", path, json={"name": "changed"} | body)
        elif method == "revoke":
            answer = await sender.send("DELETE", path)
        elif method == "log in":
            answer, browser = await sender.send("POST", "/api/v1/login-codes"), Browser(bed)
            if answer.status_code == 201:
                code = answer.json()["url"].partition("#")[2]
                assert (await browser.log_in(code=code, isConfirmed=True)).status_code == 204
                keys.append(browser)
        else:
            answer, key = await approved_login(bed, sender, body.get("role"))
            keys += [] if key is None else [Account(bed, owner.id, key)]
        assert answer.status_code in (200, 201, 204, 401, 403, 404, 409), answer.text
    for key in await all_keys(bed, owner):
        if key.id == ids[0]:
            # A key that can do less may at most bind it, and only if it is itself a whole key.
            assert key.grant == before[key.id] or key.grant.is_within(bound)
        else:
            assert key.grant.is_within(bound), (bound, key.grant)


async def approved_login(
    bed: Bed, sender: Account | Browser, role: str | None
) -> tuple[httpx2.Response, str | None]:
    """The answer to the approval of a command line's login, and the key that the command line has then."""
    login, device_code = await cli_logins.create(bed.pool, "laptop", None)
    body = {"isApproved": True} | ({} if role is None else {"role": role})
    answer = await sender.send("POST", f"/api/v1/cli-logins/{login.id}/decide", json=body)
    _, key = await cli_logins.poll(bed.pool, device_code)
    return answer, key


async def all_keys(bed: Bed, account: Account) -> Any:
    page = await store.list_keys(bed.pool, account.id, after_id=None, limit=100, is_descending=False)
    return page.rows


class TestExpiry:
    async def test_an_expired_key_is_refused(self, bed: Bed, alice: Account) -> None:
        key = await key_of(alice, expiresAt=in_days(1))
        assert (await key.get("/api/v1/account")).status_code == 200
        await bed.pool.execute(
            "UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE id = $1", await id_of(alice)
        )
        refused = await key.get("/api/v1/account")
        assert refused.status_code == 401
        assert "expired" in error_of(refused)["message"]

    async def test_a_suspended_account_is_refused(self, bed: Bed, alice: Account) -> None:
        await bed.pool.execute("UPDATE accounts SET suspended_at = now() WHERE id = $1", alice.id)
        refused = await alice.get("/api/v1/account")
        assert (refused.status_code, error_of(refused)["code"]) == (403, "forbidden")
        assert "suspended" in error_of(refused)["message"]

    async def test_older_versions_do_not_find_limited_keys(self, bed: Bed, alice: Account) -> None:
        """They look for the plain hash, and would let the key do everything."""
        for grant in (
            {"role": "viewer"},
            {"agentIds": [AGENT]},
            {"expiresAt": in_days(1)},
            {"limits": {"tasksPerDay": 1}},
        ):
            key = await key_of(alice, **grant)
            plain = hashlib.sha256(key.key.encode()).digest()
            assert await bed.pool.fetchval("SELECT id FROM api_keys WHERE key_hash = $1", plain) is None
        whole = await key_of(alice)
        plain = hashlib.sha256(whole.key.encode()).digest()
        key_id = await bed.pool.fetchval("SELECT id FROM api_keys WHERE key_hash = $1", plain)
        await alice.send("PATCH", f"{KEYS}/{key_id}", json={"role": "viewer"})
        assert await bed.pool.fetchval("SELECT id FROM api_keys WHERE key_hash = $1", plain) is None
        assert (await whole.get("/api/v1/account")).status_code == 200


class TestLimits:
    async def test_of_200_dispatches_at_once_exactly_as_many_as_are_left(self, bed: Bed) -> None:
        owner = await new_account(bed, credit_micro_usd=1_000_000_000)
        key = await key_of(owner, limits={"tasksPerDay": 60})
        for _ in range(10):
            await key.dispatch()
        answers = await asyncio.gather(*(key.post(DISPATCH, {"instructions": "x"}) for _ in range(200)))
        statuses = [answer.status_code for answer in answers]
        assert statuses.count(201) == 50
        assert statuses.count(429) == 150
        assert await bed.pool.fetchval("SELECT count(*) FROM tasks WHERE account_id = $1", owner.id) == 60
        refused = next(answer for answer in answers if answer.status_code == 429)
        error = error_of(refused)
        assert error["code"] == "limit_reached"
        assert "60 tasks and turns a day" in error["message"] and "A new day begins at" in error["message"]
        assert 0 < int(refused.headers["retry-after"]) <= 86_400
        assert (await owner.post(DISPATCH, {"instructions": "x"})).status_code == 201

    async def test_batches_count_by_their_size_and_turns_by_one(self, bed: Bed, alice: Account) -> None:
        key = await key_of(alice, limits={"tasksPerDay": 6})
        tasks = {"tasks": [{"instructions": "x"}] * 4}
        assert (await key.post(f"{DISPATCH}/batch", tasks)).status_code == 201
        assert (await key.post(f"{DISPATCH}/batch", tasks)).status_code == 429
        opened = (await key.converse())["task"]["id"]
        messages = f"/api/v1/conversations/{opened}/messages"
        assert (await key.post(messages, {"content": "x"})).status_code == 201
        assert (await key.post(messages, {"content": "x"})).status_code == 429
        assert (await key.post(f"/api/v1/conversations/{opened}/handoff")).status_code == 429
        assert (await key.post(f"/api/v1/tasks/{opened}/cancel")).status_code == 200
        # Yesterday's use does not count.
        await bed.pool.execute("UPDATE daily_use SET day = day - 1 WHERE owner_id = $1", await id_of(alice))
        assert (await key.post(f"{DISPATCH}/batch", tasks)).status_code == 201

    async def test_what_is_refused_does_not_count(self, bed: Bed) -> None:
        poor = await new_account(bed, credit_micro_usd=500_000)  # one hold
        key = await key_of(poor, limits={"tasksPerDay": 2})
        assert (await key.post(DISPATCH, {"instructions": ""})).status_code == 400
        await key.dispatch()
        for _ in range(3):
            assert (await key.post(DISPATCH, {"instructions": "x"})).status_code == 402
        assert (
            await bed.pool.fetchval("SELECT tasks FROM daily_use WHERE owner_id = $1", await id_of(poor)) == 1
        )

    async def test_a_replay_counts_once(self, alice: Account) -> None:
        key = await key_of(alice, limits={"tasksPerDay": 1})
        headers = {"Idempotency-Key": "counted"}
        ids = {
            (await key.post(DISPATCH, {"instructions": "x"}, headers=headers)).json()["id"] for _ in range(3)
        }
        assert len(ids) == 1
        assert (await key.post(DISPATCH, {"instructions": "x"})).status_code == 429

    async def test_money_of_a_day_is_exact_for_dispatches_at_once(self, bed: Bed) -> None:
        owner = await new_account(bed, credit_micro_usd=1_000_000_000)
        key = await key_of(owner, limits={"costUsdPerDay": 10.2})  # 20 holds
        first = (await key.dispatch())["id"]
        answers = await asyncio.gather(*(key.post(DISPATCH, {"instructions": "x"}) for _ in range(60)))
        statuses = [answer.status_code for answer in answers]
        assert (statuses.count(201), statuses.count(402)) == (19, 41)
        refused = next(answer for answer in answers if answer.status_code == 402)
        assert error_of(refused)["code"] == "limit_reached"
        assert "$10.20 a day: $10.00 is used or set aside" in error_of(refused)["message"]
        assert 0 < int(refused.headers["retry-after"]) <= 86_400
        assert (await owner.post(DISPATCH, {"instructions": "x"})).status_code == 201
        [problem] = (await key.post(f"{DISPATCH}?dryRun=true", {"instructions": "x"})).json()["problems"]
        assert problem["code"] == "limit_reached"
        await key.post(f"/api/v1/tasks/{first}/cancel")  # it cost nothing
        await key.dispatch()

    async def test_what_was_used_today_counts_for_turns_and_dispatches(self, bed: Bed) -> None:
        owner = await new_account(bed)
        await bed.pool.execute(
            "UPDATE accounts SET max_cost_micro_usd_per_day = 2000000 WHERE id = $1", owner.id
        )
        task_id = (await owner.converse())["task"]["id"]
        claim = await owner.claim(task_id)
        await budgets.count(bed.pool, bed.settings, claim, TaskUsage(10, 10, 0, 1_600_000))
        message = f"/api/v1/conversations/{task_id}/messages"
        assert (await owner.post(message, {"content": "x"})).status_code == 201
        answer = await owner.post(DISPATCH, {"instructions": "x"})
        assert (answer.status_code, error_of(answer)["code"]) == (402, "limit_reached")
        await budgets.count(bed.pool, bed.settings, claim, TaskUsage(20, 20, 0, 2_000_000))
        assert (await owner.post(message, {"content": "x"})).status_code == 402
        assert (await owner.post(f"/api/v1/conversations/{task_id}/handoff")).status_code == 402
        assert (await owner.post(f"/api/v1/tasks/{task_id}/cancel")).status_code == 200
        assert (await owner.post(DISPATCH, {"instructions": "x"})).status_code == 402
        await bed.pool.execute("UPDATE usage SET day = day - 1 WHERE account_id = $1", owner.id)
        assert (await owner.post(DISPATCH, {"instructions": "x"})).status_code == 201

    async def test_the_priority_has_a_limit(self, bed: Bed, alice: Account) -> None:
        key = await key_of(alice, limits={"maxPriority": 2})
        for priority, status in ((2, 201), (-10, 201), (3, 400)):
            body = {"instructions": "x", "overrides": {"priority": priority}}
            assert (await key.post(DISPATCH, body)).status_code == status
        batch = {"tasks": [{"instructions": "x"}, {"instructions": "x", "overrides": {"priority": 3}}]}
        refused = await key.post(f"{DISPATCH}/batch", batch)
        assert error_of(refused)["details"][0]["path"] == "tasks[1].overrides.priority"
        await bed.pool.execute("UPDATE accounts SET max_priority = 1 WHERE id = $1", alice.id)
        body = {"instructions": "x", "overrides": {"priority": 2}}
        assert error_of(await alice.post(DISPATCH, body))["details"][0]["path"] == "overrides.priority"


class TestReplays:
    async def test_only_the_key_that_sent_the_first_request_gets_its_response(self, alice: Account) -> None:
        other, headers = await key_of(alice), {"Idempotency-Key": "mine"}
        first = await alice.post(DISPATCH, {"instructions": "x"}, headers=headers)
        again = await alice.post(DISPATCH, {"instructions": "x"}, headers=headers)
        assert again.json() == first.json()
        refused = await other.post(DISPATCH, {"instructions": "x"}, headers=headers)
        assert (refused.status_code, error_of(refused)["code"]) == (409, "conflict")
        assert first.json()["id"] not in refused.text

    async def test_a_repeatable_request_too(self, bed: Bed, alice: Account) -> None:
        batch = (await alice.post(f"{DISPATCH}/batch", {"tasks": [{"instructions": "x"}]})).json()["batch"][
            "id"
        ]
        other, headers = await key_of(alice), {"Idempotency-Key": "cancels"}
        path = f"/api/v1/batches/{batch}/cancel"
        assert (await alice.post(path, headers=headers)).status_code == 200
        assert (await other.post(path, headers=headers)).status_code == 409

    async def test_a_replay_is_judged_by_what_the_key_may_do_now(self, alice: Account) -> None:
        other, headers = await key_of(alice), {"Idempotency-Key": "judged"}
        assert (await other.post(DISPATCH, {"instructions": "x"}, headers=headers)).status_code == 201
        path = f"{KEYS}/{await id_of(alice)}"
        await alice.send("PATCH", path, json={"role": "viewer"})
        assert (await other.post(DISPATCH, {"instructions": "x"}, headers=headers)).status_code == 403
        await alice.send("PATCH", path, json={"role": "member", "agentIds": [OTHER_AGENT]})
        assert (await other.post(DISPATCH, {"instructions": "x"}, headers=headers)).status_code == 404

    async def test_a_key_that_was_revoked_is_not_handed_out_again(self, alice: Account) -> None:
        headers = {"Idempotency-Key": "a key"}
        made = (await alice.post(KEYS, {"name": "x"}, headers=headers)).json()
        assert (await alice.post(KEYS, {"name": "x"}, headers=headers)).json() == made
        await alice.send("DELETE", f"{KEYS}/{made['id']}")
        refused = await alice.post(KEYS, {"name": "x"}, headers=headers)
        assert (refused.status_code, error_of(refused)["code"]) == (410, "gone")
        assert made["key"] not in refused.text

    async def test_a_link_that_was_used_is_not_handed_out_again(self, bed: Bed, alice: Account) -> None:
        task_id = await alice.hibernating()
        path, headers = f"/api/v1/tasks/{task_id}/wake-links", {"Idempotency-Key": "a link"}
        made = (await alice.post(path, headers=headers)).json()
        assert (await alice.post(path, headers=headers)).json() == made
        assert (await bed.http.post(made["url"], json={})).status_code == 200
        assert (await alice.post(path, headers=headers)).status_code == 410

    async def test_an_answer_of_an_older_version_is_for_any_key(self, bed: Bed, alice: Account) -> None:
        other, headers = await key_of(alice), {"Idempotency-Key": "old"}
        first = await alice.post(DISPATCH, {"instructions": "x"}, headers=headers)
        await bed.pool.execute(
            "UPDATE idempotency_keys SET principal_id = NULL WHERE account_id = $1", alice.id
        )
        again = await other.post(DISPATCH, {"instructions": "x"}, headers=headers)
        assert again.json() == first.json()


async def test_a_key_that_is_being_revoked_makes_no_key(bed: Bed, alice: Account) -> None:
    """Its rights are checked again in the transaction that makes the key."""
    await key_of(alice)
    other = await key_of(alice)
    principal = await accounts.authenticate(bed.pool, other.key)
    await alice.send("DELETE", f"{KEYS}/{principal.id}")
    with pytest.raises(Exception, match="revoked"):
        await accounts.create_key(bed.pool, alice.id, "late", caller=principal)
    assert "late" not in (await alice.get(KEYS)).text
