"""CONTRACT §4, a test a sentence: uploads and files."""

import hashlib
from dataclasses import replace
from typing import Any

import httpx
import pytest

from agentcontainer.api.app import create_app
from tests.api_bed import Account, Bed, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

V1 = "/api/v1"
CONTENT = b"region,total\nnorth,40\n"


async def prepare(account: Account, **fields: Any) -> httpx.Response:
    body = {"filename": "sales.csv", "contentType": "text/csv", **fields}
    return await account.post(f"{V1}/uploads/prepare", body)


async def send(bed: Bed, prepared: dict[str, Any], content: bytes, **headers: str) -> httpx.Response:
    method, url = prepared["method"], prepared["uploadUrl"]
    return await bed.http.request(method, url, content=content, headers=prepared["headers"] | headers)


class TestUpload:
    async def test_in_three_steps(self, api_bed: Bed, alice: Account) -> None:
        answer = await prepare(alice, sizeBytes=len(CONTENT))
        prepared = answer.json()
        assert answer.status_code == 201
        assert set(prepared) == {"uploadId", "uploadUrl", "method", "headers", "expiresAt"}
        assert (await send(api_bed, prepared, CONTENT)).is_success
        done = await alice.post(f"{V1}/uploads/complete", {"uploadId": prepared["uploadId"]})
        assert done.status_code == 201
        file = done.json()
        assert {"id", "fileId", "filename", "contentType", "sizeBytes", "sha256", "createdAt"} <= set(file)
        assert file["id"] == file["fileId"]
        assert (file["filename"], file["contentType"], file["sizeBytes"]) == (
            "sales.csv",
            "text/csv",
            len(CONTENT),
        )
        assert file["sha256"] == hashlib.sha256(CONTENT).hexdigest()

    async def test_the_local_store_uses_put(self, alice: Account) -> None:
        assert (await prepare(alice)).json()["method"] == "PUT"

    async def test_a_store_that_asks_for_post_returns_a_storage_id_which_complete_needs(
        self, api_bed: Bed, alice: Account
    ) -> None:
        settings = api_bed.settings.model_copy(update={"upload_method": "post"})
        app = create_app(settings, api_bed.pool, api_bed.vault, api_bed.blobs)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://testserver"
        ) as posting:
            bed = replace(api_bed, settings=settings, http=posting)
            account = Account(bed, alice.id, alice.key)
            prepared = (await prepare(account)).json()
            assert prepared["method"] == "POST"
            storage_id = (await send(bed, prepared, CONTENT)).json()["storageId"]
            body = {"uploadId": prepared["uploadId"]}
            assert (await account.post(f"{V1}/uploads/complete", body)).status_code == 400
            done = await account.post(f"{V1}/uploads/complete", body | {"storageId": storage_id})
        assert (done.status_code, done.json()["sizeBytes"]) == (201, len(CONTENT))

    async def test_the_url_is_signed(self, api_bed: Bed, alice: Account) -> None:
        prepared = (await prepare(alice)).json()
        url, _, signature = prepared["uploadUrl"].rpartition("signature=")
        forged = url + "signature=" + ("0" if signature[0] != "0" else "1") + signature[1:]
        assert (await send(api_bed, prepared | {"uploadUrl": forged}, CONTENT)).status_code == 403

    async def test_the_url_expires(self, api_bed: Bed, alice: Account) -> None:
        prepared = (await prepare(alice)).json()
        old = prepared["uploadUrl"].replace("expires=", "expires=1")
        assert (await send(api_bed, prepared | {"uploadUrl": old}, CONTENT)).status_code == 403

    async def test_the_url_has_a_single_purpose(self, api_bed: Bed, alice: Account) -> None:
        first, second = (await prepare(alice)).json(), (await prepare(alice)).json()
        moved = first["uploadUrl"].replace(first["uploadId"], second["uploadId"])
        assert (await send(api_bed, first | {"uploadUrl": moved}, CONTENT)).status_code == 403
        assert (await api_bed.http.get(first["uploadUrl"])).status_code == 405

    async def test_the_url_is_bound_to_the_content_type(self, api_bed: Bed, alice: Account) -> None:
        prepared = (await prepare(alice)).json()
        other = dict.fromkeys(prepared["headers"], "text/html")
        assert (await send(api_bed, prepared, CONTENT, **other)).status_code == 403

    @pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x"])
    async def test_the_url_is_bound_to_the_size(self, api_bed: Bed, alice: Account, content: bytes) -> None:
        prepared = (await prepare(alice, sizeBytes=len(CONTENT))).json()
        assert (await send(api_bed, prepared, content)).status_code in (400, 413)
        done = await alice.post(f"{V1}/uploads/complete", {"uploadId": prepared["uploadId"]})
        assert (done.status_code, error_of(done)["code"]) == (409, "conflict")

    @pytest.mark.parametrize("filename", ["a/b", "a\\b", "\0", "a\n", ".", "..", "", "ä" * 128])
    async def test_a_filename_is_a_name_never_a_path(self, alice: Account, filename: str) -> None:
        answer = await prepare(alice, filename=filename)
        assert (answer.status_code, error_of(answer)["details"][0]["path"]) == (400, "filename")


class TestFiles:
    async def test_files_are_listed_and_read(self, alice: Account) -> None:
        file_id = await alice.upload(CONTENT)
        [listed] = (await alice.get(f"{V1}/files")).json()["data"]
        assert listed["id"] == file_id
        assert (await alice.get(f"{V1}/files/{file_id}")).json() == listed

    async def test_the_content_byte_for_byte(self, alice: Account) -> None:
        answer = await alice.get(f"{V1}/files/{await alice.upload(CONTENT)}/content")
        assert (answer.status_code, answer.content) == (200, CONTENT)
        assert answer.headers["content-type"].startswith("text/csv")

    async def test_a_range_of_the_content(self, alice: Account) -> None:
        path = f"{V1}/files/{await alice.upload(CONTENT)}/content"
        answer = await alice.get(path, headers={"Range": "bytes=2-5"})
        assert (answer.status_code, answer.content) == (206, CONTENT[2:6])
        assert answer.headers["content-range"] == f"bytes 2-5/{len(CONTENT)}"

    async def test_an_etag_saves_a_download(self, alice: Account) -> None:
        path = f"{V1}/files/{await alice.upload(CONTENT)}/content"
        etag = (await alice.get(path)).headers["etag"]
        again = await alice.get(path, headers={"If-None-Match": etag})
        assert (again.status_code, again.content) == (304, b"")

    async def test_a_file_is_deleted(self, alice: Account) -> None:
        file_id = await alice.upload(CONTENT)
        assert (await alice.send("DELETE", f"{V1}/files/{file_id}")).status_code == 204
        for path in (f"{V1}/files/{file_id}", f"{V1}/files/{file_id}/content"):
            assert (await alice.get(path)).status_code == 404

    async def test_not_while_a_live_task_uses_it(self, alice: Account) -> None:
        file_id = await alice.upload(CONTENT)
        task = await alice.dispatch(inputFileIds=[file_id])
        refused = await alice.send("DELETE", f"{V1}/files/{file_id}")
        assert (refused.status_code, error_of(refused)["code"]) == (409, "conflict")
        await alice.finish(task["id"])
        assert (await alice.send("DELETE", f"{V1}/files/{file_id}")).status_code == 204

    async def test_not_while_an_agent_version_uses_it(self, alice: Account) -> None:
        file_id = await alice.upload(CONTENT)
        await alice.post(f"{V1}/agents", {"name": "x", "referenceFileIds": [file_id]})
        assert (await alice.send("DELETE", f"{V1}/files/{file_id}")).status_code == 409
