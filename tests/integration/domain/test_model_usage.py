"""The usage of model requests reaches the database, also when their agent or their attempt ends first."""

import asyncio
import contextlib
from pathlib import Path

import aiohttp

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.tasks import store
from agentcontainer.domain.tasks.model import Claim
from agentcontainer.gateway import scripted
from agentcontainer.gateway.app import provider_client
from agentcontainer.providers import PROVIDERS
from agentcontainer.runner.agent.model_access import ModelAccess, Upstream
from agentcontainer.runner.log import EventLog
from agentcontainer.runner.services import Services
from agentcontainer.runner.trace import AttemptTrace
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.volume import Room, Volumes
from agentcontainer.settings import load

from .conftest import EXECUTION, MakeTask

WAITS_FOR_THE_ROW = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')
"""


async def test_usage_is_written_although_its_request_is_cancelled(
    pool: Pool, make_task: MakeTask, short_dir: Path
) -> None:
    task_id = await make_task("running")
    task, claim = await store.get(pool, task_id), Claim(task_id, 1)
    assert task is not None
    socket = short_dir / "gateway.sock"
    body = {
        "model": EXECUTION["model"],
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Hello."}],
    }
    async with contextlib.AsyncExitStack() as stack:
        model = await stack.enter_async_context(await scripted.serve())
        services = Services(
            load(data_dir=short_dir), pool, Vault("k" * 40), Blobs(f"file://{short_dir}/blobs"),
            Bubblewrap(0, short_dir / "locks"), await stack.enter_async_context(provider_client()),
            short_dir, short_dir, Volumes(Room(10**9, 10**5)),
        )  # fmt: skip
        log = EventLog(pool, claim, services.event_limit, services.live_text)
        access = ModelAccess(
            services, claim, task, Upstream(PROVIDERS["anthropic"], model.url, "sk-key"), log, AttemptTrace()
        )
        gateway = await access.open(stack, socket, "")
        http = await stack.enter_async_context(
            aiohttp.ClientSession("http://gateway", connector=aiohttp.UnixConnector(str(socket)))
        )
        async with db.transaction(pool) as other:
            await store.lock(other, task_id)
            asking = asyncio.create_task(http.post("/anthropic/v1/messages", json=body))
            async with asyncio.timeout(30):
                while not await pool.fetchval(WAITS_FOR_THE_ROW):
                    await asyncio.sleep(0.01)
            await gateway.close()
            asking.cancel()
    stored = await store.get(pool, task_id)
    assert stored is not None
    assert stored.output_tokens > 0
