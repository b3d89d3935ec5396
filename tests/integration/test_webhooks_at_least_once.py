"""Every event reaches every webhook at least once and none is invented, although API processes are killed at any point.

The receivers fail, hang, redirect and answer slowly.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.agents import standard
from agentcontainer.domain.feed.model import FeedEntry
from agentcontainer.domain.tasks import events
from agentcontainer.domain.tasks.event_data import Draft
from agentcontainer.domain.webhooks import resending, service, store
from agentcontainer.domain.webhooks.signing import new_secret
from agentcontainer.ids import new_id
from agentcontainer_client import AgentContainer, BadSignature, _webhooks
from tests.api_process import SECRET_KEY, api_process
from tests.integration.domain.conftest import EXECUTION
from tests.integration.test_feed_exactly_once import INSERT_TASKS
from tests.webhook_receiver import Received, Receiver, accept, receiver

STARTED = Draft("task.started", {"status": "running", "attempt": 1})
# In the processes under test, so that the test need not wait: a request, and what a dead process had claimed.
QUICK = """
from datetime import timedelta
from agentcontainer.api import webhook_request, webhook_sender
from agentcontainer import crash
from agentcontainer.domain.webhooks import model, queue
crash._folder = {folder!r}
webhook_request.TIMEOUT_SECONDS = 1.0
queue.LEASE = timedelta(seconds=3)
model.PAUSES = (timedelta(seconds=0.3),) * 1000
model.MAX_TRIES = 1000
"""
VAULT = Vault(SECRET_KEY)
CLIENT = AgentContainer("http://127.0.0.1:1", "ac_live_x")
DAY_SECONDS = 86_400
IN_FLIGHT = 10  # requests that may have been signed before the secret was replaced
CRASH_POINTS = ("numbered", "webhook_claimed", "webhook_sent")


async def fail_often(_: Received) -> web.StreamResponse:
    return web.Response(status=random.choice([500, 503, 429, 200, 200]))


async def hang_often(_: Received) -> web.StreamResponse:
    if random.random() < 0.3:
        await asyncio.sleep(3600)
    return web.Response()


async def redirect_often(_: Received) -> web.StreamResponse:
    if random.random() < 0.5:
        return web.Response(status=307, headers={"Location": "/elsewhere"})
    return web.Response()


async def answer_slowly(_: Received) -> web.StreamResponse:
    await asyncio.sleep(random.random() * 0.8)
    return web.Response(text="slow")


async def break_off(_: Received) -> web.StreamResponse:
    if random.random() < 0.3:
        raise ConnectionResetError
    return web.Response(body=b"x" * 100_000)


BEHAVIOURS = (accept, fail_often, hang_often, redirect_often, answer_slowly, break_off)


@dataclass
class Processes:
    """API processes on one database. Any may be killed, and another is started in its place."""

    url: str
    folder: Path
    stack: ExitStack
    pids: list[int] = field(default_factory=list)
    started: int = 0

    async def start(self) -> None:
        self.started += 1
        folder = self.folder / str(self.started)
        folder.mkdir()
        process = api_process(
            self.url,
            folder,
            first=QUICK.format(folder=str(self.folder)),
            webhook_allow_http="true",
            webhook_allow_private="true",
        )
        _, pid = await asyncio.to_thread(self.stack.enter_context, process)
        self.pids.append(pid)

    def kill(self, pid: int) -> None:
        self.pids.remove(pid)
        os.kill(pid, signal.SIGKILL)

    def is_alive(self, pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    async def kill_one(self, number: int) -> None:
        """Kill a process: at a point of the code that is chosen in turn, or at any moment."""
        victim = random.choice(self.pids)
        if number % 2 == 0:
            point = CRASH_POINTS[number // 2 % len(CRASH_POINTS)]
            (self.folder / point).write_text("")
            async with asyncio.timeout(20):
                while all(self.is_alive(pid) for pid in self.pids):
                    await asyncio.sleep(0.02)
            [victim] = [pid for pid in self.pids if not self.is_alive(pid)]
            self.pids.remove(victim)
        else:
            self.kill(victim)


@dataclass
class Writers:
    """Write events of any of the tasks, and sometimes roll back."""

    pool: Pool
    task_ids: list[str]
    committed: set[str] = field(default_factory=set[str])
    is_over: bool = False

    async def write(self) -> None:
        while not self.is_over:
            ids = [new_id("evt") for _ in range(random.randint(1, 2))]
            async with self.pool.acquire() as connection:
                transaction = connection.transaction()
                await transaction.start()
                await events.append(connection, random.choice(self.task_ids), [STARTED] * len(ids), ids=ids)
                await asyncio.sleep(random.random() * 0.2)
                if random.random() < 0.1:
                    await transaction.rollback()
                    continue
                await transaction.commit()
            self.committed |= {*ids}
            await asyncio.sleep(random.random() * 0.2)


@dataclass
class Hook:
    """A webhook with its receiver. `secrets`: the first, and the one that replaced it while requests were sent."""

    endpoint_id: str
    account_id: str
    receiver: Receiver
    secrets: list[str]
    rotated_after: int = 0
    """How many requests had arrived when the secret was replaced."""
    resent: set[str] = field(default_factory=set[str])
    """The events that were delivered, and then sent again."""

    @classmethod
    async def create(cls, pool: Pool, account_id: str, receiver: Receiver) -> "Hook":
        async with db.transaction(pool) as connection:
            endpoint, secret = await service.create(
                connection, VAULT, account_id, receiver.url, ["*"], None, None
            )
        return cls(endpoint.id, account_id, receiver, [secret])

    async def rotate(self, pool: Pool) -> None:
        async with db.transaction(pool) as connection:
            _, secret = await service.rotate(
                connection, VAULT, self.account_id, self.endpoint_id, None, DAY_SECONDS
            )
        self.secrets.append(secret)
        self.rotated_after = len(self.receiver.received)

    async def resend(self, pool: Pool) -> None:
        """Send all again that was delivered."""
        query = "SELECT event_id FROM webhook_deliveries WHERE endpoint_id = $1 AND status = 'delivered'"
        async with db.transaction(pool) as connection:
            await store.lock(connection, self.account_id, self.endpoint_id)
            self.resent = {row["event_id"] for row in await connection.fetch(query, self.endpoint_id)}
            since = datetime.now(UTC) - timedelta(hours=1)
            resent = await resending.resend_since(connection, self.account_id, self.endpoint_id, since, "all")
        assert (resent.count, resent.next_since) == (len(self.resent), None)

    def check(self, entries: dict[str, FeedEntry]) -> None:
        """Each event came at least once and as the feed has it; nothing else came; the positions are complete."""
        requests = self.receiver.by_id()
        assert set(requests) == set(entries)
        for message_id, attempts in requests.items():
            assert len({attempt.body for attempt in attempts}) == 1, "each attempt is the same"
            assert len(attempts) >= 1 + (message_id in self.resent)
            content, entry = attempts[0].content, entries[message_id]
            assert (content["type"], content["data"]) == (entry.type, entry.data)
        positions = {attempts[0].content["data"]["position"] for attempts in requests.values()}
        assert positions == set(range(1, len(entries) + 1))
        for number, request in enumerate(self.receiver.received):
            for secret in self.secrets if number > self.rotated_after + IN_FLIGHT else self.secrets[:1]:
                assert Webhook(secret).verify(request.body, request.headers) == request.content

    def check_client(self) -> None:
        """The client takes what came with either secret, and refuses it changed, forged or replayed."""
        request, unwrap = self.receiver.received[-1], CLIENT.webhooks.unwrap
        for secret in (*self.secrets, [new_secret(), self.secrets[0]]):
            event = unwrap(request.body, request.headers, secret)
            assert (event.id, event.data.position) == (request.id, request.content["data"]["position"])
        old = {"webhook-timestamp": str(int(request.headers["webhook-timestamp"]) - 301)}
        other = next(each for each in self.receiver.received if each.id != request.id)
        for body, headers, secret in (
            (request.body.replace(b"running", b"failed "), request.headers, self.secrets[0]),
            (other.body, request.headers, self.secrets[0]),
            (request.body, request.headers | {"webhook-id": other.id}, self.secrets[0]),
            (request.body, request.headers | old, self.secrets[0]),
            (request.body, request.headers, new_secret()),
        ):
            with pytest.raises(BadSignature):
                unwrap(body, headers, secret)
        with pytest.raises(BadSignature):
            _webhooks.unwrap(request.body, request.headers, self.secrets, now=time.time() + 301)


@pytest.mark.parametrize(
    ("seconds", "writers"),
    [(15, 2), pytest.param(120, 4, marks=[pytest.mark.long, pytest.mark.timeout(600)])],
)
async def test_while_api_processes_are_killed(
    pool: Pool, database_url: str, short_dir: Path, seconds: float, writers: int
) -> None:  # fmt: skip
    account_id, _ = await accounts.create_account(pool, name="Test", credit_micro_usd=0)
    await standard.install(pool)
    task_ids = [new_id("tsk") for _ in range(20)]
    await pool.execute(INSERT_TASKS, task_ids, account_id, EXECUTION)
    async with AsyncExitStack() as receivers:
        own = [await receivers.enter_async_context(receiver(answer)) for answer in BEHAVIOURS]
        hooks = [await Hook.create(pool, account_id, each) for each in own]
        with ExitStack() as stack:
            processes = Processes(database_url, short_dir, stack)
            await asyncio.gather(processes.start(), processes.start())
            async with db.pool(database_url, max_size=writers) as own_pool:
                writing = Writers(own_pool, task_ids)
                busy = [asyncio.create_task(writing.write()) for _ in range(writers)]
                kills = await kill_in_turn(processes, seconds / 2)
                await asyncio.gather(*[hook.rotate(pool) for hook in hooks])
                kills += await kill_in_turn(processes, seconds / 2)
                await asyncio.gather(*[hook.resend(pool) for hook in hooks])
                writing.is_over = True
                await asyncio.gather(*busy)
            for each in own:
                each.answer = accept
            await all_delivered(pool, len(writing.committed) * len(own))
        rows = await pool.fetch("SELECT * FROM feed_entries WHERE account_id = $1", account_id)
    entries = {row["id"]: FeedEntry.of(row) for row in rows}
    assert set(entries) == writing.committed
    for hook in hooks:
        hook.check(entries)
        hook.check_client()
    requests = sum(len(each.received) for each in own)
    print(f"\n{len(writing.committed)} events, {len(own)} webhooks, {kills} kills, {requests} requests")
    assert kills >= 2


async def kill_in_turn(processes: Processes, seconds: float) -> int:
    """Kill one process after the other, and start another one for each; returns how many."""
    kills, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        await processes.kill_one(processes.started)
        await processes.start()
        kills += 1
    return kills


async def all_delivered(pool: Pool, count: int) -> None:
    """Wait until so many deliveries have succeeded and none is left, as long as some succeed every 30 s."""
    delivered, progressed_at = 0, time.monotonic()
    while True:
        rows = await pool.fetch("SELECT status, count(*) FROM webhook_deliveries GROUP BY status")
        found: Counter[str] = Counter({row["status"]: row["count"] for row in rows})
        if found["delivered"] == count and found.total() == count:
            return
        if found["delivered"] > delivered:
            delivered, progressed_at = found["delivered"], time.monotonic()
        assert time.monotonic() < progressed_at + 30, f"{found} of {count}"
        await asyncio.sleep(0.25)
