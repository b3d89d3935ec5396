"""Previews: signed links that show a file in a browser, and nothing else."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

import httpx2
import pytest

from agentcontainer.api.dashboard import content_security_policy
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files import previews, service
from tests.api_process import SECRET_KEY

from .conftest import Account, Bed, error_of
from .test_files import account_with
from .test_sessions import logged_in

pytestmark = pytest.mark.asyncio(loop_scope="session")

HTML = b"<!doctype html><title>Report</title><script>document.title = 'ran'</script>"
SANDBOX = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'self'; webrtc 'block'"
)
WITH_SCRIPTS = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'; webrtc 'block'"
)


async def preview_of(account: Account, file_id: str) -> dict[str, str]:
    answer = await account.get(f"/api/v1/files/{file_id}/preview")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def show(bed: Bed, url: str, **headers: str) -> httpx2.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return await bed.http.get(url, headers=names)


@pytest.mark.parametrize(
    ("filename", "content_type", "kind", "shown_as"),
    [
        ("a.html", "text/html", "html", "text/html"),
        ("a.html", "Text/HTML; charset=utf-8", "html", "Text/HTML; charset=utf-8"),
        ("a.xhtml", "application/xhtml+xml", "html", "application/xhtml+xml"),
        ("a.svg", "image/svg+xml", "svg", "image/svg+xml"),
        ("a.png", "image/png", "image", "image/png"),
        ("a.pdf", "application/pdf", "pdf", "application/pdf"),
        ("a.csv", "text/csv", "text", "text/plain; charset=utf-8"),
        ("a.js", "text/javascript", "text", "text/plain; charset=utf-8"),
        ("a.json", "application/geo+json", "text", "text/plain; charset=utf-8"),
        ("a.xml", "application/xml", "text", "text/plain; charset=utf-8"),
    ],
)
async def test_each_kind_of_file_is_shown_with_its_own_type_and_without_scripts(
    bed: Bed, alice: Account, filename: str, content_type: str, kind: str, shown_as: str
) -> None:
    preview = await preview_of(alice, await alice.upload(HTML, filename, content_type))
    assert (preview["kind"], preview["contentType"]) == (kind, shown_as)
    answer = await show(bed, preview["url"])
    assert (answer.status_code, answer.content) == (200, HTML)
    assert answer.headers["content-type"] == shown_as
    assert answer.headers["content-security-policy"] == SANDBOX
    assert answer.headers["content-disposition"].startswith("inline; ")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in answer.headers and "set-cookie" not in answer.headers
    assert (preview["scriptsUrl"] is not None) == (kind == "html")
    if preview["scriptsUrl"] is not None:
        in_frame = await show(bed, preview["scriptsUrl"], sec_fetch_dest="iframe")
        assert in_frame.headers["content-security-policy"] == WITH_SCRIPTS
        alone = await show(bed, preview["scriptsUrl"], sec_fetch_dest="document")
        assert error_of(alone)["code"] == "forbidden"


async def test_what_a_browser_cannot_show_has_no_link(alice: Account) -> None:
    for content_type in (
        "application/zip",
        "application/octet-stream",
        "multipart/x-mixed-replace",
        "video/mp4",
    ):
        preview = await preview_of(alice, await alice.upload(b"x", "a.bin", content_type))
        assert (preview["kind"], preview["contentType"]) == ("none", content_type)
        assert preview["url"] is preview["scriptsUrl"] is preview["expiresAt"] is None


async def test_the_name_in_the_link_may_be_anything(bed: Bed, alice: Account) -> None:
    name = "Bericht 50 % „Süd“ #1?;\u202efdp.html"
    preview = await preview_of(alice, await alice.upload(HTML, name, "text/html"))
    assert preview["url"].endswith("/" + quote(name, safe=""))
    answer = await show(bed, preview["url"])
    assert answer.content == HTML
    assert "\u202e" not in answer.headers["content-disposition"]
    other = preview["url"].rpartition("/")[0]
    assert (await show(bed, f"{other}/x")).content == HTML
    assert (await show(bed, f"{other}/a/b")).status_code == (await show(bed, other)).status_code == 404


async def test_a_link_needs_no_key_ignores_cookies_and_is_bound_to_its_file_and_account(
    bed: Bed, alice: Account, bob: Account
) -> None:
    file_id, bobs_id = (
        await alice.upload(HTML, "a.html", "text/html"),
        await bob.upload(HTML, "a.html", "text/html"),
    )
    assert (await bob.get(f"/api/v1/files/{file_id}/preview")).status_code == 404
    assert (await bed.http.get(f"/api/v1/files/{file_id}/preview")).status_code == 401
    url = (await preview_of(alice, file_id))["url"]
    browser = await logged_in(bed, bob)
    assert (await browser.get(urlsplit(url).path)).content == HTML, "somebody else's cookie"
    token = url.split("/")[-2]
    mode_and_expiry, signature = token.split("-")[1:]
    forged = [
        f"{bobs_id}-{mode_and_expiry}-{signature}",
        f"{file_id}-s{mode_and_expiry[1:]}-{signature}",
        f"{file_id}-{mode_and_expiry}0-{signature}",
        f"{file_id}-{mode_and_expiry}-{'0' * 64}",
        "x",
    ]
    for wrong in forged:
        owner = await logged_in(bed, alice)
        refused = await owner.get(f"/preview/{wrong}/a.html")
        assert (refused.status_code, error_of(refused)["code"]) == (403, "forbidden"), wrong
    assert error_of(await bed.http.get(f"{url}?x=1"))["code"] == "validation_error"


async def test_a_link_ends_after_five_minutes_with_its_file_and_with_its_account(
    bed: Bed, alice: Account
) -> None:
    file_id = await alice.upload(HTML, "a.html", "text/html")
    preview = await preview_of(alice, file_id)
    expires_at = datetime.fromisoformat(preview["expiresAt"])
    assert (
        timedelta(minutes=4, seconds=50) < expires_at - datetime.now(UTC) <= timedelta(minutes=5, seconds=5)
    )
    file = await service.get(bed.pool, alice.id, file_id)
    old = previews.token_of(
        bed.vault, file, alice.id, datetime.now(UTC) - timedelta(seconds=2), has_scripts=False
    )
    assert (await show(bed, f"/preview/{old}/a.html")).status_code == 403
    await bed.pool.execute("UPDATE accounts SET suspended_at = now() WHERE id = $1", alice.id)
    assert (await show(bed, preview["url"])).status_code == 403
    await bed.pool.execute("UPDATE accounts SET suspended_at = NULL WHERE id = $1", alice.id)
    assert (await show(bed, preview["url"])).status_code == 200
    assert (await alice.send("DELETE", f"/api/v1/files/{file_id}")).status_code == 204
    assert (await show(bed, preview["url"])).status_code in (403, 404)


async def test_links_of_an_older_secret_key_work_during_its_rotation(bed: Bed, alice: Account) -> None:
    file_id = await alice.upload(HTML, "a.html", "text/html")
    file = await service.get(bed.pool, alice.id, file_id)
    at = datetime.now(UTC) + timedelta(minutes=1)
    token = previews.token_of(Vault(SECRET_KEY), file, alice.id, at, has_scripts=False)
    both = Vault("n" * 40 + "\n" + SECRET_KEY)
    assert (await previews.find(bed.pool, both, token)).file.id == file_id
    with pytest.raises(Exception, match="not valid, or has expired"):
        await previews.find(bed.pool, Vault("n" * 40), token)


async def test_the_head_of_a_large_file_is_shown_by_range(bed: Bed, alice: Account) -> None:
    content = bytes(range(256)) * 2000
    preview = await preview_of(alice, await alice.upload(content, "a.log", "text/plain"))
    assert preview["sizeBytes"] == len(content)
    head = await show(bed, preview["url"], Range="bytes=0-999")
    assert (head.status_code, head.content) == (206, content[:1000])
    assert head.headers["content-range"] == f"bytes 0-999/{len(content)}"
    assert head.headers["content-security-policy"] == SANDBOX
    again = await show(bed, preview["url"], If_None_Match=head.headers["etag"])
    assert again.status_code == 304
    headers = (await bed.http.head(preview["url"])).headers
    assert headers["content-length"] == str(len(content))


async def test_links_begin_with_the_origin_of_the_page_that_asks(bed: Bed, alice: Account) -> None:
    file_id = await alice.upload(HTML, "a.html", "text/html")
    path = f"/api/v1/files/{file_id}/preview"
    browser = await logged_in(bed, alice)
    assert (await browser.get(path)).json()["url"].startswith("http://testserver/preview/")
    browser.headers |= {"Host": "localhost:9999"}
    assert (await browser.get(path)).json()["url"].startswith("http://localhost:9999/preview/")


async def test_with_an_origin_of_their_own_previews_are_shown_there_only(bed: Bed, alice: Account) -> None:
    async with account_with(bed, preview_url="https://previews.example") as account:
        preview = await preview_of(account, await account.upload(HTML, "a.html", "text/html"))
        assert preview["url"].startswith("https://previews.example/preview/")
        path = urlsplit(preview["url"]).path
        refused = await account.bed.http.get(path)
        assert (refused.status_code, error_of(refused)["code"]) == (421, "misdirected_request")
        answer = await account.bed.http.get(path, headers={"Host": "Previews.Example:8443"})
        assert answer.content == HTML
        assert "frame-ancestors 'self' http://testserver;" in answer.headers["content-security-policy"]
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        policy = content_security_policy((), "https://previews.example")
        assert "frame-src https://previews.example; " in policy
        assert "img-src 'self' blob: https://previews.example; " in policy
        page = await logged_in(account.bed, account)
        page.headers |= {"Host": "previews.example"}
        there = await page.get("/api/v1/account")
        assert error_of(there)["code"] == "misdirected_request", "no cookie counts at that origin"
