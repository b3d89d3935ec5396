"""Browser sessions: login and logout, their rights and ends, login codes, and logins of command lines."""

import itertools
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from agentcontainer.api.app import create_app
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.audit.model import COMMAND_LINE
from agentcontainer.domain.retention.service import purge
from agentcontainer.domain.sessions import service as sessions
from agentcontainer.domain.sessions.model import MAX_SESSIONS

from .conftest import AGENT, Account, Bed, error_of, new_account

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGE = {"Sec-Fetch-Site": "same-origin"}
V1 = "/api/v1"


class Browser:
    """A browser with its cookie, which sends what a page of the platform would."""

    def __init__(self, bed: Bed, **headers: str) -> None:
        self.bed = bed
        self.headers = PAGE | {"User-Agent": "Test/1.0"} | headers
        self.cookie: str | None = None

    async def send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = self.headers | options.pop("headers", {})
        if self.cookie is not None:
            headers |= {"Cookie": self.cookie}
        answer = await self.bed.http.request(method, path, headers=headers, **options)
        self.bed.http.cookies.clear()
        if "set-cookie" in answer.headers:
            pair = answer.headers["set-cookie"].partition(";")[0]
            self.cookie = None if pair.endswith("=") or '=""' in pair else pair
        return answer

    async def get(self, path: str) -> httpx2.Response:
        return await self.send("GET", path)

    async def log_in(self, **body: Any) -> httpx2.Response:
        return await self.send("POST", "/session", json=body)


async def logged_in(bed: Bed, account: Account) -> Browser:
    browser = Browser(bed)
    answer = await browser.log_in(apiKey=account.key)
    assert answer.status_code == 204, answer.text
    return browser


async def code_of(answer: httpx2.Response) -> str:
    assert answer.status_code == 201, answer.text
    return answer.json()["url"].partition("#")[2]


# Login and logout


async def test_a_browser_logs_in_works_and_logs_out(bed: Bed, alice: Account) -> None:
    browser = Browser(bed)
    assert error_of(await browser.get("/session"))["code"] == "unauthorized"
    answer = await browser.log_in(apiKey=alice.key)
    assert (answer.status_code, answer.content) == (204, b"")
    current = (await browser.get("/session")).json()
    assert current["account"] == {"id": alice.id, "name": "Test"}
    assert (current["role"], current["isOperator"], current["agentIds"]) == ("member", False, None)
    task = await browser.send("POST", f"{V1}/agents/{AGENT}/tasks", json={"instructions": "x"})
    assert task.status_code == 201
    assert (await browser.get(f"{V1}/tasks/{task.json()['id']}")).status_code == 200
    [listed] = (await browser.get(f"{V1}/sessions")).json()["data"]
    assert listed["isCurrent"] and listed["userAgent"] == "Test/1.0" and listed["id"] == current["id"]
    cookie = browser.cookie
    assert (await browser.send("DELETE", "/session")).status_code == 204
    assert browser.cookie is None
    browser.cookie = cookie
    assert (await browser.get(f"{V1}/account")).status_code == 401
    assert (await browser.send("DELETE", "/session")).status_code == 204
    entries = (await alice.get(f"{V1}/account/audit")).json()["data"]
    acts = [(entry["action"], entry["actor"]["kind"], entry["target"]) for entry in entries]
    assert ("session.created", "session", current["id"]) in acts
    assert ("session.ended", "session", current["id"]) in acts


async def test_the_cookie_of_plain_http_names_the_port(bed: Bed, alice: Account) -> None:
    cookie = (await Browser(bed).log_in(apiKey=alice.key)).headers["set-cookie"]
    assert re.fullmatch(
        r"ac_session_80=[\w-]{43}; HttpOnly; Max-Age=25919\d\d; Path=/; SameSite=strict", cookie
    )


async def test_the_cookie_of_https_is_secure_and_bound_to_the_host(bed: Bed, alice: Account) -> None:
    for changed, headers in (
        ({"public_url": "https://testserver"}, {}),
        ({"public_url": None, "trusted_proxies": ("127.0.0.1",)}, {"X-Forwarded-Proto": "https"}),
    ):
        async with other(bed, **changed) as there:
            cookie = (await Browser(there, **headers).log_in(apiKey=alice.key)).headers["set-cookie"]
        assert cookie.startswith("__Host-ac_session="), changed
        assert "; Secure" in cookie and "Path=/;" in cookie and "Domain" not in cookie
    async with other(bed, public_url=None, allowed_hosts=("testserver",)) as there:  # a header of anybody's
        cookie = (await Browser(there, **{"X-Forwarded-Proto": "https"}).log_in(apiKey=alice.key)).headers
        assert "Secure" not in cookie["set-cookie"]


class other:  # noqa: N801
    """A second application with other settings on the same database."""

    def __init__(self, bed: Bed, **changed: Any) -> None:
        changed = {"allowed_hosts": ("testserver",)} | changed
        settings = bed.settings.model_copy(update=changed)
        transport = httpx2.ASGITransport(app=create_app(settings, bed.pool, bed.vault, bed.blobs))
        http = httpx2.AsyncClient(transport=transport, base_url="http://testserver", verify=False)
        self.bed = replace(bed, settings=settings, http=http)

    async def __aenter__(self) -> Bed:
        return self.bed

    async def __aexit__(self, *_: object) -> None:
        await self.bed.http.aclose()


async def test_only_hashes_are_stored(bed: Bed, alice: Account) -> None:
    browser = await logged_in(bed, alice)
    code = await code_of(await alice.post(f"{V1}/login-codes"))
    login = (await bed.http.post(f"{V1}/cli-logins", json={"hostname": "x"})).json()
    assert browser.cookie is not None
    secrets = [browser.cookie.partition("=")[2], code, login["deviceCode"]]
    for table in ("sessions", "login_codes", "cli_logins", "audit_log"):
        rows = await bed.pool.fetch(f"SELECT to_jsonb({table}) AS row FROM {table}")
        assert not any(secret in str(row["row"]) for row in rows for secret in secrets), table


@pytest.mark.parametrize(
    "body", [{}, {"apiKey": "a", "code": "b"}, {"apiKey": ""}, {"apiKey": 5}, {"code": "x" * 201}, {"x": 1}]
)
async def test_a_wrong_body_is_named(bed: Bed, body: dict[str, Any]) -> None:
    assert error_of(await Browser(bed).log_in(**body))["code"] == "validation_error"


async def test_a_login_needs_a_page_of_ours_and_a_host_of_ours(bed: Bed, alice: Account) -> None:
    for headers, status in (
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Host": "testserver.evil.example"}, 421),
        ({"Host": "localhost:9"}, 204),
        ({"Host": "[::1]"}, 204),
        ({"Host": "testserver."}, 204),
    ):
        assert (await Browser(bed, **headers).log_in(apiKey=alice.key)).status_code == status, headers
        assert (await Browser(bed, **headers).send("DELETE", "/session")).status_code == status, headers
    misdirected = await Browser(bed, Host="evil.example").log_in(apiKey=alice.key)
    assert error_of(misdirected)["code"] == "misdirected_request"


async def failures(send: Callable[[], Awaitable[httpx2.Response]], status: int = 401) -> int:
    """How many requests get this status until one is refused with 429. The allowance grows meanwhile."""
    for count in range(60):
        answer = await send()
        if answer.status_code == 429:
            assert int(answer.headers["retry-after"]) > 0
            return count
        assert answer.status_code == status, answer.text
    raise AssertionError("nothing was refused")


async def test_failures_are_limited_by_address_but_never_a_valid_credential(bed: Bed, alice: Account) -> None:
    async with other(bed) as there:
        assert 10 <= await failures(lambda: Browser(there).log_in(apiKey="ac_live_wrong")) < 30
        assert (await Browser(there).log_in(apiKey=alice.key)).status_code == 204


async def test_addresses_of_one_ipv6_network_share_their_failures(bed: Bed) -> None:
    async with other(bed, trusted_proxies=("127.0.0.1",)) as there:

        def fail(address: str) -> Awaitable[httpx2.Response]:
            return Browser(there, **{"X-Forwarded-For": address}).log_in(apiKey="wrong")

        numbers = itertools.count(1)
        assert 10 <= await failures(lambda: fail(f"2001:db8::{next(numbers):x}")) < 30
        assert (await fail("2001:db8:0:1::1")).status_code == 401


# The rights and the end of a session


async def test_a_session_ends_with_its_key(bed: Bed, alice: Account) -> None:
    key_id, key = await accounts.create_key(bed.pool, alice.id, "second")
    browser = await logged_in(bed, Account(bed, alice.id, key))
    assert (await browser.get(f"{V1}/account")).status_code == 200
    assert (await alice.send("DELETE", f"{V1}/api-keys/{key_id}")).status_code == 204
    assert (await browser.get(f"{V1}/account")).status_code == 401
    assert (await browser.get("/session")).status_code == 401
    assert (await alice.get(f"{V1}/sessions")).json()["data"] == []


async def test_a_change_of_the_key_holds_at_the_next_request(bed: Bed, alice: Account) -> None:
    browser = await logged_in(bed, alice)

    async def dispatch() -> int:
        return (
            await browser.send("POST", f"{V1}/agents/{AGENT}/tasks", json={"instructions": "x"})
        ).status_code

    assert await dispatch() == 201
    await bed.pool.execute("UPDATE api_keys SET role = 'viewer' WHERE account_id = $1", alice.id)
    assert await dispatch() == 403
    assert (await browser.get("/session")).json()["role"] == "viewer"
    as_viewer = await logged_in(bed, alice)
    await bed.pool.execute(
        "UPDATE api_keys SET role = 'member', agent_ids = '{agt_0}' WHERE account_id = $1", alice.id
    )
    assert (await as_viewer.get("/session")).json()["role"] == "viewer"  # it began as one
    assert await dispatch() == 404
    assert (await browser.get("/session")).json()["agentIds"] == ["agt_0"]
    await bed.pool.execute(
        "UPDATE api_keys SET agent_ids = NULL, expires_at = now() + interval '1 hour' WHERE account_id = $1",
        alice.id,
    )
    assert (await browser.get("/session")).json()["expiresAt"] < (await browser.get(f"{V1}/sessions")).json()[
        "data"
    ][0]["expiresAt"]
    await bed.pool.execute("UPDATE api_keys SET expires_at = now() WHERE account_id = $1", alice.id)
    assert await dispatch() == 401


async def test_a_suspended_account_has_no_sessions(bed: Bed, alice: Account) -> None:
    browser = await logged_in(bed, alice)
    await bed.pool.execute("UPDATE accounts SET suspended_at = now() WHERE id = $1", alice.id)
    assert (await browser.get(f"{V1}/account")).status_code == 403
    assert (await browser.get("/session")).status_code == 403
    assert (await Browser(bed).log_in(apiKey=alice.key)).status_code == 403


@pytest.mark.parametrize(
    "change",
    ["last_seen_at = now() - interval '7 days 1 second'", "expires_at = now() - interval '1 second'"],
)
async def test_a_session_ends_when_idle_and_absolutely(bed: Bed, alice: Account, change: str) -> None:
    browser = await logged_in(bed, alice)
    assert (await browser.get(f"{V1}/account")).status_code == 200
    await bed.pool.execute(f"UPDATE sessions SET {change} WHERE account_id = $1", alice.id)
    assert (await browser.get(f"{V1}/account")).status_code == 401
    assert (await alice.get(f"{V1}/sessions")).json()["data"] == []


async def test_what_has_ended_is_removed(bed: Bed, alice: Account) -> None:
    await logged_in(bed, alice)
    await alice.post(f"{V1}/login-codes")
    await bed.http.post(f"{V1}/cli-logins", json={"hostname": "x"})
    kept = await logged_in(bed, alice)
    old = "now() - interval '8 days'"
    await bed.pool.execute(
        f"UPDATE sessions SET last_seen_at = {old} WHERE account_id = $1 AND id = "
        "(SELECT min(id) FROM sessions WHERE account_id = $1)",
        alice.id,
    )
    await bed.pool.execute(f"UPDATE login_codes SET expires_at = {old}")
    await bed.pool.execute(f"UPDATE cli_logins SET expires_at = {old}")
    await purge(bed.pool, bed.blobs, bed.settings)
    assert await bed.pool.fetchval("SELECT count(*) FROM sessions WHERE account_id = $1", alice.id) == 1
    assert await bed.pool.fetchval("SELECT count(*) FROM login_codes") == 0
    assert await bed.pool.fetchval("SELECT count(*) FROM cli_logins") == 0
    assert (await kept.get(f"{V1}/account")).status_code == 200


async def test_of_very_many_sessions_the_idlest_ends(bed: Bed, alice: Account) -> None:
    await bed.pool.execute(
        "INSERT INTO sessions (id, token_hash, account_id, role, expires_at, user_agent, last_seen_at) "
        "SELECT 'ses_' || $1::text || n, sha256(convert_to($1::text || n, 'UTF8')), $1, 'member', "
        "now() + interval '1 day', '', "
        "now() - n * interval '1 second' FROM generate_series(1, $2) AS n",
        alice.id, MAX_SESSIONS,
    )  # fmt: skip
    await logged_in(bed, alice)
    left = await bed.pool.fetch("SELECT id FROM sessions WHERE account_id = $1", alice.id)
    assert len(left) == MAX_SESSIONS
    assert f"ses_{alice.id}{MAX_SESSIONS}" not in {row["id"] for row in left}


async def test_use_is_recorded_once_a_minute(bed: Bed, alice: Account) -> None:
    browser = await logged_in(bed, alice)
    query = "SELECT last_seen_at FROM sessions WHERE account_id = $1"
    before = await bed.pool.fetchval(query, alice.id)
    await browser.get(f"{V1}/account")
    assert await bed.pool.fetchval(query, alice.id) == before
    await bed.pool.execute("UPDATE sessions SET last_seen_at = now() - interval '2 minutes'")
    await browser.get(f"{V1}/account")
    assert await bed.pool.fetchval(query, alice.id) > before


async def test_sessions_are_ended_from_elsewhere(bed: Bed, alice: Account, bob: Account) -> None:
    browser, own = await logged_in(bed, alice), await logged_in(bed, bob)
    [session] = (await alice.get(f"{V1}/sessions")).json()["data"]
    assert session["isCurrent"] is False
    assert (await bob.send("DELETE", f"{V1}/sessions/{session['id']}")).status_code == 404
    assert (await own.send("DELETE", f"{V1}/sessions/{session['id']}")).status_code == 404
    assert (await alice.send("DELETE", f"{V1}/sessions/{session['id']}")).status_code == 204
    assert (await browser.get(f"{V1}/account")).status_code == 401
    assert (await own.get(f"{V1}/account")).status_code == 200


async def test_a_key_that_may_not_administer_sees_its_own_sessions_only(bed: Bed, alice: Account) -> None:
    _, key = await accounts.create_key(bed.pool, alice.id, "bound")
    bound = Account(bed, alice.id, key)
    await logged_in(bed, alice)
    await logged_in(bed, bound)
    assert len((await alice.get(f"{V1}/sessions")).json()["data"]) == 2
    await bed.pool.execute(
        "UPDATE api_keys SET max_tasks_per_day = 5 WHERE name = 'bound' AND account_id = $1", alice.id
    )
    [own] = (await bound.get(f"{V1}/sessions")).json()["data"]
    others = {entry["id"] for entry in (await alice.get(f"{V1}/sessions")).json()["data"]} - {own["id"]}
    assert (await bound.send("DELETE", f"{V1}/sessions/{others.pop()}")).status_code == 404


async def test_a_second_session_cookie_of_the_name_counts_for_nothing(
    bed: Bed, alice: Account, bob: Account
) -> None:
    browser, stranger = await logged_in(bed, alice), await logged_in(bed, bob)
    browser.cookie = f"{stranger.cookie}; {browser.cookie}"
    assert (await browser.get(f"{V1}/account")).status_code == 401


async def test_an_idempotency_key_works_in_a_session(bed: Bed, alice: Account) -> None:
    browser = await logged_in(bed, alice)
    path, keyed = f"{V1}/agents/{AGENT}/tasks", {"Idempotency-Key": "one"}
    first = await browser.send("POST", path, json={"instructions": "x"}, headers=keyed)
    again = await browser.send("POST", path, json={"instructions": "x"}, headers=keyed)
    assert (first.json(), again.headers["idempotent-replayed"]) == (again.json(), "true")


# Login codes


async def test_a_code_works_once_and_for_ten_minutes(bed: Bed) -> None:
    first = await first_account(bed)
    code = await code_of(await first.post(f"{V1}/login-codes"))
    browser = Browser(bed)
    assert (await browser.log_in(code=code)).status_code == 204
    assert (await browser.get("/session")).json()["account"]["id"] == first.id
    assert (await Browser(bed).log_in(code=code)).status_code == 401
    late = await code_of(await first.post(f"{V1}/login-codes"))
    await bed.pool.execute("UPDATE login_codes SET expires_at = now() WHERE account_id = $1", first.id)
    assert (await Browser(bed).log_in(code=late)).status_code == 401


async def first_account(bed: Bed) -> Account:
    account_id = await bed.pool.fetchval("SELECT min(id) FROM accounts")
    _, key = await accounts.create_key(bed.pool, account_id, "first")
    return Account(bed, account_id, key)


async def test_a_strangers_link_leads_nobody_into_his_account(bed: Bed, alice: Account, bob: Account) -> None:
    code = await code_of(await bob.post(f"{V1}/login-codes"))
    fresh = Browser(bed)
    asked = await fresh.log_in(code=code)
    assert (asked.status_code, fresh.cookie) == (409, None)
    assert '"Test"' in error_of(asked)["message"]
    browser = await logged_in(bed, alice)
    assert (await browser.log_in(code=code)).status_code == 409
    assert (await browser.get("/session")).json()["account"]["id"] == alice.id
    assert (await browser.log_in(code=code, isConfirmed=True)).status_code == 204
    assert (await browser.get("/session")).json()["account"]["id"] == bob.id
    assert (await alice.get(f"{V1}/sessions")).json()["data"] == []  # the browser has one session


async def test_not_even_the_first_accounts_code_replaces_a_session(bed: Bed, alice: Account) -> None:
    first = await first_account(bed)
    code = await code_of(await first.post(f"{V1}/login-codes"))
    browser = await logged_in(bed, alice)
    assert (await browser.log_in(code=code)).status_code == 409
    assert (await Browser(bed).log_in(code=code)).status_code == 204


async def test_a_code_of_the_account_that_the_browser_is_logged_in_to_asks_nothing(
    bed: Bed, alice: Account
) -> None:
    browser = await logged_in(bed, alice)
    code = await code_of(await alice.post(f"{V1}/login-codes"))
    assert (await browser.log_in(code=code)).status_code == 204
    assert len((await alice.get(f"{V1}/sessions")).json()["data"]) == 1


async def test_links_lead_to_the_address_that_the_client_used(bed: Bed, alice: Account) -> None:
    for public_url, host, base in [
        ("https://agents.example.com", "127.0.0.1:9", "https://agents.example.com"),
        (None, "192.0.2.7:8080", "http://192.0.2.7:8080"),
        (None, "rebound.example", "http://127.0.0.1:8080"),
    ]:
        async with other(bed, public_url=public_url) as there:
            client = Account(there, alice.id, alice.key)
            link = await client.post(f"{V1}/login-codes", headers={"Host": host})
            assert link.json()["url"].startswith(f"{base}/login#")
            login = await there.http.post(f"{V1}/cli-logins", json={"hostname": "a"}, headers={"Host": host})
            assert login.json()["url"].startswith(f"{base}/cli/approve?login=clg_")


async def test_without_a_dashboard_there_is_nothing_to_log_in_to(bed: Bed, alice: Account) -> None:
    async with other(bed, dashboard=False) as there:
        client = Account(there, alice.id, alice.key)
        assert error_of(await client.post(f"{V1}/login-codes"))["code"] == "conflict"
        refused = await there.http.post(f"{V1}/cli-logins", json={"hostname": "a"})
        assert error_of(refused)["code"] == "conflict"


async def test_a_key_of_another_account_asks_before_it_replaces_a_session(
    bed: Bed, alice: Account, bob: Account
) -> None:
    browser = await logged_in(bed, alice)
    assert (await browser.log_in(apiKey=bob.key)).status_code == 409
    assert (await browser.log_in(apiKey=alice.key)).status_code == 204
    assert len((await alice.get(f"{V1}/sessions")).json()["data"]) == 1
    assert (await browser.log_in(apiKey=bob.key, isConfirmed=True)).status_code == 204


async def test_a_code_has_the_rights_of_what_made_it(bed: Bed, alice: Account) -> None:
    browser = await logged_in(bed, alice)
    await bed.pool.execute(
        "UPDATE sessions SET expires_at = now() + interval '1 day' WHERE account_id = $1", alice.id
    )
    code = await code_of(await browser.send("POST", f"{V1}/login-codes"))
    second = Browser(bed)
    assert (await second.log_in(code=code, isConfirmed=True)).status_code == 204
    ends = [entry["expiresAt"] for entry in (await alice.get(f"{V1}/sessions")).json()["data"]]
    assert len(set(ends)) == 1  # no session outlives the one that made its code
    await bed.pool.execute("UPDATE api_keys SET role = 'viewer' WHERE account_id = $1", alice.id)
    assert (await alice.post(f"{V1}/login-codes")).status_code == 403
    assert (await second.get("/session")).json()["role"] == "viewer"


async def test_the_operators_link_has_all_rights_of_the_account(bed: Bed, alice: Account) -> None:
    account_id, code, _ = await sessions.create_code_of_operator(bed.pool, alice.id, COMMAND_LINE)
    assert account_id == alice.id
    browser = Browser(bed)
    assert (await browser.log_in(code=code, isConfirmed=True)).status_code == 204
    assert (await browser.send("POST", f"{V1}/api-keys", json={"name": "new"})).status_code == 201
    [session] = (await browser.get(f"{V1}/sessions")).json()["data"]
    assert session["keyId"] is None
    entries = (await alice.get(f"{V1}/account/audit")).json()["data"]
    assert ("login_code.created", "cli") in {(entry["action"], entry["actor"]["kind"]) for entry in entries}


# Logins of command lines


async def begun(bed: Bed, hostname: str = "laptop") -> dict[str, Any]:
    answer = await bed.http.post(f"{V1}/cli-logins", json={"hostname": hostname})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def polled(bed: Bed, login: dict[str, Any]) -> dict[str, Any]:
    answer = await bed.http.post(f"{V1}/cli-logins/poll", json={"deviceCode": login["deviceCode"]})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_browser_approves_a_command_line(bed: Bed, alice: Account, bob: Account) -> None:
    async with other(bed, public_url="http://testserver") as there:
        login = await begun(there)
        assert re.fullmatch(r"[A-Z]{4}-[A-Z]{4}", login["phrase"])
        assert login["url"] == f"http://testserver/cli/approve?login={login['id']}"
        assert login["deviceCode"] not in login["url"]
        assert await polled(there, login) == {"status": "pending", "apiKey": None, "accountId": None}
        browser = await logged_in(there, alice)
        shown = (await browser.get(f"{V1}/cli-logins/{login['id']}")).json()
        assert (shown["phrase"], shown["hostname"], shown["status"]) == (login["phrase"], "laptop", "pending")
        path = f"{V1}/cli-logins/{login['id']}/decide"
        approved = await browser.send("POST", path, json={"isApproved": True, "role": "viewer"})
        assert approved.json()["status"] == "approved"
        assert (
            await browser.send("POST", path, json={"isApproved": True, "role": "viewer"})
        ).status_code == 200
        assert (await browser.send("POST", path, json={"isApproved": False})).status_code == 409
        assert (await bob.post(path, {"isApproved": True})).status_code == 409
        result = await polled(there, login)
        assert (result["status"], result["accountId"]) == ("approved", alice.id)
        assert await polled(there, login) == result  # a lost response is repeated
        command_line = Account(there, alice.id, result["apiKey"])
        assert (await command_line.get(f"{V1}/account")).status_code == 200
        assert (await command_line.post(f"{V1}/api-keys", {"name": "x"})).status_code == 403
        keys = (await alice.get(f"{V1}/api-keys")).json()["data"]
        assert keys[0]["name"] == "laptop (command line)"


async def test_a_denied_or_expired_login_gets_no_key(bed: Bed, alice: Account) -> None:
    async with other(bed) as there:
        denied, expired = await begun(there), await begun(there)
        path = f"{V1}/cli-logins/{denied['id']}/decide"
        account = Account(there, alice.id, alice.key)
        assert (await account.post(path, {"isApproved": False})).json()["status"] == "denied"
        assert (await polled(there, denied))["apiKey"] is None
        await bed.pool.execute("UPDATE cli_logins SET expires_at = now() WHERE id = $1", expired["id"])
        gone = await there.http.post(f"{V1}/cli-logins/poll", json={"deviceCode": expired["deviceCode"]})
        assert gone.status_code == 401
        assert (
            await account.post(path.replace(denied["id"], expired["id"]), {"isApproved": True})
        ).status_code == 404
        assert (
            await account.post(path.replace(denied["id"], "clg_0"), {"isApproved": True})
        ).status_code == 404


async def test_nobody_approves_more_than_he_has(bed: Bed, alice: Account) -> None:
    async with other(bed) as there:
        login = await begun(there)
        path = f"{V1}/cli-logins/{login['id']}/decide"
        account = Account(there, alice.id, alice.key)
        for limit in ("role = 'viewer'", "role = 'member', max_tasks_per_day = 5"):
            await bed.pool.execute(f"UPDATE api_keys SET {limit} WHERE account_id = $1", alice.id)
            assert (await account.post(path, {"isApproved": True})).status_code == 403
        await bed.pool.execute(
            "UPDATE api_keys SET max_tasks_per_day = NULL, expires_at = now() + interval '1 day' "
            "WHERE account_id = $1",
            alice.id,
        )
        assert (await account.post(path, {"isApproved": True})).status_code == 200
        expiries = await bed.pool.fetch(
            "SELECT DISTINCT expires_at FROM api_keys WHERE account_id = $1", alice.id
        )
        assert len(expiries) == 1  # the new key lasts as long as the one that made it


async def test_begun_logins_and_wrong_polls_are_limited(bed: Bed) -> None:
    async with other(bed) as there:
        path = f"{V1}/cli-logins"
        assert 10 <= await failures(lambda: there.http.post(path, json={"hostname": "x"}), 201) < 30
        poll = {"deviceCode": "wrong"}
        assert 10 <= await failures(lambda: there.http.post(f"{path}/poll", json=poll)) < 30
        assert (await there.http.post(path, json={"hostname": ""})).status_code == 400


async def test_two_accounts_in_one_database(bed: Bed) -> None:
    """A session sees nothing of another account."""
    alice, bob = await new_account(bed), await new_account(bed)
    task_id = (await bob.dispatch())["id"]
    browser = await logged_in(bed, alice)
    assert (await browser.get(f"{V1}/tasks/{task_id}")).status_code == 404
