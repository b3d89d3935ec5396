"""The two kinds of object store, a folder and an S3 bucket, and what differs between them."""

import contextlib
import glob
import os
import re
import stat
from collections.abc import AsyncIterator, Generator
from datetime import timedelta
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

import obstore
from obstore.store import LocalStore, ObjectStore, S3Store

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

CHUNK_BYTES = 1024 * 1024
_STAGED = re.compile(r"#\d+$")  # the end of the names that obstore gives to files while they are written


class Backend(Protocol):
    """One kind of object store. Its methods raise obstore's exceptions."""

    max_put_bytes: int | None
    """The size of the largest blob that a client may send directly to the store; None: it cannot send any."""

    @property
    def store(self) -> ObjectStore: ...

    def read(self, key: str, start: int, end: int | None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`, in chunks."""
        ...

    async def signed_put(self, key: str, life: timedelta) -> str | None:
        """A URL that accepts a PUT of `key` during `life`; None: this kind of store has no such URLs."""
        ...

    def remove_unfinished(self, key: str) -> None:
        """Remove what interrupted writes of `key` left, where the store keeps that. Blocks."""
        ...

    def staged(self, older_than: timedelta) -> list[str]:
        """Paths of the files that interrupted writes left; empty where the store removes them itself. Blocks."""
        ...

    def remove_staged(self, older_than: timedelta) -> int:
        """Remove the files that interrupted writes left; returns how many. Blocks."""
        ...


def backend(storage_url: str) -> Backend:
    """The object store at `file:///folder` or `s3://bucket/prefix?endpoint=…&region=…`."""
    parts = urlsplit(storage_url)
    if parts.scheme == "s3":
        options = dict(parse_qsl(parts.query))
        return S3(parts.netloc, unquote(parts.path).strip("/"), **options)
    return Local(Path(unquote(parts.path)))


class Local:
    """An object store that is a folder."""

    max_put_bytes: int | None = None

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._store = LocalStore(folder, automatic_cleanup=True)

    @property
    def store(self) -> ObjectStore:
        return self._store

    async def read(self, key: str, start: int, end: int | None) -> AsyncIterator[bytes]:
        # One request for each chunk: obstore's stream reads in small pieces, which takes ten times as long.
        size = (await obstore.head_async(self._store, key))["size"]
        end = size if end is None else min(end, size)
        while start < end:
            chunk = await obstore.get_range_async(
                self._store, key, start=start, end=min(start + CHUNK_BYTES, end)
            )
            yield bytes(chunk)
            start += len(chunk)

    async def signed_put(self, key: str, life: timedelta) -> str | None:  # noqa: ARG002
        return None

    def remove_unfinished(self, key: str) -> None:
        blob = self._folder / key
        for path in blob.parent.glob(f"{glob.escape(blob.name)}#*"):
            if _STAGED.search(path.name):
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty, or gone
            for folder in blob.parents[: key.count("/")]:
                folder.rmdir()

    def staged(self, older_than: timedelta) -> list[str]:
        return list(_staged(self._folder, time() - older_than.total_seconds()))

    def remove_staged(self, older_than: timedelta) -> int:
        return _remove_old(self._folder, time() - older_than.total_seconds())


class S3:
    """An object store that is an S3 bucket, or a prefix in one. obstore takes the credentials from the environment."""

    max_put_bytes: int | None = 5 * 1024**3  # of one PUT, and of one copy

    def __init__(self, bucket: str, prefix: str, *, endpoint: str = "", region: str = "") -> None:
        config: S3Config = {}
        if endpoint:
            config["endpoint"] = endpoint
        if region:
            config["region"] = region
        # A slow reader may take long for a body, so only a connection on which nothing arrives times out soon.
        client: ClientConfig = {"timeout": timedelta(days=1), "read_timeout": timedelta(seconds=60)}
        if endpoint.startswith("http://"):
            client["allow_http"] = True
        retries: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
        self._store = S3Store(
            bucket, prefix=prefix or None, config=config, client_options=client, retry_config=retries
        )

    @property
    def store(self) -> ObjectStore:
        return self._store

    async def read(self, key: str, start: int, end: int | None) -> AsyncIterator[bytes]:
        if end is not None:
            result = await obstore.get_async(self._store, key, options={"range": (start, end)})
        elif start:
            result = await obstore.get_async(self._store, key, options={"range": {"offset": start}})
        else:
            result = await obstore.get_async(self._store, key)
        async for chunk in result.stream(min_chunk_size=CHUNK_BYTES):
            yield bytes(chunk)

    async def signed_put(self, key: str, life: timedelta) -> str | None:
        return await obstore.sign_async(self._store, "PUT", key, life)

    def remove_unfinished(self, key: str) -> None:
        pass  # a lifecycle rule of the bucket aborts incomplete multipart uploads

    def staged(self, older_than: timedelta) -> list[str]:  # noqa: ARG002
        return []

    def remove_staged(self, older_than: timedelta) -> int:  # noqa: ARG002
        return 0  # a lifecycle rule of the bucket aborts incomplete multipart uploads


def _staged(folder: Path, before: float) -> Generator[str]:
    """Staged files below `folder` that nobody wrote to since `before`."""
    for path in folder.rglob("*#*"):
        try:
            if _STAGED.search(path.name) and path.lstat().st_mtime < before:
                yield str(path)
        except OSError:
            continue


def _remove_old(folder: Path, before: float) -> int:
    """Remove staged files and empty folders below `folder` that nobody wrote to since `before`."""
    removed = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    removed += _remove_old(Path(entry.path), before)
                    if status.st_mtime < before:
                        Path(entry.path).rmdir()
                elif _STAGED.search(entry.name) and status.st_mtime < before:
                    Path(entry.path).unlink()
                    removed += 1
            except OSError:
                continue  # the folder is not empty, or the entry is gone: another process writes there
    return removed
