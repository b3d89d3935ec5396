"""In which requests a session's cookie counts: a table of cross-site requests, sent over HTTP.

`expected` says the rule a second time, independently of the code. The long version tries the whole product.
"""

import itertools
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import httpx2
import pytest
import pytest_asyncio

from agentcontainer.db import Pool

from .conftest import AGENT, Account, Bed
from .stream_bed import Api

pytestmark = pytest.mark.asyncio(loop_scope="session")

V1 = "/api/v1"
SAMPLE = 150
# Name of the request: method, path, and its status where it is let in.
REQUESTS = {
    "read": ("GET", f"{V1}/account", 200),
    "head": ("HEAD", f"{V1}/files/FILE/content", 200),
    "download": ("GET", f"{V1}/files/FILE/content", 200),
    "stream": ("GET", f"{V1}/events?stream=true", 200),
    "post": ("POST", f"{V1}/agents/{AGENT}/tasks?dryRun=true", 200),
    "put": ("PUT", f"{V1}/provider-keys/openai", 200),
    "patch": ("PATCH", f"{V1}/agents/agt_0", 404),
    "delete": ("DELETE", f"{V1}/files/file_0", 404),
}
BODIES = {"POST": {"instructions": "x"}, "PUT": {"apiKey": "sk-12345678"}, "PATCH": {"name": "x"}}
SITES = (None, "same-origin", "same-site", "cross-site", "none", "same-origin, cross-site", "")
MARKS = (None, "1", "0", "true")
ORIGINS = (None, "own", "http://127.0.0.1:1", "https://HOST", "http://evil.example", "null")
HOSTS = ("own", "localhost:PORT", "evil.example", "127.0.0.1.evil.example", "169.254.169.254")
COOKIES = (None, "valid", "unknown", "twice")
KEYS = (None, "valid", "wrong", "not bearer")


@dataclass(frozen=True)
class Try:
    """One request of the table."""

    request: str
    site: str | None = None
    mark: str | None = None
    origin: str | None = None
    host: str = "own"
    cookie: str | None = "valid"
    key: str | None = None


def expected(row: Try) -> int:
    """The status that the request should have."""
    method, _, status = REQUESTS[row.request]
    if row.key is not None:
        return status if row.key == "valid" else 401
    if row.cookie in (None, "twice"):
        return 401
    if row.host not in ("own", "localhost:PORT"):
        return 421
    is_read = method in ("GET", "HEAD")
    if row.site is not None:
        is_ours = row.site == "same-origin" or (row.site == "none" and row.request in ("head", "download"))
    else:
        is_ours = row.mark == "1" and (is_read or row.origin == "own")
    return status if is_ours and row.cookie == "valid" else 401


@dataclass(frozen=True)
class Client:
    """What the requests are made with."""

    http: httpx2.AsyncClient
    own_host: str
    cookie: str
    key: str
    file_id: str

    async def send(self, row: Try) -> tuple[int, httpx2.Headers]:
        """The status and headers of the response."""
        method, path, _ = REQUESTS[row.request]
        headers = self._headers(row)
        body = BODIES.get(method)
        request = self.http.build_request(
            method, path.replace("FILE", self.file_id), headers=headers, **({"json": body} if body else {})
        )
        response = await self.http.send(request, stream=True)
        try:
            return response.status_code, response.headers
        finally:
            await response.aclose()

    def _headers(self, row: Try) -> list[tuple[str, str]]:
        port = self.own_host.partition(":")[2]
        host = self.own_host if row.host == "own" else row.host.replace("PORT", port)
        origin = f"http://{host}" if row.origin == "own" else (row.origin or "").replace("HOST", host)
        name = f"ac_session_{port}"
        cookies = {
            "valid": f"other=1; {name}={self.cookie}", "unknown": f"{name}={'x' * 43}",
            "twice": f"{name}={'x' * 43}; {name}={self.cookie}",
        }  # fmt: skip
        keys = {"valid": f"Bearer {self.key}", "wrong": "Bearer ac_live_wrong", "not bearer": "Basic eDp5"}
        values = {
            "Host": host, "Sec-Fetch-Site": row.site, "X-AC-UI": row.mark, "Origin": origin or None,
            "Cookie": row.cookie and cookies[row.cookie], "Authorization": row.key and keys[row.key],
        }  # fmt: skip
        return [(key, value) for key, value in values.items() if value is not None]


@pytest_asyncio.fixture(loop_scope="session")
async def client(api: Api, bed: Bed, alice: Account) -> AsyncIterator[Client]:
    file_id = await alice.upload()
    async with httpx2.AsyncClient(base_url=api.base_url, trust_env=False, verify=False) as http:
        page = {"Sec-Fetch-Site": "same-origin"}
        answer = await http.post("/session", json={"apiKey": alice.key}, headers=page)
        assert answer.status_code == 204, answer.text
        cookie = answer.headers["set-cookie"].partition(";")[0].partition("=")[2]
        http.cookies.clear()
        yield Client(http, api.base_url.removeprefix("http://"), cookie, alice.key, file_id)


async def check(client: Client, rows: Sequence[Try]) -> None:
    wrong = list[str]()
    for row in rows:
        status, headers = await client.send(row)
        if status != expected(row):
            wrong.append(f"{row}: {status} instead of {expected(row)}")
        # Only a request with a key may be read by other pages; credentials are never allowed.
        assert ("access-control-allow-origin" in headers) == (row.key is not None), row
        assert "access-control-allow-credentials" not in headers, row
    assert wrong == []


ROWS = [Try(*values) for values in itertools.product(REQUESTS, SITES, MARKS, ORIGINS, HOSTS, COOKIES, KEYS)]


async def test_rows_that_say_what_the_rule_is_for(client: Client) -> None:
    await check(
        client,
        [
            Try(request, site, mark, origin, host)
            for request in REQUESTS
            for site, mark, origin, host in (
                ("same-origin", None, None, "own"),  # our page
                ("same-origin", None, "own", "localhost:PORT"),
                ("cross-site", None, "http://evil.example", "own"),  # any page of the internet
                ("cross-site", "1", "own", "own"),
                ("same-site", "1", "http://127.0.0.1:1", "own"),  # another port of this machine
                (
                    None,
                    None,
                    "http://127.0.0.1:1",
                    "own",
                ),  # the same, where the browser sends no Sec-Fetch-Site
                (None, "1", "http://127.0.0.1:1", "own"),
                (None, None, None, "own"),  # a form, an image, a link
                (None, "1", "own", "own"),  # our page on plain http
                (None, "1", None, "own"),
                ("none", None, None, "own"),  # a URL that is typed
                ("same-origin", None, None, "evil.example"),  # DNS rebinding
                (None, "1", "own", "evil.example"),
            )
        ],
    )


async def test_a_sample_of_all_requests(client: Client) -> None:
    await check(client, random.Random(17).sample(ROWS, SAMPLE))


@pytest.mark.long
async def test_all_requests(client: Client) -> None:
    # What a wrong or a valid key decides does not depend on the rest, which is tried with one host only.
    rows = [row for row in ROWS if row.key is None or (row.host, row.cookie) == ("own", "valid")]
    assert len(rows) > 20_000
    await check(client, rows)


async def test_a_preflight_allows_no_cookie_and_no_mark(client: Client) -> None:
    for path in (f"{V1}/account", f"{V1}/events", "/session", f"{V1}/cli-logins"):
        answer = await client.http.request(
            "OPTIONS", path,
            headers={
                "Origin": "http://evil.example", "Access-Control-Request-Method": "GET",
                "Access-Control-Request-Headers": "x-ac-ui",
            },
        )  # fmt: skip
        assert "access-control-allow-credentials" not in answer.headers, path
        allowed = answer.headers.get("access-control-allow-headers", "")
        assert "x-ac-ui" not in allowed and "*" not in allowed, path
        assert path != "/session" or "access-control-allow-origin" not in answer.headers


async def test_login_and_logout_over_the_same_table(client: Client) -> None:
    for site, mark, origin, host in itertools.product(SITES, MARKS, ORIGINS, HOSTS):
        row = Try("post", site, mark, origin, host, cookie=None)
        headers = dict(client._headers(row))
        if host not in ("own", "localhost:PORT"):
            status = 421
        elif site is not None:
            status = 204 if site == "same-origin" else 403
        else:
            status = 204 if (mark, origin) == ("1", "own") else 403
        answer = await client.http.request("DELETE", "/session", headers=headers)
        client.http.cookies.clear()
        assert answer.status_code == status, row


async def test_an_event_stream_of_a_session_ends_with_the_session(
    client: Client, bed: Bed, alice: Account
) -> None:
    pool: Pool = bed.pool
    row = Try("stream", "same-origin")
    assert (await client.send(row))[0] == 200
    await pool.execute("DELETE FROM sessions WHERE account_id = $1", alice.id)
    assert (await client.send(row))[0] == 401
