"""A runner that loses the object store or the database, has a full disk, or is suspended."""

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from agentcontainer.embedded.location import url_of
from tests.s3_server import CREDENTIALS, s3_server

from .conftest import COMMAND, Client, Platform, finish, script, waiting

FINISH = finish("out.txt")
COULD_NOT_STORE = "The platform could not store the files"


@contextlib.contextmanager
def another_runner(
    platform: Platform, *options: str, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A second runner process beside the platform's own."""
    with platform.log_path.open("ab") as log:
        process = subprocess.Popen(
            [*COMMAND, "runner", *options], env=platform.environment | environment, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(40)


class Relay:
    """A proxy in front of a socket. `cut` breaks its connections and refuses new ones.

    Both ends are Unix sockets (a path) or TCP ports on this host; port 0 means any free one.
    """

    def __init__(self, target: Path | int, listen: Path | int = 0) -> None:
        self._target = target
        self.listens = listen
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.restore()

    def restore(self) -> None:
        self._do(self._open())

    def cut(self) -> None:
        self._do(self._close())

    def end(self) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _open(self) -> None:
        if isinstance(self.listens, Path):
            self._server = await asyncio.start_unix_server(self._relay, self.listens)
        else:
            self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.listens)
            self.listens = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        while self._writers:
            await asyncio.sleep(0.01)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(self._target, Path):
            far_reader, far_writer = await asyncio.open_unix_connection(self._target)
        else:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        pair = {writer, far_writer}
        self._writers |= pair
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        self._writers -= pair


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


@pytest.fixture
def cut_platform(scripted_url: str) -> Iterator[tuple[Platform, Relay]]:
    """A platform that reaches its object store through a relay."""
    with s3_server() as server:
        port = server.endpoint.rpartition(":")[2]
        relay = Relay(int(port))
        url = server.storage_url("cut").replace(port, str(relay.listens))
        platform = Platform(scripted_url, capacity="2", storage_url=url)
        platform.environment |= CREDENTIALS
        try:
            platform.start()
            yield platform, relay
        finally:
            platform.close()
            relay.end()


def refusals(client: Client, task_id: str) -> list[str]:
    return [
        event["data"]["output"] for event in client.events(task_id)
        if event["type"] == "tool.completed" and COULD_NOT_STORE in event["data"]["output"]
    ]  # fmt: skip


def until_refused(client: Client, task_id: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not refusals(client, task_id):
        assert time.monotonic() < deadline, client.events(task_id)[-3:]
        time.sleep(0.1)


def test_a_runner_cut_off_from_the_object_store_recovers(cut_platform: tuple[Platform, Relay]) -> None:
    platform, relay = cut_platform
    client = platform.account()
    file_id = client.upload("in.txt", b"given\n")
    copy = waiting(then="cp task_files/in.txt out.txt")
    task_id = client.dispatch(script(copy, FINISH, waiting("again"), FINISH), inputFileIds=[file_id])
    client.until_event(task_id, lambda event: event["type"] == "tool.started")
    relay.cut()
    platform.unblock(task_id)
    until_refused(client, task_id, 60)
    waiting_id = client.dispatch(script({"bash": "cat task_files/in.txt"}, finish()), inputFileIds=[file_id])
    relay.restore()
    platform.unblock(task_id, "again")
    task = client.wait(task_id)
    assert task["status"] == "finished", task
    assert client.outputs(task_id) == {"out.txt": b"given\n"}, "exactly the output of the accepted finish"
    assert client.wait(waiting_id)["status"] == "finished", (
        "its input was downloaded after the relay was restored"
    )
    assert refusals(client, task_id)


@pytest.fixture
def small_disks(scripted_url: str) -> Iterator[tuple[Platform, dict[str, Path]]]:
    """A platform that keeps attempts and blobs on two small disks, which a test can fill."""
    platform = Platform(scripted_url, capacity="2")
    disks = {name: platform.data_dir / name for name in ("runners", "blobs")}
    sizes = {"runners": "128m", "blobs": "64m"}  # a runner whose disk has less than 64 MiB takes no work
    platform.data_dir.chmod(0o755)
    try:
        for name, folder in disks.items():
            folder.mkdir(mode=0o700)
            options = f"size={sizes[name]},mode=700"
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True)
        platform.start()
        yield platform, disks
    finally:
        if platform.process is not None and platform.process.poll() is None:
            platform.stop()
        for folder in disks.values():
            subprocess.run(["umount", folder], check=False)
        platform.close()


def fill(folder: Path) -> Path:
    """Fill the disk below `folder`; returns the file that takes the space."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1024**2))
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return filler


def test_a_task_waits_while_a_disk_is_full(small_disks: tuple[Platform, dict[str, Path]]) -> None:
    platform, disks = small_disks
    client = platform.account()
    steps = script(waiting(then="echo a > out.txt"), FINISH, waiting("again"), FINISH)
    task_id = client.dispatch(steps)
    client.until_event(task_id, lambda event: event["type"] == "tool.started")
    filler = fill(disks["blobs"])
    platform.unblock(task_id)
    until_refused(client, task_id, 60)
    filler.unlink()
    platform.unblock(task_id, "again")
    task = client.wait(task_id)
    assert task["status"] == "finished", task
    assert client.outputs(task_id) == {"out.txt": b"a\n"}

    platform.until_container_released(task_id)  # its folder is removed
    filler = fill(disks["runners"])
    task_id = client.dispatch(script({"bash": "echo b > out.txt"}, FINISH))
    time.sleep(6)  # in which a runner that tried it would have tried it twice
    assert [event["type"] for event in client.events(task_id)] == ["task.created"]
    assert platform.log().count("this host takes no work: Its disk is full") == 1
    filler.unlink()
    task = client.wait(task_id)
    assert task["status"] == "finished", task
    assert client.outputs(task_id) == {"out.txt": b"b\n"}


@pytest.fixture
def impatient_platform(scripted_url: str) -> Iterator[Platform]:
    """A platform outside the EU that declares a runner lost after five seconds."""
    with Platform(scripted_url, capacity="1", runner_lost_after_seconds="5", region="any") as platform:
        yield platform


@pytest.mark.long  # tests/coordination/test_endings.py has a runner whose packets are dropped
def test_a_runner_cut_off_from_the_database_stops_its_sandboxes(
    impatient_platform: Platform, short_dir: Path
) -> None:
    """It stops its sandboxes before another runner can claim the task, and takes tasks again once reconnected."""
    platform = impatient_platform
    client = platform.account()
    real = platform.data_dir / "postgres/socket"
    [name] = [path.name for path in real.glob(".s.PGSQL.*") if not path.name.endswith(".lock")]
    relay = Relay(real / name, short_dir / name)
    url = url_of(platform.data_dir).replace(quote(str(real)), quote(str(short_dir)))
    steps = script({"bash": "echo a >> out.txt; sleep 6"}, FINISH)
    in_the_eu = {"overrides": {"runtimeRegion": "eu"}}
    try:
        with another_runner(platform, "--region", "eu", AGENTCONTAINER_DATABASE_URL=url):
            task_id = client.dispatch(steps, **in_the_eu)
            client.until_event(task_id, lambda event: event["type"] == "tool.started")
            assert platform.sandboxes()
            relay.cut()
            cut_at = time.monotonic()
            client.until_event(task_id, lambda event: event["type"] == "task.requeued")
            assert time.monotonic() - cut_at < 15
            assert platform.sandboxes() == {}, "a sandbox of the first attempt still runs"
            with another_runner(platform, "--region", "eu"):
                task = client.wait(task_id)
            assert task["status"] == "finished", task
            assert client.outputs(task_id) == {"out.txt": b"a\n"}, "only the second attempt wrote it"
            log = client.events(task_id)
            relay.restore()
            assert client.run(steps, **in_the_eu)["status"] == "finished"
            assert client.events(task_id) == log
    finally:
        relay.end()


@pytest.mark.parametrize("seconds", [8, pytest.param(60, marks=pytest.mark.long)])
def test_a_suspended_runner_writes_nothing_after_it_resumes(
    impatient_platform: Platform, seconds: float
) -> None:
    """Another runner takes the task while its runner is stopped by SIGSTOP."""
    platform = impatient_platform
    client = platform.account()
    task_id = client.dispatch(script({"bash": "echo a >> out.txt; sleep 4"}, FINISH))
    client.until_event(task_id, lambda event: event["type"] == "tool.started")
    runner = platform.pid("runner")
    os.kill(runner, signal.SIGSTOP)
    stopped_at = time.monotonic()
    try:
        with another_runner(platform):
            client.until_event(task_id, lambda event: event["type"] == "task.requeued")
            assert time.monotonic() - stopped_at < 15
            client.wait(task_id)
        # The second runner has ended, so the task changes no more.
        task, log = client.task(task_id), client.events(task_id)
        time.sleep(max(0.0, stopped_at + seconds - time.monotonic()))
    finally:
        os.kill(runner, signal.SIGCONT)
    assert task["status"] == "finished", task
    deadline = time.monotonic() + 60
    while platform.sandboxes():
        assert time.monotonic() < deadline, "the first runner's sandbox is left"
        time.sleep(0.1)
    assert client.run(script({"bash": "echo b > out.txt"}, FINISH))["status"] == "finished", (
        "it takes tasks again"
    )
    assert (client.events(task_id), client.task(task_id)) == (log, task)
    assert client.outputs(task_id) == {"out.txt": b"a\n"}, "only the second attempt wrote it"
