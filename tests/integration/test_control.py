"""The control socket against a hostile sandbox: bounded connections, bounded time, and its commands still work."""

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
from agentcontainer.errors import Unavailable
from agentcontainer.runner import control
from agentcontainer.runner.collect import Refused
from agentcontainer.runner.control import Control, Finish, unfit

FINISH = {"completion": "complete", "message": "Done.", "files": [], "outputs": [], "cwd": "/workspace/task"}


SHARE = {"files": ["a.txt", "out/b.png"], "cwd": "/workspace/task"}


class Bed:
    """A control socket that accepts whatever meets the policy `any`; a task, or a conversation when told so."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "control.sock"
        self.is_conversation = False
        self.refusals: list[str] = []
        self.accepted: list[Finish] = []
        self.shared: list[tuple[str, list[str]]] = []
        self.at_once = self.most_at_once = 0
        self.control = Control(
            OutputPolicy("any"),
            10,
            self._collect,
            self._finish,
            self.refusals.append,
            self._share,
            lambda command: unfit(command, self.is_conversation),
        )

    async def _collect(self, _cwd: str, _declared: list[Declared]) -> list[Output]:
        return []

    async def _finish(self, finish: Finish) -> bool:
        self.accepted.append(finish)
        return True

    async def _share(self, cwd: str, declared: list[Declared]) -> list[Output]:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.02)
        self.at_once -= 1
        paths = [entry.path for entry in declared]
        if "missing" in paths:
            raise Refused("missing: does not exist.")
        if "unlucky" in paths:
            raise Unavailable("The object store does not answer.")
        self.shared.append((cwd, paths))
        return [Output("file_1", Path(path).name, "text/plain", 1, "00", "key") for path in paths]

    async def post(self, body: bytes, command: str = "finish", **headers: str) -> tuple[int, str]:
        connector = aiohttp.UnixConnector(str(self.socket))
        async with (
            aiohttp.ClientSession(connector=connector) as client,
            client.post(f"http://control/{command}", data=io.BytesIO(body), headers=headers) as answer,
        ):
            return answer.status, (await answer.json())["message"]

    async def share(self, *files: str) -> tuple[int, str]:
        return await self.post(json.dumps(SHARE | {"files": files}).encode(), "share")


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


async def test_shared_files_are_named_and_may_be_shared_again(bed: Bed) -> None:
    bed.is_conversation = True
    said = (200, "Shared: a.txt, b.png. The user can download them now.")
    assert await bed.share("a.txt", "out/b.png") == said
    assert await bed.share("a.txt", "out/b.png") == said
    assert bed.shared == [("/workspace/task", ["a.txt", "out/b.png"])] * 2


async def test_shares_sent_at_once_are_taken_one_after_the_other(bed: Bed) -> None:
    bed.is_conversation = True
    answers = await asyncio.gather(*(bed.share(f"{number}.txt") for number in range(8)))
    assert [status for status, _ in answers] == [200] * 8
    assert sorted(paths for _, paths in bed.shared) == [[f"{number}.txt"] for number in range(8)]
    assert bed.most_at_once == 1


async def test_a_conversation_refuses_finish_until_it_is_handed_over(bed: Bed) -> None:
    finish = json.dumps(FINISH).encode()
    bed.is_conversation = True
    status, message = await bed.post(finish)
    assert (status, message) == (422, bed.refusals[0])
    assert message.startswith("This is a conversation: your answer is what you say at the end of your turn.")
    assert bed.accepted == []
    bed.is_conversation = False
    assert (await bed.post(finish))[0] == 200


async def test_a_task_refuses_share(bed: Bed) -> None:
    message = "share works in conversations; here files are handed over with finish."
    assert await bed.share("a.txt") == (422, message)
    assert (bed.shared, bed.refusals) == ([], [])


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b"x" * (control.MAX_REQUEST_BYTES + 1), "too large"),
        (b"[]", "request"),
        (json.dumps({"files": ["a"]}).encode(), "cwd"),
        (json.dumps(SHARE | {"files": "a.txt"}).encode(), "files"),
        (json.dumps(SHARE | {"files": []}).encode(), "none is named"),
        (json.dumps(SHARE | {"files": ["x"] * 11}).encode(), "at most 10"),
        (json.dumps(SHARE | {"message": "x"}).encode(), "message"),
        (
            json.dumps(SHARE | {"files": ["missing"]}).encode(),
            "share was not accepted:\nmissing: does not exist.",
        ),
        (json.dumps(SHARE | {"files": ["unlucky"]}).encode(), "does not answer. Run share again."),
    ],
)
async def test_a_bad_share_is_refused_with_a_reason(bed: Bed, body: bytes, hint: str) -> None:
    bed.is_conversation = True
    status, message = await bed.post(body, "share")
    assert status == 422
    assert hint in message
    assert bed.shared == []


async def test_there_are_no_other_commands(bed: Bed) -> None:
    assert (await bed.post(b"{}", "hibernate"))[0] == 404
