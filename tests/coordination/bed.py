"""Builds supervisors in the test's own process, on a real database, real sandboxes, real Pi and the scripted model.

The only file of these tests that knows how a supervisor is put together.
"""

import asyncio
import contextlib
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from agentcontainer import db, settings
from agentcontainer.db import Pool
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.agents import standard
from agentcontainer.domain.conversations import service as conversations
from agentcontainer.domain.conversations.model import Draft
from agentcontainer.domain.execution.model import Overrides
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.hibernation import service as hibernation
from agentcontainer.domain.tasks import creation
from agentcontainer.domain.tasks import service as tasks
from agentcontainer.domain.tasks.model import Dispatch, Task
from agentcontainer.domain.tasks.state import TERMINAL, Status
from agentcontainer.gateway import scripted
from agentcontainer.gateway.app import provider_client
from agentcontainer.ids import new_id
from agentcontainer.runner.cleanup import runner_folder
from agentcontainer.runner.serve import pool_size
from agentcontainer.runner.services import Services
from agentcontainer.runner.supervisor import Supervisor
from agentcontainer.runtime import install
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.cleanup import leftovers
from agentcontainer.sandbox.volume import Room, Volumes
from agentcontainer.settings import Settings
from tests.coordination.proxy import Proxy, proxied
from tests.uids import UID_BASE

AGENT = "agt_standard_data"
CREDIT_MICRO_USD = 10_000_000
PROVIDER_KEY = "sk-test-0123456789abcdefghijklmnop"


def script(*steps: dict[str, Any], task: str = "Do what the script says.") -> str:
    """Instructions that make the scripted model take these steps."""
    return f"{task}\n\n```script\n{json.dumps(steps)}\n```\n"


def finish(*files: str) -> dict[str, Any]:
    return {"bash": f'finish --complete-task --message "Done." {" ".join(files)}'}


def waiting(sign: str = "go", *, then: str = "true") -> dict[str, Any]:
    """A step that lasts until `Bed.unblock`."""
    return {"bash": f"until [ -e {sign} ]; do sleep 0.05; done; {then}"}


@dataclass
class Runner:
    """A running supervisor. `proxy` is between it and the database."""

    id: str
    supervisor: Supervisor
    proxy: Proxy
    folder: Path
    working: asyncio.Task[None]
    kill_times: list[float]  # by CLOCK_BOOTTIME: when the watchdog would kill the sandboxes

    def workspace(self, task_id: str, attempt: int) -> Path:
        return self.folder / f"{task_id}-{attempt}" / "workspace/task"

    async def drain(self) -> None:
        self.supervisor.drain()
        await self.working

    async def kill(self) -> None:
        """End at once, as on a second SIGTERM: running attempts are lost."""
        self.working.cancel()
        await asyncio.gather(self.working, return_exceptions=True)


@dataclass
class Bed:
    """One account on a fresh database. `pool` leads to the database without a proxy: it is the client's view."""

    settings: Settings
    pool: Pool
    database_url: str
    account_id: str
    runners: list[Runner] = field(default_factory=list)

    @property
    def vault(self) -> Vault:
        assert self.settings.secret_key
        return Vault(self.settings.secret_key.get_secret_value())

    @property
    def blobs(self) -> Blobs:
        assert self.settings.storage_url
        return Blobs(self.settings.storage_url)

    def configure(self, **overrides: Any) -> None:
        """Settings for the runners that are started after this."""
        self.settings = self.settings.model_copy(update=overrides)

    async def dispatch(self, *steps: dict[str, Any]) -> str:
        request = Dispatch(instructions=script(*steps))
        task = await creation.dispatch(self.pool, self.settings, self.vault, self.account_id, AGENT, request)
        return task.id

    async def converse(self, *steps: dict[str, Any], instructions: str = "") -> str:
        """Start a conversation with standing instructions; returns its id."""
        task, _ = await conversations.create(
            self.pool, self.settings, self.vault, self.account_id, AGENT,
            Dispatch(instructions=instructions), Draft(script(*steps)),
        )  # fmt: skip
        return task.id

    async def send(self, task_id: str, *steps: dict[str, Any]) -> None:
        message = Draft(script(*steps))
        await conversations.send(self.pool, self.settings, self.vault, self.account_id, task_id, message)

    async def steer(self, task_id: str, content: str) -> None:
        await conversations.steer(self.pool, self.account_id, task_id, content)

    async def end_conversation(self, task_id: str) -> Task:
        return await conversations.end(self.pool, self.settings, self.account_id, task_id)

    async def cancel(self, task_id: str) -> Task:
        return await tasks.cancel(self.pool, self.settings, self.account_id, task_id)

    async def wake(self, task_id: str) -> None:
        await hibernation.wake(
            self.pool, self.settings, self.vault, self.account_id, task_id, None, Overrides(), None
        )

    async def task(self, task_id: str) -> Task:
        return await tasks.get(self.pool, self.account_id, task_id)

    async def until(self, task_id: str, *statuses: Status, seconds: float = 60) -> Task:
        """Wait until the task has one of these statuses (default: a terminal one)."""
        deadline = time.monotonic() + seconds
        while (task := await self.task(task_id)).status not in (statuses or TERMINAL):
            assert time.monotonic() < deadline, f"{task.status}: {await self.event_types(task_id)}"
            await asyncio.sleep(0.05)
        return task

    async def until_event(self, task_id: str, type_: str, count: int = 1, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while (await self.event_types(task_id)).count(type_) < count:
            assert time.monotonic() < deadline, await self.event_types(task_id)
            await asyncio.sleep(0.05)

    async def event_types(self, task_id: str) -> list[str]:
        rows = await self.pool.fetch("SELECT type FROM events WHERE task_id = $1 ORDER BY sequence", task_id)
        return [row["type"] for row in rows]

    async def unblock(self, task_id: str, sign: str = "go") -> None:
        """End the step `waiting(sign)`, in whichever runner it runs."""
        attempt = (await self.task(task_id)).attempt
        [folder] = [
            folder for runner in self.runners if (folder := runner.workspace(task_id, attempt)).is_dir()
        ]
        (folder / sign).touch()

    async def until_no_sandbox(self, task_id: str, seconds: float = 20) -> None:
        """Wait until the task's sandboxes have no process, control group or folder left."""
        deadline = time.monotonic() + seconds
        while remaining := [*self._sandboxes(task_id), *self._folders(task_id)]:
            assert time.monotonic() < deadline, f"left: {remaining}"
            await asyncio.sleep(0.05)

    def attempts_with_sandbox(self, task_id: str) -> set[int]:
        """The attempts that still have a process or a control group."""
        return {int(name.split("-")[1]) for name in self._sandboxes(task_id)}

    def _sandboxes(self, task_id: str) -> list[str]:
        return [name for name in leftovers() if name.startswith(task_id)]

    def _folders(self, task_id: str) -> list[Path]:
        return list((self.settings.data_dir / "runners").glob(f"*/{task_id}*"))

    @contextlib.asynccontextmanager
    async def behind_proxy(self, max_size: int = 2) -> AsyncIterator[tuple[Proxy, Pool, str]]:
        """A proxy before the database, and a pool of connections and a URL that lead through it."""
        name = parse_qs(urlsplit(self.database_url).query)
        server = Path(name["host"][0]) / f".s.PGSQL.{name['port'][0]}"
        entrance = self.settings.data_dir / f"p{secrets.token_hex(2)}"
        entrance.mkdir()
        url = f"{self.database_url.partition('?')[0]}?host={entrance}&port={name['port'][0]}"
        async with proxied(server, entrance) as proxy, db.pool(url, max_size=max_size) as pool:
            yield proxy, pool, url

    @contextlib.asynccontextmanager
    async def runner(
        self, capacity: int = 1, prepare: Callable[[Proxy], None] = lambda proxy: None
    ) -> AsyncIterator[Runner]:
        """Run a supervisor behind its own database proxy during the block."""
        runner_id = new_id("rnr")
        async with contextlib.AsyncExitStack() as stack:
            configured = self.settings.model_copy(update={"capacity": capacity})
            proxy, pool, url = await stack.enter_async_context(self.behind_proxy(pool_size(configured)))
            prepare(proxy)
            configured = configured.model_copy(update={"database_url": url})
            folder = stack.enter_context(runner_folder(configured.data_dir, runner_id))
            client = await stack.enter_async_context(provider_client())
            room = Room(configured.sandbox_disk_bytes, configured.sandbox_inodes)
            services = Services(
                configured, pool, self.vault, self.blobs,
                Bubblewrap(UID_BASE if os.geteuid() == 0 else 0, configured.data_dir / "locks"), client,
                install.runtime_dir(), folder, Volumes(room),
            )  # fmt: skip
            kill_times: list[float] = []
            supervisor = Supervisor(services, runner_id, "any", capacity, on_lease_renewed=kill_times.append)
            runner = Runner(
                runner_id, supervisor, proxy, folder, asyncio.create_task(supervisor.run()), kill_times
            )
            self.runners.append(runner)
            try:
                yield runner
            finally:
                proxy.forward_again()
                runner.working.cancel()
                await asyncio.gather(runner.working, return_exceptions=True)


@contextlib.asynccontextmanager
async def opened(database_url: str, folder: Path, **overrides: Any) -> AsyncIterator[Bed]:
    """A bed in `folder`, with one account whose provider is the scripted model."""
    install.check()
    async with await scripted.serve() as model, db.pool(database_url) as pool:
        configured = settings.load(
            data_dir=folder, database_url=database_url, storage_url=f"file://{folder}/blobs",
            secret_key=secrets.token_hex(32), anthropic_base_url=model.url, image_registries="",
            sandbox_disk_bytes=10**9, runner_lost_after_seconds=60, warm_seconds=300, **overrides,
        )  # fmt: skip
        await standard.install(pool)
        account_id, _ = await accounts.create_account(pool, name="Test", credit_micro_usd=CREDIT_MICRO_USD)
        bed = Bed(configured, pool, database_url, account_id)
        await accounts.put_provider_key(pool, bed.vault, account_id, "anthropic", PROVIDER_KEY)
        yield bed
