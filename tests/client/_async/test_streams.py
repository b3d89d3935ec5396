"""Streams and waits through proxies that cut, drop and buffer."""

import random
from pathlib import Path

from agentcontainer_client import AsyncAgentContainer, events
from tests.acceptance.bed import Client, finish, script
from tests.client.proxy import Proxy

DATA = "agt_standard_data"
TALK = [{"say": f"This is sentence number {number}, and it is long enough."} for number in range(2)]


async def test_every_event_comes_once_and_in_order_across_cuts(proxy: Proxy, account: Client) -> None:
    steps = [{"bash": f"echo {number}"} for number in range(8)]
    async with AsyncAgentContainer(proxy.url, account.api_key) as client:
        client = client.with_options(backoff=0.01)
        task = await client.tasks.create(script(*steps, finish()), agent=DATA)
        proxy.cut_after = lambda chance, path: chance.randint(1, 1500) if path.endswith("events") else None
        seen: list[events.Event] = []
        async with task.stream(deltas=False, timeout=60) as stream:
            async for event in stream:
                seen.append(event)
        proxy.cut_after = lambda _chance, _path: None
        logged = await task.events().to_list()
    assert proxy.cuts >= 5
    assert [event.sequence for event in seen] == list(range(1, len(logged) + 1))
    assert [event.id for event in seen] == [event.id for event in logged]


async def test_a_proxy_that_buffers_delays_nothing_but_live_text(proxy: Proxy, account: Client) -> None:
    proxy.is_buffering = True
    async with AsyncAgentContainer(proxy.url, account.api_key) as client:
        client = client.with_options(stream_timeout=1)
        task = await client.tasks.create(script({"bash": "sleep 3"}, finish()), agent=DATA)
        async with task.stream(timeout=60) as stream:
            numbers = [event.sequence async for event in stream]
        assert numbers == list(range(1, len(numbers) + 1))
        assert (await task.wait(timeout=30)).status == "finished"


async def test_dropped_responses_dispatch_nothing_twice(
    proxy: Proxy, account: Client, tmp_path: Path
) -> None:
    proxy.drop_every = 3
    mark = f"drop-{random.randrange(10**9)}"
    async with AsyncAgentContainer(proxy.url, account.api_key) as client:
        client = client.with_options(backoff=0.01)
        tasks = [
            await client.tasks.run(
                script({"bash": "cp task_files/a.txt b.txt"}, finish("b.txt")),
                agent=DATA, files=[("a.txt", b"content")], metadata={"mark": mark}, timeout=60,
            )
            for _ in range(3)
        ]  # fmt: skip
        for task in tasks:
            [path] = await task.download_all(tmp_path / task.id)
            assert path.read_bytes() == b"content"
        found = [task.id async for task in client.tasks.list(metadata={"mark": mark})]
    assert sorted(found) == sorted(task.id for task in tasks)
    assert proxy.dropped >= 5


async def test_cut_transfers_are_repeated_and_resumed(proxy: Proxy, account: Client, tmp_path: Path) -> None:
    content = random.Random(1).randbytes(3_000_000)
    async with AsyncAgentContainer(proxy.url, account.api_key) as client:
        client = client.with_options(backoff=0.01)
        proxy.cut_request_after = 1_000_000
        file = await client.files.upload(("random.bin", content))
        assert proxy.cuts == 1
        sizes = iter([500_000, 1_000_000])
        proxy.cut_after = lambda _chance, _path: next(sizes, None)
        path = await file.download(tmp_path / "random.bin")
    assert proxy.cuts == 3
    assert path.read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["random.bin"]
