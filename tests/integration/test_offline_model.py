"""The process of the offline model: it has no rights and no secrets, and is started again when it ends."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator

import aiohttp
import psutil
import pytest

from agentcontainer.gateway.offline_model import OFFLINE_KEY, OfflineModel

UID = 699_998


@pytest.fixture
async def offline(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OfflineModel]:
    monkeypatch.setenv("AGENTCONTAINER_SECRET_KEY", "hidden-from-the-model")
    model = OfflineModel(UID)
    yield model
    await model.close()


async def ask(url: str) -> str:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as http,
        http.post(f"{url}/v1/messages", json=body, headers={"x-api-key": OFFLINE_KEY}) as response,
    ):
        return (await response.json())["content"][0]["text"]


def processes(parent: psutil.Process | None = None) -> list[psutil.Process]:
    children = (parent or psutil.Process()).children()  # not those of the runners of other tests
    own = {"agentcontainer.gateway.scripted", "--descriptor"}  # other tests' scripted models have a port
    return [child for child in children if own <= set(child.cmdline())]


async def test_it_answers_as_a_user_without_rights_and_without_our_environment(offline: OfflineModel) -> None:
    url = await offline.url()
    assert await ask(url) == "Offline script, no AI. You said: Hello. Messages so far from you: 1."
    assert await offline.url() == url
    [process] = processes()
    if os.geteuid() == 0:
        assert set(process.uids()) == set(process.gids()) == {UID}
    assert not [name for name in process.environ() if name.startswith("AGENTCONTAINER_")]
    async with aiohttp.ClientSession() as http, http.get(f"{url}/_requests") as response:
        assert await response.json() == [], "it records no request"


async def test_it_is_started_again_at_the_same_address(offline: OfflineModel) -> None:
    url = await offline.url()
    await ask(url)
    processes()[0].kill()
    assert "You said: Hello" in await ask(url)


async def test_close_ends_it_and_the_next_use_starts_it() -> None:
    model = OfflineModel()
    await ask(await model.url())
    await model.close()
    await model.close()
    assert processes() == []
    assert "You said" in await ask(await model.url())
    await model.close()


async def test_it_ends_with_its_runner() -> None:
    code = (
        "import asyncio\n"
        "from agentcontainer.gateway.offline_model import OfflineModel\n"
        "async def main():\n"
        "    print(await OfflineModel().url(), flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    runner = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert runner.stdout is not None
    await ask((await runner.stdout.readline()).decode().strip())
    [process] = processes(psutil.Process(runner.pid))
    runner.send_signal(signal.SIGKILL)
    await runner.wait()
    assert not psutil.wait_procs([process], timeout=10)[1]
