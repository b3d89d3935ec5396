"""The contract of object stores, checked on a local folder and on S3 over HTTP."""

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.errors import NotFound, PayloadTooLarge, Unavailable
from tests.s3_server import CREDENTIALS, S3Server, s3_server

pytestmark = pytest.mark.xdist_group("blobs")  # one S3 server for all of them
MB = 1024 * 1024


@dataclass(frozen=True)
class Store:
    """A store; `leftovers` lists what it actually contains."""

    blobs: Blobs
    leftovers: Callable[[], list[str]]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as started:
        yield started


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    if request.param == "local":
        blobs = Blobs(f"file://{tmp_path}/a%20folder")
        return Store(blobs, lambda: [str(path) for path in tmp_path.rglob("*") if path.is_file()])
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    server: S3Server = request.getfixturevalue("server")
    bucket = f"bucket-{secrets.token_hex(4)}"
    return Store(Blobs(server.storage_url(bucket)), lambda: server.keys(bucket))


async def chunks(content: bytes, size: int = 65536) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def read(blobs: Blobs, key: str, *limits: int) -> bytes:
    return b"".join([chunk async for chunk in blobs.stream(key, *limits)])


@pytest.mark.parametrize("size", [0, 1, 65536, 5 * MB, 11 * MB + 1])
async def test_blobs_are_read_as_they_were_written(store: Store, size: int) -> None:
    content = os.urandom(size)
    blob = await store.blobs.put("uploads/a/b", chunks(content), size)
    assert (blob.key, blob.size_bytes) == ("uploads/a/b", size)
    assert blob.sha256 == hashlib.sha256(content).hexdigest()
    assert await read(store.blobs, "uploads/a/b") == content
    assert await store.blobs.digest("uploads/a/b") == blob
    head = await store.blobs.head("uploads/a/b")
    assert head.size_bytes == size
    assert abs(datetime.now(UTC) - head.modified_at) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("start", "end"), [(0, 1), (1, 2), (0, 3 * MB), (MB - 1, MB + 1), (3 * MB - 1, 3 * MB), (7, 9 * MB)]
)
async def test_a_range_of_a_blob_can_be_read(store: Store, start: int, end: int) -> None:
    content = os.urandom(3 * MB)
    await store.blobs.put("a", chunks(content), len(content))
    assert await read(store.blobs, "a", start, end) == content[start:end]
    assert await read(store.blobs, "a", start) == content[start:]


async def test_a_missing_blob_is_not_found(store: Store) -> None:
    for attempt in (
        read(store.blobs, "uploads/no"), read(store.blobs, "uploads/no", 1, 2), store.blobs.head("uploads/no"),
        store.blobs.digest("uploads/no"), store.blobs.copy("uploads/no", "x"),
    ):  # fmt: skip
        with pytest.raises(NotFound):
            await attempt
    await store.blobs.delete("uploads/no")
    assert [page async for page in store.blobs.pages("uploads")] == []


@pytest.mark.parametrize("limit", [0, 9, 10 * MB])
async def test_too_many_bytes_are_refused_and_nothing_is_stored(store: Store, limit: int) -> None:
    with pytest.raises(PayloadTooLarge):
        await store.blobs.put("a", chunks(bytes(limit + 1)), limit)
    assert store.leftovers() == []


async def test_an_interrupted_write_stores_nothing(store: Store) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(11 * MB)
        raise ConnectionResetError("the client went away")

    with pytest.raises(ConnectionResetError):
        await store.blobs.put("a", broken(), 100 * MB)
    assert store.leftovers() == []


async def test_an_interrupted_write_keeps_the_old_blob(store: Store) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"new"
        raise ConnectionResetError

    await store.blobs.put("a", chunks(b"old"), 3)
    with pytest.raises(ConnectionResetError):
        await store.blobs.put("a", broken(), 100)
    assert await read(store.blobs, "a") == b"old"


async def test_an_unfinished_blob_does_not_exist(store: Store) -> None:
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield bytes(11 * MB)
        await go_on.wait()

    putting = asyncio.create_task(store.blobs.put("a/b", slow(), 100 * MB))
    await asyncio.sleep(0.3)
    with pytest.raises(NotFound):
        await store.blobs.head("a/b")
    assert [page async for page in store.blobs.pages("a")] == []
    go_on.set()
    await putting
    assert (await store.blobs.head("a/b")).size_bytes == 11 * MB


async def test_concurrent_writers_of_one_key_do_not_mix(store: Store) -> None:
    contents = [bytes([number]) * (6 * MB) for number in range(4)]
    await asyncio.gather(*(store.blobs.put("a", chunks(content), 6 * MB) for content in contents))
    assert await read(store.blobs, "a") in contents


async def test_many_blobs_are_written_and_read_concurrently(store: Store) -> None:
    contents = {f"uploads/{number}/x": os.urandom(100_000 + number) for number in range(20)}
    await asyncio.gather(*(store.blobs.put(key, chunks(content), MB) for key, content in contents.items()))
    read_contents = await asyncio.gather(*(read(store.blobs, key) for key in contents))
    assert read_contents == list(contents.values())


async def test_delete_is_repeatable_and_final(store: Store) -> None:
    await store.blobs.put("a/b", chunks(b"x"), 1)
    await store.blobs.delete("a/b")
    await store.blobs.delete("a/b")
    with pytest.raises(NotFound):
        await read(store.blobs, "a/b")
    assert store.leftovers() == []


async def test_pages_hold_what_lies_below_a_prefix(store: Store) -> None:
    below = {f"uploads/{number}/x" for number in range(30)}
    for key in (*below, "uploads2/x", "outputs/x"):
        await store.blobs.put(key, chunks(b"123"), 3)
    listed = [blob async for page in store.blobs.pages("uploads") for blob in page]
    assert sorted(blob.key for blob in listed) == sorted(below)
    assert {blob.size_bytes for blob in listed} == {3}
    assert all(abs(datetime.now(UTC) - blob.modified_at) < timedelta(minutes=1) for blob in listed)


async def test_a_copy_is_independent_of_its_source(store: Store) -> None:
    await store.blobs.put("a", chunks(b"one"), 3)
    await store.blobs.copy("a", "b/c")
    await store.blobs.put("a", chunks(b"two"), 3)
    assert await read(store.blobs, "b/c") == b"one"


async def test_a_client_may_write_where_the_store_signs_urls(store: Store) -> None:
    url = await store.blobs.signed_put("incoming/a", timedelta(seconds=60))
    assert (url is None) == (store.blobs.max_put_bytes is None)
    if url is None:
        return
    async with httpx2.AsyncClient(trust_env=False, verify=False) as http:
        headers = {"Content-Type": "text/csv"}
        assert (await http.put(url, content=b"a,b", headers=headers)).status_code == 200
    assert await read(store.blobs, "incoming/a") == b"a,b"
    assert (await store.blobs.head("incoming/a")).content_type == "text/csv"


async def test_s3_that_cannot_be_reached_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        blobs = Blobs(f"s3://bucket?endpoint=http://127.0.0.1:{nobody.getsockname()[1]}&region=eu-central-1")
        for attempt in (blobs.put("a", chunks(b"x"), 1), read(blobs, "a"), blobs.delete("a")):
            with pytest.raises(Unavailable, match="object store"):
                await attempt


async def test_a_missing_bucket_is_unavailable(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    blobs = Blobs(f"s3://no-such-bucket?endpoint={server.endpoint}&region=eu-central-1")
    with pytest.raises(Unavailable):
        await blobs.put("a", chunks(b"x"), 1)


async def test_each_write_to_s3_is_signed_with_the_checksum_of_its_body(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So the store refuses bytes that were changed on the way. A multipart upload is signed part by part."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    bodies: list[tuple[bytes, str]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                headers = {
                    name.lower(): value for name, value in re.findall(r"^(\S+): (.*)\r$", head, re.MULTILINE)
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if head.startswith("PUT"):
                    bodies.append((body, headers["x-amz-content-sha256"]))
                tag = f"{'Complete' if 'uploadId=' in head else 'Initiate'}MultipartUploadResult"
                xml = f"<{tag}><UploadId>1</UploadId><ETag>x</ETag></{tag}>"
                writer.write(
                    f'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: {len(xml)}\r\n\r\n{xml}'.encode()
                )

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        blobs = Blobs(f"s3://bucket/prefix?endpoint=http://127.0.0.1:{port}&region=eu-central-1")
        content = secrets.token_bytes(6 * MB)
        blob = await blobs.put("key", chunks(content), len(content))
    assert blob.sha256 == hashlib.sha256(content).hexdigest()
    assert sorted(len(body) for body, _ in bodies) == [MB, 5 * MB]
    for body, signed in bodies:
        assert signed == hashlib.sha256(body).hexdigest()
