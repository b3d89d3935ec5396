"""Downloads that resume after a cut, are compared with their checksum, and appear only when they are whole."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from agentcontainer_client import _retry
from agentcontainer_client._async import concurrency
from agentcontainer_client._async.transport import AsyncTransport, is_worth_retrying, retry_after_of
from agentcontainer_client._calls import Call
from agentcontainer_client._sources import OnProgress
from agentcontainer_client._targets import Receiving, target_of
from agentcontainer_client.errors import AgentContainerError, ConnectionFailed


async def download(
    transport: AsyncTransport,
    path: str,
    filename: str,
    target: str | os.PathLike[str],
    on_progress: OnProgress | None = None,
) -> Path:
    """Write a file of the API to `target`, a path or a folder. Returns where it is.

    Raises:
        ChecksumMismatch: it arrived damaged; nothing is written.
    """
    receiving = Receiving(target_of(target, filename), on_progress)
    try:
        retry = 0
        while True:
            size = receiving.size
            try:
                await _receive(transport, path, receiving)
                return receiving.finish()
            except AgentContainerError as error:
                retry = 0 if receiving.size > size else retry
                if retry >= transport.options.max_retries or not is_worth_retrying(error):
                    raise
                seconds = _retry.pause(retry, retry_after_of(error))
            await concurrency.sleep(seconds)
            retry += 1
    finally:
        receiving.discard()


async def _receive(transport: AsyncTransport, path: str, receiving: Receiving) -> None:
    headers = {"Accept-Encoding": "identity"}
    if receiving.size and receiving.etag:
        headers |= {"Range": f"bytes={receiving.size}-", "If-Range": receiving.etag}
    async with transport.open(Call(method="GET", path=path, headers=headers)) as response:
        if response.status_code != 206:
            receiving.restart()
            length = response.headers.get("content-length", "")
            receiving.total = int(length) if length.isdecimal() else None
        receiving.etag = response.headers.get("etag")
        async for chunk in response.aiter_bytes():
            receiving.write(chunk)
    if receiving.total is not None and receiving.size < receiving.total:
        raise ConnectionFailed("The connection broke during the download.")


@asynccontextmanager
async def opened(transport: AsyncTransport, path: str) -> AsyncGenerator[httpx2.Response]:
    """The bytes of a file as a response that is read in the block, without retries."""
    async with transport.open(Call(method="GET", path=path)) as response:
        yield response
