"""The whole tables: 200 cuts and two restarts, 500 tasks through lost responses, transfers of 2 GB."""

import asyncio
import os
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from agentcontainer_client import AgentContainer, AsyncAgentContainer, Task
from agentcontainer_client._events import Event
from tests.acceptance.bed import COMMAND, Client, Platform, finish, script
from tests.client.proxy import Proxy

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("long client"), pytest.mark.timeout(1800)]

DATA = "agt_standard_data"
CUTS = 200
TASKS = 500
AT_ONCE = 50
BIG_BYTES = 2 * 1024**3


@pytest.fixture(scope="module")
def own_platform(scripted_url: str) -> Iterator[Platform]:
    """A platform whose API the tests kill. It runs no task of `many_tasks`, so that only the API is measured."""
    with Platform(
        scripted_url, capacity="2", offline_model="all", rate_limit_per_minute="1000000"
    ) as platform:
        yield platform


@pytest.fixture(scope="module")
def owner(own_platform: Platform) -> Client:
    return own_platform.account("100000", provider_keys=False)


@pytest.fixture
def own_proxy(own_platform: Platform) -> Iterator[Proxy]:
    with Proxy(own_platform.base_url, seed=7) as proxy:
        yield proxy


def long_task(client: AgentContainer) -> Task:
    steps = [{"say": f"Step {number}.", "bash": f"echo {number}; sleep 0.4"} for number in range(60)]
    return client.tasks.create(script(*steps, finish()), agent=DATA)


def restart_api_twice(platform: Platform) -> None:
    for _ in range(2):
        time.sleep(6)
        platform.kill_and_wait_for_next("api")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_every_event_once_across_200_cuts_and_two_restarts(
    own_platform: Platform, own_proxy: Proxy, owner: Client, kind: str
) -> None:
    own_proxy.cut_after = lambda chance, path: chance.randint(1, 900) if path.endswith("events") else None
    with AgentContainer(own_proxy.url, owner.api_key).with_options(backoff=0.01) as client:
        task = long_task(client)
        restarting = threading.Thread(target=restart_api_twice, args=[own_platform])
        restarting.start()
        seen: list[Event] = []
        if kind == "sync":
            with task.stream(timeout=900) as stream:
                seen += [event for event in stream if event.sequence]
        else:
            seen += asyncio.run(_follow(own_proxy.url, owner.api_key, task.id))
        restarting.join()
        while own_proxy.cuts < CUTS:  # the rest of the cuts: the whole log again
            with task.stream(timeout=300) as stream:
                again = [event.sequence for event in stream if event.sequence]
            assert again == [event.sequence for event in seen]
        own_proxy.cut_after = lambda _chance, _path: None
        logged = task.events().to_list()
    assert [event.id for event in seen] == [event.id for event in logged]
    assert [event.sequence for event in seen] == list(range(1, len(logged) + 1))
    print(f"\n{kind}: {own_proxy.cuts} cuts, {len(seen)} events")


async def _follow(url: str, key: str, task_id: str) -> list[Event]:
    async with AsyncAgentContainer(url, key) as client:
        task = await client.with_options(backoff=0.01).tasks.get(task_id)
        async with task.stream(timeout=900) as stream:
            return [event async for event in stream if event.sequence]


@pytest.mark.parametrize("kind", ["threads", "coroutines"])
def test_500_dispatches_through_lost_responses_are_500_tasks(
    own_platform: Platform, own_proxy: Proxy, owner: Client, kind: str
) -> None:
    own_proxy.drop_every = 10
    admin(own_platform, "pause")
    began = time.monotonic()
    try:
        if kind == "threads":
            with AgentContainer(own_proxy.url, owner.api_key) as client:

                def dispatch(number: int) -> str:
                    return client.tasks.create("x", agent=DATA, metadata={"run": kind, "n": str(number)}).id

                with ThreadPoolExecutor(AT_ONCE) as pool:
                    ids = list(pool.map(dispatch, range(TASKS)))
        else:
            ids = asyncio.run(_dispatch_all(own_proxy.url, owner.api_key, kind))
        seconds = time.monotonic() - began
        own_proxy.drop_every = None
        with AgentContainer(own_platform.base_url, owner.api_key) as client:
            stored = client.tasks.list(metadata={"run": kind}).to_list()
            assert len(set(ids)) == TASKS
            assert {task.id for task in stored} == set(ids)
            assert Counter(task.metadata["n"] for task in stored) == Counter(map(str, range(TASKS)))
            for task in stored:
                task.cancel()
            ended = [task.status for task in client.tasks.as_completed(ids, timeout=300)]
            assert Counter(ended) == {"cancelled": TASKS}
    finally:
        admin(own_platform, "resume")
    print(f"\n{kind}: {TASKS} tasks in {seconds:.1f} s, {own_proxy.dropped} responses dropped")


def admin(platform: Platform, command: str) -> None:
    subprocess.run([*COMMAND, "admin", command], env=platform.environment, check=True, timeout=60)


async def _dispatch_all(url: str, key: str, kind: str) -> list[str]:
    async with AsyncAgentContainer(url, key) as client:
        room = asyncio.Semaphore(AT_ONCE)

        async def dispatch(number: int) -> str:
            async with room:
                made = await client.tasks.create("x", agent=DATA, metadata={"run": kind, "n": str(number)})
                return made.id

        return await asyncio.gather(*(dispatch(number) for number in range(TASKS)))


def test_2_gb_go_there_and_back_through_cuts_with_flat_memory(
    own_proxy: Proxy, owner: Client, tmp_path: Path
) -> None:
    path = tmp_path / "big.bin"
    chance = random.Random(3)
    with path.open("wb") as file:
        block = chance.randbytes(1024 * 1024)
        for number in range(BIG_BYTES // len(block)):
            file.write(number.to_bytes(8, "big") + block[8:])
    with AgentContainer(own_proxy.url, owner.api_key) as client, memory_grown() as grown:
        own_proxy.cut_request_after = BIG_BYTES // 2
        began = time.monotonic()
        stored = client.files.upload(path)
        uploaded = time.monotonic() - began
        assert stored.size_bytes == BIG_BYTES
        assert own_proxy.cuts == 1
        cuts = iter([BIG_BYTES // 3])
        own_proxy.cut_after = lambda _chance, url: next(cuts, None) if url.endswith("content") else None
        began = time.monotonic()
        target = stored.download(tmp_path / "back.bin")
        downloaded = time.monotonic() - began
    assert own_proxy.cuts == 2
    assert target.stat().st_size == BIG_BYTES
    assert same(path, target)
    print(f"\nuploaded in {uploaded:.1f} s, downloaded in {downloaded:.1f} s; memory grew by {grown()} MB")
    assert grown() < 50


class memory_grown:  # noqa: N801  (reads as a function)
    """In the block, measures by how much the memory of this process grows, in MB. The proxy's buffers are included."""

    def __enter__(self) -> Callable[[], int]:
        self._process = psutil.Process(os.getpid())
        self._before = self._process.memory_info().rss
        self._most = self._before
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return lambda: (self._most - self._before) // 10**6

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(0.1):
            self._most = max(self._most, self._process.memory_info().rss)


def same(one: Path, other: Path) -> bool:
    with one.open("rb") as first, other.open("rb") as second:
        while block := first.read(1024 * 1024):
            if block != second.read(1024 * 1024):
                return False
        return second.read(1) == b""
