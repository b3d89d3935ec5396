"""The control socket against a hostile sandbox: bounded connections, bounded time, and `finish` still works."""

import asyncio
import contextlib
import io
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from agentcontainer.domain.tasks.model import Output, OutputPolicy
from agentcontainer.domain.tasks.outputs import Declared
from agentcontainer.runner import control
from agentcontainer.runner.control import Control, Finish

FINISH = {"completion": "complete", "message": "Done.", "files": [], "outputs": [], "cwd": "/workspace/task"}


class Bed:
    """A control socket that accepts whatever meets the policy `any`."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "control.sock"
        self.refusals: list[str] = []
        self.accepted: list[Finish] = []
        self.control = Control(OutputPolicy("any"), 10, self._collect, self._finish, self.refusals.append)

    async def _collect(self, _cwd: str, _declared: list[Declared]) -> list[Output]:
        return []

    async def _finish(self, finish: Finish) -> bool:
        self.accepted.append(finish)
        return True

    async def post(self, body: bytes, **headers: str) -> tuple[int, str]:
        connector = aiohttp.UnixConnector(str(self.socket))
        async with (
            aiohttp.ClientSession(connector=connector) as client,
            client.post("http://control/finish", data=io.BytesIO(body), headers=headers) as answer,
        ):
            return answer.status, (await answer.json())["message"]


@pytest.fixture
async def bed(short_dir: Path) -> AsyncIterator[Bed]:
    bed = Bed(short_dir)
    await bed.control.start(bed.socket)
    yield bed
    await bed.control.close()


async def test_connections_beyond_the_limit_are_cut_and_a_later_finish_is_heard(bed: Bed) -> None:
    held: list[asyncio.StreamWriter] = []
    alive = 0
    for _ in range(200):
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_unix_connection(str(bed.socket))
            held.append(writer)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.2)
                continue
            alive += 1
    assert alive <= control.MAX_CONNECTIONS
    for writer in held:
        writer.close()
    await asyncio.sleep(0.1)
    assert await bed.post(json.dumps(FINISH).encode()) == (200, "Accepted. The task is finished.")


async def test_a_silent_request_does_not_keep_finish_from_others(bed: Bed) -> None:
    _, writer = await asyncio.open_unix_connection(str(bed.socket))
    writer.write(b"POST /finish HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    assert (await bed.post(json.dumps(FINISH).encode()))[0] == 200
    writer.close()


@pytest.mark.parametrize(
    ("body", "headers", "hint"),
    [
        (b"{}", {"Content-Encoding": "gzip"}, "compressed"),
        (b"x" * (control.MAX_REQUEST_BYTES + 1), {}, "too large"),
        (b"[]", {}, "request"),
        (json.dumps(FINISH | {"completion": "maybe"}).encode(), {}, "completion"),
        (json.dumps(FINISH | {"message": " \0 "}).encode(), {}, "--message is empty"),
        (json.dumps(FINISH | {"files": ["x"] * 11}).encode(), {}, "at most 10"),
        (json.dumps(FINISH | {"surprise": 1}).encode(), {}, "surprise"),
    ],
)
async def test_a_bad_request_is_refused_with_a_reason_and_without_a_word_in_the_log(
    bed: Bed, caplog: pytest.LogCaptureFixture, body: bytes, headers: dict[str, str], hint: str
) -> None:
    with caplog.at_level(logging.INFO):
        status, message = await bed.post(body, **headers)
    assert status == 422
    assert hint in message
    assert bed.refusals
    assert not bed.accepted
    assert caplog.text == ""
