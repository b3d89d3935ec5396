"""Downloads that resume after a cut, are compared with their checksum, and appear only when they are whole."""

# Written by scripts/render_sync.py from _async. Do not edit.

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from agentcontainer_client import _retry
from agentcontainer_client._calls import Call
from agentcontainer_client._sources import OnProgress
from agentcontainer_client._sync import concurrency
from agentcontainer_client._sync.transport import Transport, is_worth_retrying, retry_after_of
from agentcontainer_client._targets import Receiving, target_of
from agentcontainer_client.errors import AgentContainerError, ConnectionFailed


def download(
    transport: Transport,
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
                _receive(transport, path, receiving)
                return receiving.finish()
            except AgentContainerError as error:
                retry = 0 if receiving.size > size else retry
                if retry >= transport.options.max_retries or not is_worth_retrying(error):
                    raise
                seconds = _retry.pause(retry, retry_after_of(error))
            concurrency.sleep(seconds)
            retry += 1
    finally:
        receiving.discard()


def _receive(transport: Transport, path: str, receiving: Receiving) -> None:
    headers = {"Accept-Encoding": "identity"}
    if receiving.size and receiving.etag:
        headers |= {"Range": f"bytes={receiving.size}-", "If-Range": receiving.etag}
    with transport.open(Call(method="GET", path=path, headers=headers)) as response:
        if response.status_code != 206:
            receiving.restart()
            length = response.headers.get("content-length", "")
            receiving.total = int(length) if length.isdecimal() else None
        receiving.etag = response.headers.get("etag")
        for chunk in response.iter_bytes():
            receiving.write(chunk)
    if receiving.total is not None and receiving.size < receiving.total:
        raise ConnectionFailed("The connection broke during the download.")


@contextmanager
def opened(transport: Transport, path: str) -> Generator[httpx2.Response]:
    """The bytes of a file as a response that is read in the block, without retries."""
    with transport.open(Call(method="GET", path=path)) as response:
        yield response
