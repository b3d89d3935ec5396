"""The pages of the dashboard, as the API serves them."""

import gzip
from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio

from agentcontainer.api.app import create_app
from agentcontainer.api.dashboard import API_ROOTS, Dashboard, upload_origins
from agentcontainer.domain.files.blobs import Blobs

from .conftest import Account, Bed, error_of
from .test_files import account_with

pytestmark = pytest.mark.asyncio(loop_scope="session")
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SCRIPT = b"export const answer = 42;" * 100
FILES = {
    "index.html": b"<!doctype html><title>Here</title>",
    "assets/index-1.js": SCRIPT,
    "icon.svg": b"<svg/>",
}


async def client_of(bed: Bed, files: dict[str, bytes]) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(bed.settings, bed.pool, bed.vault, bed.blobs)
    app.state.dashboard = Dashboard(files, ("https://s3.example.com",))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://testserver", verify=False) as http:
        yield http


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def pages(bed: Bed) -> AsyncIterator[httpx2.AsyncClient]:
    """The API with a small dashboard."""
    async for http in client_of(bed, FILES):
        yield http


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def unbuilt(bed: Bed) -> AsyncIterator[httpx2.AsyncClient]:
    """The API in a checkout in which `make ui` was not run."""
    async for http in client_of(bed, {}):
        yield http


@pytest.mark.parametrize(
    "path", ["/", "/login", "/tasks/tsk_1", "/cli/approve?login=clg_1", "/sessions", "/a%00b"]
)
async def test_every_other_path_is_the_page(pages: httpx2.AsyncClient, path: str) -> None:
    answer = await pages.get(path, headers=HTML)
    assert (answer.status_code, answer.content) == (200, FILES["index.html"])
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"


async def test_the_page_may_run_its_own_scripts_only(pages: httpx2.AsyncClient) -> None:
    headers = (await pages.get("/", headers=HTML)).headers
    policy = dict(part.partition(" ")[::2] for part in headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self' blob:",
        "font-src": "'self'", "connect-src": "'self' https://s3.example.com", "frame-src": "'self'",
        "form-action": "'self'", "base-uri": "'none'", "frame-ancestors": "'none'", "object-src": "'none'",
        "require-trusted-types-for": "'script'", "trusted-types": "'none'",
    }  # fmt: skip
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("root", sorted(API_ROOTS))
async def test_nothing_below_a_root_of_the_api_is_the_page(pages: httpx2.AsyncClient, root: str) -> None:
    answer = await pages.get(f"/{root}/unknown/path", headers=HTML)
    assert "Here" not in answer.text
    if root != "wake":  # wake links have a page of their own
        expected = "forbidden" if root == "preview" else "not_found"  # the link of a preview is not valid
        assert error_of(answer)["code"] == expected


async def test_programs_get_the_errors_of_the_api(pages: httpx2.AsyncClient) -> None:
    for options in ({}, {"headers": {"Accept": "application/json"}}, {"headers": {"Accept": "*/*"}}):
        assert error_of(await pages.get("/tasks", **options))["code"] == "not_found"
    assert error_of(await pages.post("/tasks", headers=HTML))["code"] == "not_found"
    assert error_of(await pages.get("/assets/other.js", headers=HTML))["code"] == "not_found"


async def test_files_are_compressed_and_kept(pages: httpx2.AsyncClient) -> None:
    compressed = await pages.get("/assets/index-1.js", headers={"Accept-Encoding": "gzip"})
    assert compressed.headers["content-encoding"] == "gzip"
    assert int(compressed.headers["content-length"]) == len(gzip.compress(SCRIPT, 9))
    assert compressed.content == SCRIPT
    assert compressed.headers["content-type"] == "text/javascript; charset=utf-8"
    assert compressed.headers["cache-control"] == "public, max-age=31536000, immutable"
    plain = await pages.get("/assets/index-1.js", headers={"Accept-Encoding": "identity"})
    assert (plain.content, plain.headers["vary"]) == (SCRIPT, "Accept-Encoding")
    assert (await pages.get("/icon.svg")).headers["content-type"] == "image/svg+xml"
    tag = plain.headers["etag"]
    for sent in (tag, f'"other", W/{tag}'):
        again = await pages.get("/assets/index-1.js", headers={"If-None-Match": sent})
        assert (again.status_code, again.content) == (304, b"")
    assert (await pages.get("/assets/index-1.js", headers={"If-None-Match": '"other"'})).status_code == 200
    assert (await pages.head("/", headers=HTML)).content == b""


async def test_the_pages_are_nobodys_to_read(pages: httpx2.AsyncClient) -> None:
    answer = await pages.get(
        "/", headers=HTML | {"Origin": "https://evil.example", "Authorization": "Bearer x"}
    )
    assert "access-control-allow-origin" not in answer.headers


async def test_a_checkout_without_pages_says_how_to_build_them(unbuilt: httpx2.AsyncClient) -> None:
    answer = await unbuilt.get("/", headers=HTML)
    assert answer.status_code == 404
    assert "make ui" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_without_the_dashboard_there_is_no_page_and_no_link(bed: Bed, alice: Account) -> None:
    async with account_with(bed, dashboard=False) as account:
        answer = await account.bed.http.get("/", headers=HTML)
        assert error_of(answer)["code"] == "not_found"
        assert (await account.dispatch())["url"] is None


async def test_uploads_may_go_to_the_store_and_to_the_public_url(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    store = Blobs("s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=eu-west-1")
    assert await upload_origins(bed.settings, store) == ("http://testserver", "http://127.0.0.1:9000")
    assert await upload_origins(bed.settings, bed.blobs) == ("http://testserver",)
