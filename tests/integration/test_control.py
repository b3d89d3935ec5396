"""The control socket against a hostile sandbox: bounded connections, bounded time, and its commands still work."""

import asyncio
import contextlib
import io
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from agentcontainer.domain.tasks.model import Output
from agentcontainer.errors import Unavailable
from agentcontainer.runner import control
from agentcontainer.runner.control import Control
from agentcontainer.runner.control_requests import Command, Finish, Hibernate, Share
from agentcontainer.runner.mode import refusal
from agentcontainer.runner.workspace.checkpoint import CheckpointFailed
from agentcontainer.runner.workspace.outputs import Refused

FINISH = {"completion": "complete", "message": "Done.", "files": [], "outputs": [], "cwd": "/workspace/task"}
SHARE = {"files": ["a.txt", "out/b.png"], "cwd": "/workspace/task"}
HIBERNATE = {"message": "Waiting.", "forSeconds": 90}
PUBLIC_URL = "https://agents.example"


class Bed:
    """A control socket of a task or conversation whose output policy is `any`."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "control.sock"
        self.is_conversation = False
        self.refusals: list[str] = []
        self.accepted: list[Finish] = []
        self.shared: list[tuple[str, list[str]]] = []
        self.hibernations: list[Hibernate] = []
        self.has_ended = False
        self.is_full = False
        self.at_once = self.most_at_once = 0
        self.is_hibernating, self.may_hibernate = asyncio.Event(), asyncio.Event()
        self.may_hibernate.set()
        self.control = Control(self, max_files=10, max_hibernation=timedelta(days=30))

    def refusal(self, command: Command) -> str | None:
        return refusal(command, is_conversation=self.is_conversation)

    def log_refused_finish(self, reason: str) -> None:
        self.refusals.append(reason)

    async def finish(self, finish: Finish) -> bool:
        self.accepted.append(finish)
        return True

    async def share(self, share: Share) -> list[Output]:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.02)
        self.at_once -= 1
        paths = [entry.path for entry in share.declared]
        if "missing" in paths:
            raise Refused("missing: does not exist.")
        if "unlucky" in paths:
            raise Unavailable("The object store does not answer.")
        self.shared.append((share.cwd, paths))
        return [Output("file_1", Path(path).name, "text/plain", 1, "00", "key") for path in paths]

    async def hibernate(self, hibernate: Hibernate) -> bool:
        self.is_hibernating.set()
        await asyncio.sleep(0.02)
        await self.may_hibernate.wait()
        if hibernate.message == "unlucky":
            raise CheckpointFailed("The workspace could not be saved: the disk is full.")
        self.hibernations.append(hibernate)
        return not self.has_ended

    async def now(self) -> datetime:
        return datetime.now(UTC)

    async def wake_link(self) -> str | None:
        return None if self.is_full else f"{PUBLIC_URL}/wake/wkl_1.signature"

    async def post(self, body: bytes, command: str = "finish", **headers: str) -> tuple[int, str]:
        connector = aiohttp.UnixConnector(str(self.socket))
        async with (
            aiohttp.ClientSession(connector=connector) as client,
            client.post(f"http://control/{command}", data=io.BytesIO(body), headers=headers) as answer,
        ):
            return answer.status, (await answer.json())["message"]

    async def post_share(self, *files: str) -> tuple[int, str]:
        return await self.post(json.dumps(SHARE | {"files": files}).encode(), "share")

    async def post_hibernate(self, **fields: object) -> tuple[int, str]:
        return await self.post(json.dumps({"message": "Waiting.", **fields}).encode(), "hibernate")


@pytest.fixture
async def bed(short_dir: Path) -> AsyncIterator[Bed]:
    bed = Bed(short_dir)
    await bed.control.start(bed.socket)
    yield bed
    await bed.control.close()


async def test_connections_above_the_limit_are_closed_and_a_later_finish_is_answered(bed: Bed) -> None:
    writers: list[asyncio.StreamWriter] = []
    alive = 0
    for _ in range(200):
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_unix_connection(str(bed.socket))
            writers.append(writer)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.2)
                continue
            alive += 1
    assert alive <= control.MAX_CONNECTIONS
    for writer in writers:
        writer.close()
    await asyncio.sleep(0.1)
    assert await bed.post(json.dumps(FINISH).encode()) == (200, "Accepted. The task is finished.")


async def test_an_unfinished_request_does_not_block_finish(bed: Bed) -> None:
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
async def test_a_bad_request_is_refused_with_a_reason_and_not_logged(
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
    expected = (200, "Shared: a.txt, b.png. The user can download them now.")
    assert await bed.post_share("a.txt", "out/b.png") == expected
    assert await bed.post_share("a.txt", "out/b.png") == expected
    assert bed.shared == [("/workspace/task", ["a.txt", "out/b.png"])] * 2


async def test_shares_sent_at_once_are_taken_one_after_the_other(bed: Bed) -> None:
    bed.is_conversation = True
    answers = await asyncio.gather(*(bed.post_share(f"{number}.txt") for number in range(8)))
    assert [status for status, _ in answers] == [200] * 8
    assert sorted(paths for _, paths in bed.shared) == [[f"{number}.txt"] for number in range(8)]
    assert bed.most_at_once == 1


async def test_a_conversation_refuses_finish_until_it_is_handed_off(bed: Bed) -> None:
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
    assert await bed.post_share("a.txt") == (422, message)
    assert (bed.shared, bed.refusals) == ([], [])


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b"x" * (control.MAX_REQUEST_BYTES + 1), "too large"),
        (b"[]", "request"),
        (json.dumps({"files": ["a"]}).encode(), "cwd"),
        (json.dumps(SHARE | {"files": "a.txt"}).encode(), "files"),
        (json.dumps(SHARE | {"files": []}).encode(), "name at least one file"),
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


async def test_a_hibernation_is_taken_with_its_reason_and_its_deadline(bed: Bed) -> None:
    expected = (200, "Accepted. The task hibernates.")
    began_at = datetime.now(UTC)
    assert await bed.post_hibernate(message=" Wait\0ing.\n", forSeconds=90) == expected
    until = datetime.now(UTC) + timedelta(days=3)
    zoned = until.astimezone(tz=None).isoformat()
    assert await bed.post_hibernate(until=zoned) == expected
    assert await bed.post_hibernate(until=until.strftime("%Y-%m-%dT%H:%M:%SZ")) == expected
    first, second, third = bed.hibernations
    assert [entry.message for entry in bed.hibernations] == ["Waiting."] * 3
    assert timedelta(seconds=90) <= first.until - began_at < timedelta(seconds=100)
    assert second == Hibernate("Waiting.", until)
    assert third.until == until.replace(microsecond=0)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b"x" * (control.MAX_REQUEST_BYTES + 1), "too large"),
        (b"[]", "request"),
        (b'{"forSeconds": 90}', "message"),
        (json.dumps(HIBERNATE | {"message": " \0 "}).encode(), "--message is empty: say what you wait for"),
        (json.dumps(HIBERNATE | {"message": "x" * 20_001}).encode(), "at most 20000"),
        (b'{"message": "\\ud800", "forSeconds": 90}', "JSON"),
        (json.dumps(HIBERNATE | {"surprise": 1}).encode(), "surprise"),
        (json.dumps({"message": "x"}).encode(), "Set either --for or --until"),
        (json.dumps(HIBERNATE | {"until": "2099-01-01T00:00:00Z"}).encode(), "Set either --for or --until"),
        (json.dumps(HIBERNATE | {"forSeconds": "90"}).encode(), "forSeconds"),
        (json.dumps(HIBERNATE | {"forSeconds": True}).encode(), "forSeconds"),
        (json.dumps(HIBERNATE | {"forSeconds": 1.5}).encode(), "forSeconds"),
        (json.dumps(HIBERNATE | {"forSeconds": 0}).encode(), "at least 1 second ahead"),
        (json.dumps(HIBERNATE | {"forSeconds": -5}).encode(), "at least 1 second ahead"),
        (json.dumps(HIBERNATE | {"forSeconds": 30 * 86_400 + 1}).encode(), "at most 30 days ahead"),
        (json.dumps(HIBERNATE | {"forSeconds": 10**30}).encode(), "at most 30 days ahead"),
        (json.dumps({"message": "x", "until": "2020-01-01T00:00:00Z"}).encode(), "at least 1 second ahead"),
        (json.dumps({"message": "x", "until": "9999-12-31T23:59:59Z"}).encode(), "at most 30 days ahead"),
        (json.dumps({"message": "x", "until": "9999-12-31T23:59:59-10:00"}).encode(), "with its zone"),
        (json.dumps({"message": "x", "until": "2099-01-01T00:00:00"}).encode(), "with its zone"),
        (json.dumps({"message": "x", "until": "tomorrow"}).encode(), "with its zone"),
        (json.dumps({"message": "x", "until": 4_000_000_000}).encode(), "until"),
    ],
)
async def test_a_bad_hibernation_is_refused_with_a_reason(bed: Bed, body: bytes, hint: str) -> None:
    status, message = await bed.post(body, "hibernate")
    assert status == 422
    assert hint in message
    assert bed.hibernations == []


async def test_a_workspace_that_cannot_be_saved_leaves_the_task_running(bed: Bed) -> None:
    status, message = await bed.post_hibernate(message="unlucky", forSeconds=90)
    assert (status, message) == (
        422,
        "The workspace could not be saved: the disk is full. The task goes on. Run hibernate again, or finish.",
    )
    assert (await bed.post_hibernate(forSeconds=90))[0] == 200


async def test_a_hibernation_that_comes_too_late_is_refused_with_a_reason(bed: Bed) -> None:
    bed.has_ended = True
    assert await bed.post_hibernate(forSeconds=90) == (422, "The task has already ended.")


async def test_of_concurrent_hibernations_one_is_accepted_and_finish_waits(bed: Bed) -> None:
    answers = await asyncio.gather(*(bed.post_hibernate(forSeconds=90) for _ in range(5)))
    assert sorted(status for status, _ in answers) == [200, 422, 422, 422, 422]
    assert len(bed.hibernations) == 1
    bed.is_hibernating.clear()
    bed.may_hibernate.clear()
    hibernating = asyncio.create_task(bed.post_hibernate(forSeconds=90))
    await bed.is_hibernating.wait()
    status, message = await bed.post(json.dumps(FINISH).encode())
    bed.may_hibernate.set()
    assert (status, "wait for its answer, then run finish again" in message) == (422, True)
    assert (await hibernating)[0] == 200


async def test_a_conversation_neither_hibernates_nor_has_wake_links(bed: Bed) -> None:
    bed.is_conversation = True
    reason = (
        "Conversations cannot hibernate: end your turn instead; "
        "the user's next message finds everything as it is."
    )
    assert await bed.post_hibernate(forSeconds=90) == (422, reason)
    assert await bed.post(b"{}", "wake-link") == (422, reason)
    assert (bed.hibernations, bed.refusals) == ([], [])


async def test_a_wake_link_is_a_url_of_the_platform(bed: Bed) -> None:
    assert await bed.post(b"{}", "wake-link") == (200, f"{PUBLIC_URL}/wake/wkl_1.signature")
    assert (await bed.post(b'{"taskId": "tsk_1"}', "wake-link"))[0] == 422
    bed.is_full = True
    assert await bed.post(b"{}", "wake-link") == (
        422,
        "No wake link was created: the task has too many, or has ended.",
    )


async def test_unknown_commands_are_not_found(bed: Bed) -> None:
    assert (await bed.post(b"{}", "wake"))[0] == 404
