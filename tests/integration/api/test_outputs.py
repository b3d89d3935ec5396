"""Output files: the list, and downloads of the stored bytes."""

import hashlib
import os
import re
from urllib.parse import unquote

import pytest

from .conftest import Account, Bed, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

DISPOSITION = re.compile(
    r'attachment; filename="(?P<plain>[ !#-$&-\[\]-~]*)"; filename\*=UTF-8\'\'(?P<exact>[A-Za-z0-9!#$&+.^_`|~%-]*)'
)
HOSTILE_NAMES = [
    'a"; filename="b.html', "a\\b.txt", "été 履歴書.pdf", "a%0d%0aSet-Cookie: x=1.txt",
    "semi;colon, comma.txt", "'\"`.txt",
    "\u202egpj.exe", "a\u2066\u202e.exe", "-rf", ".htaccess", "con", "a" * 255, "🙂" * 50, "utf-8''x.txt",
]  # fmt: skip


async def test_outputs_are_listed_with_all_their_fields(bed: Bed, alice: Account) -> None:
    task_id = (await alice.dispatch())["id"]
    assert (await alice.get(f"/api/v1/tasks/{task_id}/files")).json()["data"] == []
    output_ids = await alice.finish(task_id, {"report.md": b"# Rows", "chart.png": b"\x89PNG"})
    await bed.pool.execute(
        "UPDATE files SET output_name = 'chart', is_partial = true WHERE id = $1", output_ids[1]
    )

    page = (await alice.get(f"/api/v1/tasks/{task_id}/files?order=asc")).json()

    report, chart = page["data"]
    assert report == {
        "id": output_ids[0],
        "filename": "report.md",
        "contentType": "text/plain",
        "sizeBytes": 6,
        "createdAt": report["createdAt"],
        "outputName": None,
        "path": None,
        "partial": False,
    }
    assert (chart["outputName"], chart["partial"]) == ("chart", True)
    first = (await alice.get(f"/api/v1/tasks/{task_id}/files?limit=1")).json()
    assert [file["id"] for file in first["data"]] == [output_ids[1]]
    rest = (await alice.get(f"/api/v1/tasks/{task_id}/files?cursor={first['pageInfo']['nextCursor']}")).json()
    assert [file["id"] for file in rest["data"]] == [output_ids[0]]
    assert rest["pageInfo"]["hasMore"] is False


async def test_input_files_are_not_listed(alice: Account) -> None:
    task_id = (await alice.dispatch(inputFileIds=[await alice.upload()]))["id"]
    assert (await alice.get(f"/api/v1/tasks/{task_id}/files")).json()["data"] == []


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
async def test_an_output_is_downloaded_byte_for_byte(alice: Account, size: int) -> None:
    content = os.urandom(size)
    task_id = (await alice.dispatch())["id"]
    [file_id] = await alice.finish(task_id, {"data.bin": content}, content_type="application/octet-stream")
    answer = await alice.get(f"/api/v1/tasks/{task_id}/files/{file_id}")
    assert answer.status_code == 200
    assert answer.content == content
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-length"] == str(size)
    assert answer.headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"


@pytest.mark.parametrize("is_range", [False, True])
@pytest.mark.parametrize(
    ("filename", "content_type"),
    [
        ("page.html", "text/html"), ("drawing.svg", "image/svg+xml"), ("page.xhtml", "application/xhtml+xml"),
        ("claims-to-be.png", "text/html; charset=utf-7"), ("a.pdf", "application/pdf"), ("script", "text/javascript"),
    ],
)  # fmt: skip
async def test_outputs_are_always_served_as_attachments(
    alice: Account, filename: str, content_type: str, is_range: bool
) -> None:
    task_id = (await alice.dispatch())["id"]
    [file_id] = await alice.finish(
        task_id, {filename: b"<script>alert(1)</script>"}, content_type=content_type
    )
    request_headers = {"Range": "bytes=0-7"} if is_range else {}
    for path in (f"/api/v1/tasks/{task_id}/files/{file_id}", f"/api/v1/files/{file_id}/content"):
        answer = await alice.get(path, headers=request_headers)
        assert answer.status_code == (206 if is_range else 200)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
        assert answer.headers["content-disposition"].startswith("attachment; ")


@pytest.mark.parametrize("filename", HOSTILE_NAMES)
async def test_a_file_name_cannot_break_out_of_its_header(alice: Account, filename: str) -> None:
    task_id = (await alice.dispatch())["id"]
    [file_id] = await alice.finish(task_id, {filename: b"x"})
    answer = await alice.get(f"/api/v1/tasks/{task_id}/files/{file_id}")
    header = answer.headers["content-disposition"]
    match = DISPOSITION.fullmatch(header)
    assert match, header
    assert unquote(match["exact"], errors="strict") == filename.replace("\u202e", "_").replace("\u2066", "_")
    assert "set-cookie" not in answer.headers


async def test_an_invalid_content_type_is_not_sent(bed: Bed, alice: Account) -> None:
    task_id = (await alice.dispatch())["id"]
    [file_id] = await alice.finish(task_id, {"a.txt": b"x"}, content_type="text/html\r\nX-Evil: 1")
    answer = await alice.get(f"/api/v1/tasks/{task_id}/files/{file_id}")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "x-evil" not in answer.headers


async def test_missing_bytes_are_reported_before_the_response_starts(bed: Bed, alice: Account) -> None:
    task_id = (await alice.dispatch())["id"]
    [file_id] = await alice.finish(task_id, {"a.txt": b"x"})
    await bed.blobs.delete(f"outputs/{file_id}")
    answer = await alice.get(f"/api/v1/tasks/{task_id}/files/{file_id}")
    assert answer.status_code == 404
    assert error_of(answer)["code"] == "not_found"
