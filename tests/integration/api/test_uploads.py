"""The three-step upload, byte for byte, and every way it is refused."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from agentcontainer.ids import new_id

from .conftest import Account, Bed, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOSTILE_NAMES = [
    "résumé – 履歴書.csv", 'quo"te.csv', "semi;colon.csv", "a'b.csv", "$(reboot).csv", "-rf",
    " spaces  inside ", "%2e%2e%2f",
    "..hidden", "...", "a" * 255, "é" * 127, "🙂.txt", "CON", "<img src=x onerror=alert(1)>.html",
]  # fmt: skip


async def prepare(account: Account, **fields: Any) -> dict[str, Any]:
    body = {"filename": "data.csv", "contentType": "text/csv"} | fields
    answer = await account.post("/api/v1/uploads/prepare", body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def put(
    bed: Bed, prepared: dict[str, Any], content: Any = b"a,b\n", **headers: str
) -> tuple[int, dict[str, Any]]:
    url = prepared["uploadUrl"]
    answer = await bed.http.request(
        prepared["method"], url, content=content, headers=prepared["headers"] | headers
    )
    return answer.status_code, error_of(answer) if answer.status_code != 200 else {}


def stored(bed: Bed, upload_id: str) -> list[Path]:
    folder = bed.blob_folder / "uploads" / upload_id
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_file_is_uploaded_in_three_steps_byte_for_byte(bed: Bed, alice: Account) -> None:
    content = os.urandom(700_000)
    prepared = await prepare(alice, contentType="application/octet-stream", sizeBytes=len(content))
    assert prepared["method"] == "PUT"
    assert prepared["headers"] == {"content-type": "application/octet-stream"}
    assert prepared["uploadId"].startswith("upl_")
    life = datetime.fromisoformat(prepared["expiresAt"]).timestamp() - time.time()
    assert 3590 < life < 3601

    assert await put(bed, prepared, content) == (200, {})
    completed = await alice.post("/api/v1/uploads/complete", {"uploadId": prepared["uploadId"]})

    assert completed.status_code == 201
    file = completed.json()
    assert file["id"] == file["fileId"]
    assert file == {
        "id": file["id"],
        "fileId": file["id"],
        "filename": "data.csv",
        "contentType": "application/octet-stream",
        "sizeBytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "taskId": None,
        "path": None,
        "createdAt": file["createdAt"],
    }
    key = await bed.pool.fetchval("SELECT blob_key FROM files WHERE id = $1", file["id"])
    assert b"".join([chunk async for chunk in bed.blobs.stream(key)]) == content
    assert (await alice.get("/api/v1/account")).json()["fileStorage"]["usedBytes"] == len(content)


async def test_no_key_is_needed_to_send_the_bytes_and_none_helps_without_a_signature(
    bed: Bed, alice: Account
) -> None:
    prepared = await prepare(alice)
    bare = prepared["uploadUrl"].partition("?")[0]
    answer = await alice.send("PUT", bare, content=b"x", headers=prepared["headers"])
    assert answer.status_code == 403
    assert stored(bed, prepared["uploadId"]) == []
    assert await put(bed, prepared) == (200, {})


async def test_an_empty_file_can_be_uploaded(bed: Bed, alice: Account) -> None:
    prepared = await prepare(alice, sizeBytes=0)
    assert await put(bed, prepared, b"") == (200, {})
    completed = await alice.post("/api/v1/uploads/complete", {"uploadId": prepared["uploadId"]})
    assert completed.json()["sizeBytes"] == 0


@pytest.mark.parametrize("filename", HOSTILE_NAMES)
async def test_unusual_file_names_are_accepted(alice: Account, filename: str) -> None:
    file_id = await alice.upload(b"x", filename)
    assert await alice.bed.pool.fetchval("SELECT filename FROM files WHERE id = $1", file_id) == filename


@pytest.mark.parametrize("sent", ["text/plain", "text/csv; charset=utf-8", "TEXT/CSV", ""])
async def test_another_content_type_is_refused(bed: Bed, alice: Account, sent: str) -> None:
    prepared = await prepare(alice)
    status, error = await put(bed, prepared, **{"content-type": sent})
    assert (status, error["code"]) == (403, "forbidden")
    assert "text/csv" in error["message"]
    assert stored(bed, prepared["uploadId"]) == []


@pytest.mark.parametrize(("size", "status"), [(9, 400), (0, 400), (11, 413), (2_000_000, 413)])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["announced", "chunked"])
async def test_bytes_other_than_declared_are_refused(
    bed: Bed, alice: Account, size: int, status: int, is_chunked: bool
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, size, 4096):
            yield b"x" * min(4096, size - start)

    prepared = await prepare(alice, sizeBytes=10)
    received_status, error = await put(bed, prepared, chunks() if is_chunked else b"x" * size)
    assert received_status == status
    assert error["code"] == ("payload_too_large" if status == 413 else "validation_error")
    assert "10" in error["message"]
    assert stored(bed, prepared["uploadId"]) == []
    completed = await alice.post("/api/v1/uploads/complete", {"uploadId": prepared["uploadId"]})
    assert completed.status_code == 409
    assert await put(bed, prepared, b"x" * 10) == (200, {})


async def test_a_body_announced_too_large_is_refused_before_it_is_read(bed: Bed, alice: Account) -> None:
    prepared = await prepare(alice)

    async def unread() -> AsyncIterator[bytes]:
        pytest.fail("the body was read")
        yield b""

    length = str(bed.settings.max_upload_bytes + 1)
    status, error = await put(bed, prepared, unread(), **{"content-length": length})
    assert (status, error["code"]) == (413, "payload_too_large")


async def test_an_undeclared_size_is_bounded_too(bed: Bed, alice: Account) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    prepared = await prepare(alice)
    status, error = await put(bed, prepared, endless())
    assert (status, error["code"]) == (413, "payload_too_large")
    assert stored(bed, prepared["uploadId"]) == []


async def test_forged_and_changed_urls_are_refused(bed: Bed, alice: Account, bob: Account) -> None:
    prepared, other = await prepare(alice), await prepare(bob)
    query = {name: values[0] for name, values in parse_qs(urlsplit(prepared["uploadUrl"]).query).items()}
    later = str(int(query["expires"]) + 1)
    other_signature = parse_qs(urlsplit(other["uploadUrl"]).query)["signature"][0]
    for upload_id, expires, signature in (
        (prepared["uploadId"], query["expires"], "0" * 64),
        (prepared["uploadId"], query["expires"], query["signature"].upper()),
        (prepared["uploadId"], query["expires"], query["signature"] + "%0A"),
        (prepared["uploadId"], query["expires"], ""),
        (prepared["uploadId"], query["expires"], "%C3%A9" * 64),
        (prepared["uploadId"], query["expires"], "a" * 5000),
        (prepared["uploadId"], later, query["signature"]),
        (prepared["uploadId"], "", query["signature"]),
        (prepared["uploadId"], "x", query["signature"]),
        (prepared["uploadId"], "9" * 5000, query["signature"]),
        (other["uploadId"], query["expires"], query["signature"]),
        (prepared["uploadId"], query["expires"], other_signature),
        (new_id("upl"), query["expires"], query["signature"]),
    ):
        url = f"/uploads/{upload_id}?expires={expires}&signature={signature}"
        answer = await bed.http.put(url, content=b"x", headers=prepared["headers"])
        assert answer.status_code == 403, url
        assert error_of(answer)["code"] == "forbidden"
    assert stored(bed, prepared["uploadId"]) == stored(bed, other["uploadId"]) == []
    assert (await bed.http.get(prepared["uploadUrl"])).status_code == 405


async def test_an_expired_url_is_refused(bed: Bed, alice: Account) -> None:
    prepared = await prepare(alice)
    expires = str(int(time.time()) - 1)
    signature = bed.vault.sign("upload", prepared["uploadId"], expires)
    expired = prepared | {
        "uploadUrl": f"/uploads/{prepared['uploadId']}?expires={expires}&signature={signature}"
    }
    status, error = await put(bed, expired)
    assert (status, error["code"]) == (403, "forbidden")
    assert "expired" in error["message"]


async def test_a_repeat_replaces_and_leaves_one_blob(bed: Bed, alice: Account) -> None:
    prepared = await prepare(alice)
    await put(bed, prepared, b"first")
    await asyncio.gather(*(put(bed, prepared, b"second") for _ in range(5)))
    assert len(stored(bed, prepared["uploadId"])) == 1
    completed = await alice.post("/api/v1/uploads/complete", {"uploadId": prepared["uploadId"]})
    assert completed.json()["sha256"] == hashlib.sha256(b"second").hexdigest()


async def test_bytes_cannot_change_after_completion(bed: Bed, alice: Account) -> None:
    prepared = await prepare(alice)
    await put(bed, prepared, b"first")
    completed = await alice.post("/api/v1/uploads/complete", {"uploadId": prepared["uploadId"]})
    status, error = await put(bed, prepared, b"other")
    assert (status, error["code"]) == (409, "conflict")
    [blob] = stored(bed, prepared["uploadId"])
    assert blob.read_bytes() == b"first"
    again = await alice.post("/api/v1/uploads/complete", {"uploadId": prepared["uploadId"]})
    assert (again.status_code, again.json()) == (201, completed.json())


async def test_concurrent_completions_make_one_file(bed: Bed, alice: Account) -> None:
    prepared = await prepare(alice)
    await put(bed, prepared)
    body = {"uploadId": prepared["uploadId"]}
    completed = await asyncio.gather(*(alice.post("/api/v1/uploads/complete", body) for _ in range(8)))
    assert len({answer.json()["id"] for answer in completed}) == 1
    assert await bed.pool.fetchval("SELECT count(*) FROM files WHERE account_id = $1", alice.id) == 1


async def test_completing_before_the_bytes_arrived_is_409(alice: Account) -> None:
    prepared = await prepare(alice)
    answer = await alice.post("/api/v1/uploads/complete", {"uploadId": prepared["uploadId"]})
    assert answer.status_code == 409
    assert "uploadUrl" in error_of(answer)["message"]
