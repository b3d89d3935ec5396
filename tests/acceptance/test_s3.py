"""A task with S3 as the object store: the client uploads to S3 directly, and API and runner read from it."""

import os
from typing import Any

import httpx2
import pytest

from agentcontainer.domain.files.installation import INSTALLATION_ID_KEY
from tests.s3_server import S3Server

from .conftest import S3_BUCKET as BUCKET
from .conftest import Client, Platform, finish, script
from .relay import Relay


@pytest.fixture
def s3_client(s3_platform: Platform) -> Client:
    return s3_platform.account()


def prepare(client: Client, **fields: Any) -> dict[str, Any]:
    body = {"filename": "a.csv", "contentType": "text/csv"} | fields
    answer = client.http.post("/uploads/prepare", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def send(prepared: dict[str, Any], content: bytes, **headers: str) -> None:
    answer = httpx2.request(
        prepared["method"],
        prepared["uploadUrl"],
        content=content,
        headers=prepared["headers"] | headers,
        trust_env=False,
        verify=False,
    )
    assert answer.status_code == 200, answer.text


def complete(client: Client, prepared: dict[str, Any]) -> httpx2.Response:
    return client.http.post("/uploads/complete", json={"uploadId": prepared["uploadId"]})


def keys_of(s3: S3Server, prepared: dict[str, Any]) -> list[str]:
    return [key for key in s3.keys(BUCKET) if prepared["uploadId"] in key]


def test_input_in_output_out_byte_for_byte(s3_client: Client, s3: S3Server) -> None:
    content = os.urandom(300_000)
    file_id = s3_client.upload("in.bin", content)
    task = s3_client.run(
        script({"bash": "cp task_files/in.bin out.bin"}, finish("out.bin")), inputFileIds=[file_id]
    )
    assert (task["status"], task["completion"]) == ("finished", "complete"), task
    assert s3_client.outputs(task["id"]) == {"out.bin": content}
    [output] = s3_client.http.get(f"/tasks/{task['id']}/files").json()["data"]
    for path in (f"/tasks/{task['id']}/files/{output['id']}", f"/files/{output['id']}/content"):
        headers = s3_client.http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "sandbox; default-src 'none'"
        assert headers["content-disposition"].startswith("attachment; ")
    answer = s3_client.http.get(f"/files/{file_id}/content", headers={"Range": "bytes=1000-1999"})
    assert (answer.status_code, answer.content) == (206, content[1000:2000])
    assert all(key.startswith("installation/one/") for key in s3.keys(BUCKET))
    assert s3_client.http.delete(f"/files/{file_id}").status_code == 204
    assert s3_client.http.get(f"/files/{file_id}/content").status_code == 404
    assert {key.split("/")[2] for key in s3.keys(BUCKET)} - {INSTALLATION_ID_KEY} == {"outputs"}


def test_the_upload_goes_to_s3_itself(s3_client: Client, s3: S3Server, s3_relay: Relay) -> None:
    prepared = prepare(s3_client, sizeBytes=3)
    assert prepared["method"] == "PUT"
    assert prepared["uploadUrl"].startswith(f"http://127.0.0.1:{s3_relay.listens}/")
    assert complete(s3_client, prepared).status_code == 409
    send(prepared, b"a,b")
    done = complete(s3_client, prepared)
    assert done.status_code == 201
    assert complete(s3_client, prepared).json() == done.json()
    assert len(keys_of(s3, prepared)) == 1


def test_bytes_sent_after_completion_are_ignored(s3_client: Client, s3: S3Server) -> None:
    prepared = prepare(s3_client)
    send(prepared, b"a,b")
    file = complete(s3_client, prepared).json()
    send(prepared, b"evil")
    assert complete(s3_client, prepared).json() == file
    assert s3_client.http.get(f"/files/{file['id']}/content").content == b"a,b"


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [(b"a,b,c", "text/csv", 413), (b"a", "text/csv", 400), (b"a,b", "text/html", 400)],
)
def test_other_bytes_than_prepared_are_refused_and_removed(
    s3_client: Client, s3: S3Server, content: bytes, content_type: str, status: int
) -> None:
    prepared = prepare(s3_client, sizeBytes=3)
    send(prepared, content, **{"content-type": content_type})
    assert complete(s3_client, prepared).status_code == status
    assert keys_of(s3, prepared) == []
    send(prepared, b"a,b")
    assert complete(s3_client, prepared).status_code == 201


def test_the_quota_holds_at_completion(s3_client: Client, s3: S3Server) -> None:
    first, second = prepare(s3_client), prepare(s3_client)
    for prepared in (first, second):
        send(prepared, bytes(600_000))
    assert complete(s3_client, first).status_code == 201
    refused = complete(s3_client, second)
    assert refused.status_code == 413
    assert "quota" in refused.json()["error"]["message"]
    assert [key for key in keys_of(s3, second) if "/uploads/" in key] == []
