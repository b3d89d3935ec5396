"""A runner that loses the object store or the database, has a full disk, or is suspended."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from agentcontainer.embedded.location import url_of

from .conftest import COMMAND, Client, Platform, finish, script, waiting
from .relay import Relay

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


def until_waiting(platform: Platform, task_id: str) -> None:
    deadline = time.monotonic() + 60
    while f"{task_id}: waiting for the object store" not in platform.log():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_runner_cut_off_from_the_object_store_recovers(s3_platform: Platform, s3_relay: Relay) -> None:
    platform, relay = s3_platform, s3_relay
    client = platform.account()
    file_id = client.upload("in.txt", b"given\n")
    copy = waiting(then="cp task_files/in.txt out.txt")
    task_id = client.dispatch(script(copy, FINISH), inputFileIds=[file_id])
    client.until_event(task_id, lambda event: event["type"] == "tool.started")
    relay.cut()
    platform.unblock(task_id)
    until_waiting(platform, task_id)
    waiting_id = client.dispatch(script({"bash": "cat task_files/in.txt"}, finish()), inputFileIds=[file_id])
    relay.restore()
    task = client.wait(task_id)
    assert task["status"] == "finished", task
    assert client.outputs(task_id) == {"out.txt": b"given\n"}
    assert client.wait(waiting_id)["status"] == "finished", (
        "its input was downloaded after the relay was restored"
    )
    assert refusals(client, task_id) == [], "`finish` waited for the store"
    client.once.files.delete(file_id)


@pytest.fixture
def small_disks(scripted_url: str) -> Iterator[tuple[Platform, dict[str, Path]]]:
    """A platform that keeps attempts and blobs on two small disks, which a test can fill."""
    platform = Platform(scripted_url, capacity="2", store_patience_seconds="1")
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


@pytest.mark.parametrize("seconds", [pytest.param(seconds, marks=pytest.mark.long) for seconds in (8, 60)])
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
            assert f"agentcontainer:{task_id}-1" not in platform.sandboxes(), "the watchdog kills it before"
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


WRITE = "for i in $(seq 60); do date +%s.%N >> stamps; sleep 0.1; done"


@pytest.mark.long  # tests/contract/test_watchdog.py stops a runner, too
@pytest.mark.parametrize("is_another_there", [True, False], ids=["another runner", "the same runner"])
def test_a_stopped_runner_never_leads_to_two_writers(
    impatient_platform: Platform, is_another_there: bool
) -> None:
    """The judge is what the agents wrote themselves. Without another runner, the stopped one goes on with the task."""
    platform = impatient_platform
    client = platform.account()
    task_id = client.dispatch(script({"bash": WRITE}, finish("stamps")))
    client.until_event(task_id, lambda event: event["type"] == "tool.started")
    runner = platform.pid("runner")
    [written] = Path(f"/proc/{runner}/root{platform.data_dir}/runners").glob(f"*/{task_id}-1/workspace/task")
    with contextlib.ExitStack() as stack:
        os.kill(runner, signal.SIGSTOP)
        stack.callback(os.kill, runner, signal.SIGCONT)
        if is_another_there:
            stack.enter_context(another_runner(platform))
        client.until_event(task_id, lambda event: event["type"] == "task.requeued")
        first = [float(line) for line in (written / "stamps").read_text().split()]
        if not is_another_there:
            stack.close()
        task = client.wait(task_id)
    assert task["status"] == "finished", task
    second = [float(line) for line in client.outputs(task_id)["stamps"].split()]
    print(f"the second attempt wrote {second[0] - first[-1]:.1f} s after the last of the first")
    assert len(second) == 60
    assert first[-1] < second[0]
