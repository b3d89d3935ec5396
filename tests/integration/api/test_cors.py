"""What pages of other origins may send and read, and HEAD requests."""

import pytest

from .conftest import Account, Bed
from .test_uploads import prepare

pytestmark = pytest.mark.asyncio(loop_scope="session")

ORIGIN = {"Origin": "https://page.example"}
ALLOW = "access-control-allow-"


def asking(method: str, *headers: str) -> dict[str, str]:
    asked = {"Access-Control-Request-Headers": ",".join(headers)} if headers else {}
    return {**ORIGIN, "Access-Control-Request-Method": method, **asked}


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/v1/tasks", "GET"),
        ("/api/v1/provider-keys/openai", "DELETE, PUT"),
        ("/api/v1/files/file_0/content", "GET, HEAD"),
    ],
)
async def test_api_routes_answer_preflights_without_a_key(bed: Bed, path: str, methods: str) -> None:
    answer = await bed.http.options(path, headers=asking("GET", "authorization", "x-ac-ui"))
    assert answer.status_code == 204
    assert answer.headers[f"{ALLOW}origin"] == "*"
    assert answer.headers[f"{ALLOW}methods"] == methods
    assert answer.headers[f"{ALLOW}headers"] == "authorization, content-type, idempotency-key, last-event-id"
    assert f"{ALLOW}credentials" not in answer.headers


@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/v1/nothing", 404), ("/healthz", 405), ("/wake/wkl_0", 405), ("/api/v1/tasks", 405)],
)
async def test_other_routes_and_plain_options_are_refused(bed: Bed, path: str, status: int) -> None:
    headers = ORIGIN if path == "/api/v1/tasks" else asking("GET")
    answer = await bed.http.options(path, headers=headers)
    assert answer.status_code == status
    assert f"{ALLOW}origin" not in answer.headers


async def test_only_answers_to_requests_with_authorization_can_be_read(bed: Bed, alice: Account) -> None:
    answer = await alice.get("/api/v1/account", headers=ORIGIN)
    assert (answer.status_code, answer.headers[f"{ALLOW}origin"]) == (200, "*")
    assert "x-request-id" in answer.headers["access-control-expose-headers"]
    refused = await bed.http.get(
        "/api/v1/account", headers={**ORIGIN, "Authorization": "Bearer ac_live_wrong"}
    )
    assert (refused.status_code, refused.headers[f"{ALLOW}origin"]) == (401, "*")
    for path in (
        "/api/v1/account",
        "/api/v1/openapi.yaml",
        "/healthz",
        "/api/v1/tasks/tsk_0/events?stream=true",
    ):
        answer = await bed.http.get(path, headers=ORIGIN)
        assert f"{ALLOW}origin" not in answer.headers, path
    assert f"{ALLOW}credentials" not in answer.headers


async def test_a_page_of_any_origin_may_use_an_upload_url(bed: Bed, alice: Account) -> None:
    prepared = await prepare(alice, sizeBytes=4)
    url = prepared["uploadUrl"]
    asked = await bed.http.options(url, headers=asking("PUT", "content-type"))
    assert (asked.status_code, asked.headers[f"{ALLOW}headers"]) == (204, "content-type")
    assert "PUT" in asked.headers[f"{ALLOW}methods"]
    wrong = await bed.http.put(url, content=b"a,b\n", headers={**ORIGIN, "content-type": "text/plain"})
    assert (wrong.status_code, wrong.headers[f"{ALLOW}origin"]) == (403, "*"), "a page can show why"
    sent = await bed.http.put(url, content=b"a,b\n", headers={**ORIGIN, **prepared["headers"]})
    assert (sent.status_code, sent.headers[f"{ALLOW}origin"]) == (200, "*")
    assert f"{ALLOW}credentials" not in sent.headers


async def test_head_answers_the_headers_of_get(bed: Bed, alice: Account, bob: Account) -> None:
    for path in ("/healthz", "/readyz"):
        assert (await bed.http.head(path)).status_code == 200
    file_id = await alice.upload(b"a,b\n")
    url = f"/api/v1/files/{file_id}/content"
    whole = await alice.get(url)
    answer = await alice.send("HEAD", url, headers={"Range": "bytes=1-2"})
    assert (answer.status_code, answer.content) == (200, b"")
    kept = ("content-length", "content-type", "etag", "content-disposition", "accept-ranges")
    assert [answer.headers[name] for name in kept] == [whole.headers[name] for name in kept]
    assert (
        await alice.send("HEAD", url, headers={"If-None-Match": whole.headers["etag"]})
    ).status_code == 304
    assert (await alice.send("HEAD", "/api/v1/files/file_0/content")).status_code == 404
    assert (await bob.send("HEAD", url)).status_code == 404
    assert (await bed.http.head(url)).status_code == 401
