"""Files after their upload: lists, ranges, deletion, quotas; and uploads by POST."""

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agentcontainer.api.app import create_app
from agentcontainer.domain.tasks.state import EndReason
from agentcontainer.ids import new_id
from agentcontainer_client import AsyncAgentContainer

from .conftest import Account, Bed, error_of, new_account

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONTENT = bytes(range(256)) * 10


@asynccontextmanager
async def account_with(bed: Bed, **changed: Any) -> AsyncGenerator[Account]:
    """An account of a second application with other settings on the same database and store."""
    settings = bed.settings.model_copy(update=changed)
    app = create_app(settings, bed.pool, bed.vault, bed.blobs)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://testserver", verify=False) as http:
        yield await new_account(replace(bed, settings=settings, http=http))


async def output(account: Account, content: bytes = CONTENT) -> tuple[str, str]:
    """A finished task and its output file."""
    task_id = (await account.dispatch())["id"]
    [file_id] = await account.finish(task_id, {"out.bin": content})
    return task_id, file_id


async def prepare(account: Account, **fields: Any) -> httpx2.Response:
    body = {"filename": "a.bin", "contentType": "text/csv"} | fields
    return await account.post("/api/v1/uploads/prepare", body)


async def send(account: Account, prepared: dict[str, Any], content: Any) -> httpx2.Response:
    return await account.bed.http.request(
        prepared["method"], prepared["uploadUrl"], content=content, headers=prepared["headers"]
    )


async def complete(account: Account, prepared: dict[str, Any], **fields: Any) -> httpx2.Response:
    return await account.post("/api/v1/uploads/complete", {"uploadId": prepared["uploadId"]} | fields)


async def blob_of(bed: Bed, file_id: str) -> Path:
    """Where the file's bytes are stored."""
    return bed.blob_folder / await bed.pool.fetchval("SELECT blob_key FROM files WHERE id = $1", file_id)


# Lists


async def test_the_list_holds_uploads_and_outputs_newest_first(alice: Account, bob: Account) -> None:
    first, second = await alice.upload(b"1"), await alice.upload(b"2")
    task_id, output_id = await output(alice)
    await bob.upload(b"3")

    page = (await alice.get("/api/v1/files")).json()

    assert [(file["id"], file["taskId"]) for file in page["data"]] == [
        (output_id, task_id), (second, None), (first, None),
    ]  # fmt: skip
    of_task = (await alice.get(f"/api/v1/files?taskId={task_id}")).json()
    assert [file["id"] for file in of_task["data"]] == [output_id]
    assert (await bob.get(f"/api/v1/files?taskId={task_id}")).json()["data"] == []


async def test_paging_neither_repeats_nor_skips(alice: Account) -> None:
    ids = [await alice.upload(b"x") for _ in range(5)]
    listed: list[str] = []
    cursor = ""
    while True:
        page = (await alice.get(f"/api/v1/files?limit=2&order=asc{cursor}")).json()
        listed += [file["id"] for file in page["data"]]
        if not page["pageInfo"]["hasMore"]:
            break
        cursor = f"&cursor={page['pageInfo']['nextCursor']}"
    assert listed == ids


async def test_a_file_has_all_its_fields(alice: Account, bob: Account) -> None:
    file_id = await alice.upload(CONTENT)
    file = (await alice.get(f"/api/v1/files/{file_id}")).json()
    assert file == {
        "id": file_id,
        "fileId": file_id,
        "filename": "data.csv",
        "contentType": "text/csv",
        "sizeBytes": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "taskId": None,
        "path": None,
        "createdAt": file["createdAt"],
    }
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        answer = await bob.send(method, f"/api/v1/files/{file_id}{path}")
        nothing = await bob.send(method, f"/api/v1/files/{new_id('file')}{path}")
        assert (answer.status_code, nothing.status_code) == (404, 404)
    assert (await alice.get(f"/api/v1/files/{file_id}")).status_code == 200


# Bytes


@pytest.fixture(params=["files", "tasks"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


async def url_of(account: Account, kind: str, content: bytes = CONTENT) -> str:
    """The URL from which these bytes are downloaded, on one of the two routes."""
    if kind == "files":
        return f"/api/v1/files/{await account.upload(content)}/content"
    task_id, file_id = await output(account, content)
    return f"/api/v1/tasks/{task_id}/files/{file_id}"


async def test_the_whole_file_can_be_downloaded(alice: Account, kind: str) -> None:
    answer = await alice.get(await url_of(alice, kind))
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["content-disposition"].startswith("attachment;")


@pytest.mark.parametrize(
    ("byte_range", "start", "end"),
    [
        ("bytes=0-0", 0, 1), ("bytes=0-99", 0, 100), ("bytes=100-", 100, 2560), ("bytes=-1", 2559, 2560),
        ("bytes=-100", 2460, 2560), ("bytes=-9999", 0, 2560), ("bytes=2559-2559", 2559, 2560),
        ("bytes=2000-999999999999999999", 2000, 2560), ("Bytes= 5-6 ", 5, 7),
    ],
)  # fmt: skip
async def test_a_range_of_a_file_can_be_downloaded(
    alice: Account, kind: str, byte_range: str, start: int, end: int
) -> None:
    answer = await alice.get(await url_of(alice, kind), headers={"Range": byte_range})
    assert (answer.status_code, answer.content) == (206, CONTENT[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/2560"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize(
    "byte_range",
    ["bytes=0-1,5-6", "bytes=5-4", "bytes=-", "bytes=a-b", "lines=0-5", "bytes", "", "bytes=1-2-3",
     "bytes=" + "9" * 30 + "-", "bytes=٣-"],
)  # fmt: skip
async def test_anything_but_one_range_returns_the_whole_file(
    alice: Account, kind: str, byte_range: str
) -> None:
    answer = await alice.get(await url_of(alice, kind), headers={"Range": byte_range.encode()})
    assert (answer.status_code, answer.content) == (200, CONTENT)


@pytest.mark.parametrize(
    ("content", "byte_range"),
    [(CONTENT, "bytes=2560-"), (CONTENT, "bytes=9999-10000"), (CONTENT, "bytes=-0"), (b"", "bytes=0-")],
)
async def test_a_range_beyond_the_file_is_416(
    alice: Account, kind: str, content: bytes, byte_range: str
) -> None:
    answer = await alice.get(await url_of(alice, kind, content), headers={"Range": byte_range})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(content)}"
    assert error_of(answer)["code"] == "range_not_satisfiable"


async def test_a_download_goes_on_only_where_the_file_is_still_the_same(alice: Account, kind: str) -> None:
    url = await url_of(alice, kind)
    etag = (await alice.get(url)).headers["etag"]
    same = await alice.get(url, headers={"Range": "bytes=5-6", "If-Range": etag})
    assert (same.status_code, same.content) == (206, CONTENT[5:7])
    for validator in ('"other"', f"W/{etag}", "Wed, 21 Oct 2026 07:28:00 GMT"):
        complete = await alice.get(url, headers={"Range": "bytes=5-6", "If-Range": validator})
        assert (complete.status_code, complete.content) == (200, CONTENT)


async def test_a_file_the_client_has_cached_is_not_sent_again(alice: Account, kind: str) -> None:
    url = await url_of(alice, kind)
    etag = (await alice.get(url)).headers["etag"]
    for tags in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        answer = await alice.get(url, headers={"If-None-Match": tags, "Range": "bytes=0-1"})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert (await alice.get(url, headers={"If-None-Match": '"other"'})).status_code == 200


# Deletion


async def test_a_deleted_file_is_gone_with_its_bytes(bed: Bed, alice: Account) -> None:
    file_id = await alice.upload(CONTENT)
    blob = await blob_of(bed, file_id)
    assert (await alice.send("DELETE", f"/api/v1/files/{file_id}")).status_code == 204
    for path in (f"/api/v1/files/{file_id}", f"/api/v1/files/{file_id}/content"):
        assert (await alice.get(path)).status_code == 404
    assert (await alice.send("DELETE", f"/api/v1/files/{file_id}")).status_code == 404
    assert (await alice.get("/api/v1/files")).json()["data"] == []
    assert (await alice.get("/api/v1/account")).json()["fileStorage"]["usedBytes"] == 0
    assert not blob.exists()
    body = {"instructions": "x", "inputFileIds": [file_id]}
    assert (await alice.post("/api/v1/agents/agt_standard_data/tasks", body)).status_code == 400


async def test_a_file_of_a_live_task_cannot_be_deleted(bed: Bed, alice: Account) -> None:
    file_id = await alice.upload()
    task_id = (await alice.dispatch(inputFileIds=[file_id]))["id"]
    answer = await alice.send("DELETE", f"/api/v1/files/{file_id}")
    assert answer.status_code == 409
    assert task_id in error_of(answer)["message"]
    assert (await blob_of(bed, file_id)).exists()
    await alice.finish(task_id)
    assert (await alice.send("DELETE", f"/api/v1/files/{file_id}")).status_code == 204


async def test_an_output_can_be_deleted_once_its_task_has_ended(bed: Bed, alice: Account) -> None:
    task_id, file_id = await output(alice)
    assert (await alice.send("DELETE", f"/api/v1/files/{file_id}")).status_code == 204
    assert (await alice.get(f"/api/v1/tasks/{task_id}/files")).json()["data"] == []
    assert (await alice.get(f"/api/v1/tasks/{task_id}/files/{file_id}")).status_code == 404
    task_id, file_id = await output(alice)
    await bed.pool.execute("UPDATE tasks SET status = 'awaiting_input' WHERE id = $1", task_id)
    assert (await alice.send("DELETE", f"/api/v1/files/{file_id}")).status_code == 409


@pytest.mark.parametrize("column", ["reference_file_ids", "skills"])
async def test_a_file_of_an_agent_version_cannot_be_deleted(bed: Bed, alice: Account, column: str) -> None:
    file_id = await alice.upload()
    agent_id, version_id = new_id("agt"), new_id("agv")
    async with bed.pool.acquire() as connection, connection.transaction():
        insert = "INSERT INTO agents (id, account_id, name, current_version_id) VALUES ($1, $2, 'A', $3)"
        await connection.execute(insert, agent_id, alice.id, version_id)
        insert = f"INSERT INTO agent_versions (id, agent_id, number, defaults, {column}) VALUES ($1, $2, 1, '{{}}', $3)"
        await connection.execute(insert, version_id, agent_id, [file_id])
    answer = await alice.send("DELETE", f"/api/v1/files/{file_id}")
    assert answer.status_code == 409
    assert agent_id in error_of(answer)["message"]


async def test_either_a_concurrent_dispatch_or_the_deletion_wins(bed: Bed, alice: Account) -> None:
    for _ in range(10):
        file_id = await alice.upload()
        blob = await blob_of(bed, file_id)
        body = {"instructions": "x", "inputFileIds": [file_id]}
        dispatched, deleted = await asyncio.gather(
            alice.post("/api/v1/agents/agt_standard_data/tasks", body),
            alice.send("DELETE", f"/api/v1/files/{file_id}"),
        )
        assert (dispatched.status_code, deleted.status_code) in ((201, 409), (400, 204))
        assert blob.exists() == (dispatched.status_code == 201)


# Quotas


async def test_the_account_shows_whether_its_quota_is_enforced(bed: Bed) -> None:
    for quota in (0, 1000):
        async with account_with(bed, file_quota_bytes=quota) as account:
            storage = (await account.get("/api/v1/account")).json()["fileStorage"]
            assert storage == {"usedBytes": 0, "quotaBytes": quota, "isEnforced": quota > 0}


async def test_without_a_quota_nothing_is_refused(bed: Bed) -> None:
    async with account_with(bed, file_quota_bytes=0) as account:
        for _ in range(3):
            await account.upload(bytes(200_000))


def assert_names_quota(answer: httpx2.Response, available: int) -> None:
    assert answer.status_code == 413
    error = error_of(answer)
    assert error["code"] == "payload_too_large"
    assert "quota is 1000 bytes" in error["message"] and f"{available} are left" in error["message"]


async def test_the_quota_is_checked_at_each_step(bed: Bed) -> None:
    async def chunks(size: int) -> AsyncIterator[bytes]:
        for _ in range(size):
            yield b"x"

    async with account_with(bed, file_quota_bytes=1000) as account:
        assert_names_quota(await prepare(account, sizeBytes=1001), 1000)
        stored = await account.upload(bytes(600))
        assert_names_quota(await prepare(account, sizeBytes=401), 400)
        prepared = (await prepare(account)).json()
        assert_names_quota(await send(account, prepared, bytes(401)), 400)
        assert_names_quota(await send(account, prepared, chunks(401)), 400)
        folder = bed.blob_folder / "uploads" / prepared["uploadId"]
        assert [path for path in folder.rglob("*") if path.is_file()] == []
        assert (await send(account, prepared, chunks(400))).status_code == 200
        assert (await send(account, prepared, chunks(399))).status_code == 200  # replaces the 400 bytes
        assert (await account.get("/api/v1/account")).json()["fileStorage"]["usedBytes"] == 999
        assert_names_quota(await prepare(account, sizeBytes=2), 1)
        assert (await complete(account, prepared)).status_code == 201
        assert (await account.send("DELETE", f"/api/v1/files/{stored}")).status_code == 204
        await account.upload(bytes(601))
        assert_names_quota(await prepare(account), 0)
        assert (await prepare(account, sizeBytes=0)).status_code == 201


async def test_concurrent_uploads_cannot_oversubscribe(bed: Bed) -> None:
    async with account_with(bed, file_quota_bytes=1000) as account:
        prepared = [(await prepare(account)).json() for _ in range(12)]
        sent = await asyncio.gather(*(send(account, upload, os.urandom(300)) for upload in prepared))
        assert sorted(answer.status_code for answer in sent) == [200] * 3 + [413] * 9
        completed = await asyncio.gather(*(complete(account, upload) for upload in prepared))
        assert sorted(answer.status_code for answer in completed) == [201] * 3 + [409] * 9
        assert (await account.get("/api/v1/account")).json()["fileStorage"]["usedBytes"] == 900
        folders = [bed.blob_folder / "uploads" / upload["uploadId"] for upload in prepared]
        assert len([path for folder in folders for path in folder.rglob("*") if path.is_file()]) == 3


async def test_a_full_quota_never_stops_a_tasks_outputs(bed: Bed) -> None:
    async with account_with(bed, file_quota_bytes=1000) as account:
        task_id = (await account.dispatch())["id"]
        await account.finish(task_id, {"big.bin": bytes(2000)}, reason=EndReason.COMPLETE)
        assert_names_quota(await prepare(account), 0)


# Uploads by POST


async def test_a_posted_upload_needs_its_storage_id(bed: Bed) -> None:
    async with account_with(bed, upload_method="post") as account:
        prepared = (await prepare(account, sizeBytes=3)).json()
        assert prepared["method"] == "POST"
        assert (await complete(account, prepared)).status_code == 409
        assert (await complete(account, prepared, storageId="x")).status_code == 409

        first, second = await send(account, prepared, b"one"), await send(account, prepared, b"two")
        assert (first.status_code, second.status_code) == (201, 201)
        storage_id = second.json()["storageId"]
        assert set(second.json()) == {"storageId"} and storage_id != first.json()["storageId"]

        for fields in ({}, {"storageId": ""}, {"storageId": "é"}, {"storageId": first.json()["storageId"]}):
            answer = await complete(account, prepared, **fields)
            assert answer.status_code == 400, fields
            assert error_of(answer)["details"][0]["path"] == "storageId"
        completed = await complete(account, prepared, storageId=storage_id)
        assert completed.status_code == 201
        content = await account.get(f"/api/v1/files/{completed.json()['id']}/content")
        assert content.content == b"two"
        again = await complete(account, prepared, storageId=storage_id)
        assert (again.status_code, again.json()) == (201, completed.json())


async def test_the_demos_client_uploads_either_way(bed: Bed, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(CONTENT)
    for method in ("put", "post"):
        app = create_app(
            bed.settings.model_copy(update={"upload_method": method}), bed.pool, bed.vault, bed.blobs
        )
        account = await new_account(bed)
        transport = httpx2.ASGITransport(app=app)
        async with AsyncAgentContainer("http://testserver", account.key, transport=transport) as client:
            stored = await client.files.upload(file)
            assert await stored.read() == CONTENT


async def test_the_method_is_the_one_that_was_prepared(bed: Bed, alice: Account) -> None:
    async with account_with(bed, upload_method="post") as account:
        posted = (await prepare(account)).json()
        answer = await send(account, posted | {"method": "PUT"}, b"x")
        assert (answer.status_code, error_of(answer)["code"]) == (403, "forbidden")
    prepared = (await prepare(alice)).json()
    answer = await send(alice, prepared | {"method": "POST"}, b"x")
    assert (answer.status_code, error_of(answer)["code"]) == (403, "forbidden")
    await send(alice, prepared, b"x")
    answer = await complete(alice, prepared, storageId="x")
    assert answer.status_code == 400


# Uses


async def test_uses_of_a_file_are_listed(alice: Account, bob: Account) -> None:
    file_id = await alice.upload()
    path = f"/api/v1/files/{file_id}/uses"
    assert (await alice.get(path)).json() == {"data": [], "isComplete": True, "keptBy": None}
    assert (await bob.get(path)).status_code == 404
    ended = (await alice.dispatch(inputFileIds=[file_id]))["id"]
    await alice.finish(ended)
    task = await alice.dispatch(inputFileIds=[file_id], title="Live")
    uses = (await alice.get(path)).json()
    assert [(use["kind"], use["taskId"], use["status"]) for use in uses["data"]] == [
        ("input", task["id"], "pending"), ("input", ended, "finished"),
    ]  # fmt: skip
    assert uses["keptBy"] == f"task {task['id']}, which has not ended"
    agent = (await alice.post("/api/v1/agents", {"name": "Uses", "referenceFileIds": [file_id]})).json()
    first = (await alice.get(path)).json()["data"][0]
    assert (first["kind"], first["agentId"], first["versionNumber"]) == ("reference_file", agent["id"], 1)
    assert error_of(await alice.send("DELETE", f"/api/v1/files/{file_id}"))["code"] == "conflict"
    skill = await alice.upload(filename="skill.zip")
    await alice.dispatch(skills=[skill])
    assert [use["kind"] for use in (await alice.get(f"/api/v1/files/{skill}/uses")).json()["data"]] == [
        "skill"
    ]


async def test_a_task_has_a_url_where_there_is_a_dashboard(bed: Bed, alice: Account) -> None:
    task = await alice.dispatch()
    assert task["url"] == f"http://testserver/tasks/{task['id']}"
    async with account_with(bed, dashboard=False) as account:
        assert (await account.dispatch())["url"] is None


async def test_the_list_is_filtered_by_kind_type_and_size(alice: Account) -> None:
    _, output_id = await output(alice)
    uploads = {}
    for name, content_type, content in (
        ("a.csv", "text/csv; charset=utf-8", b"a,b\n"),
        ("b.png", "image/png", b"p" * 2000),
        ("c.txt", "text/plain", b"c"),
    ):
        prepared = (await prepare(alice, filename=name, contentType=content_type)).json()
        assert (await send(alice, prepared, content)).status_code == 200
        uploads[name] = (await complete(alice, prepared)).json()["id"]

    async def listed(query: str) -> list[str]:
        answer = await alice.get(f"/api/v1/files?{query}")
        assert answer.status_code == 200, answer.text
        return [file["id"] for file in answer.json()["data"]]

    assert await listed("kind=output") == [output_id]
    assert await listed("kind=upload&order=asc") == list(uploads.values())
    assert await listed("contentType=text/csv") == [uploads["a.csv"]]
    assert await listed("contentType=text/&kind=upload&order=asc") == [uploads["a.csv"], uploads["c.txt"]]
    assert await listed("minSizeBytes=1000&kind=upload") == [uploads["b.png"]]
    assert await listed("contentType=text/%25") == []
    for query in ("kind=all", "contentType=", "minSizeBytes=-1", "minSizeBytes=1e3"):
        assert (await alice.get(f"/api/v1/files?{query}")).status_code == 400
