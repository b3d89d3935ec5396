"""An installation on several hosts, all of them on this machine: see `Lab`."""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import httpx2

from agentcontainer import db
from agentcontainer.domain.accounts import service
from agentcontainer.domain.ledger import store as ledger
from agentcontainer.migrations.migrate import migrate
from tests.acceptance.bed import PROVIDER_KEY, Client
from tests.certificates import Authority

from . import balancer, object_store
from .database import Database
from .folders import Reservation
from .host import Host, Service
from .network import Network
from .observer import Observer

ADDRESSES = {
    "switch": "10.77.0.1", "db": "10.77.0.10", "s3": "10.77.0.20", "model": "10.77.0.30", "lb": "10.77.0.40",
    "api1": "10.77.0.51", "api2": "10.77.0.52", "r1": "10.77.0.61", "r2": "10.77.0.62", "r3": "10.77.0.63",
    "db2": "10.77.0.11",
}  # fmt: skip
STANDARD = tuple(name for name in ADDRESSES if name != "db2")
RUNNERS = {"r1": "any", "r2": "any", "r3": "eu"}  # and their regions
APIS = ("api1", "api2")
MODEL_PORT = 18_080
FIRST_UID = 800_000  # of this range each runner has a thousand, because all hosts share one kernel
CAPACITY = 4
START_SECONDS = 60
COMMAND = (sys.executable, "-m", "agentcontainer.cli.main")


class Lab:
    """PostgreSQL over TLS, an S3 server, two APIs behind HAProxy, three runners in two regions, and the offline model
    in a provider's place; each on a host of its own. It ends with this process, however that ends."""

    def __init__(self, **settings: str) -> None:
        """`settings` of every API and runner, by their names."""
        self._reservation = Reservation()
        self.folder = self._reservation.folder
        self._settings = settings
        self._log_starts: dict[str, int] = {}
        self.hosts = {name: self._host(name) for name in STANDARD}
        object_store.prepare(self.hosts["s3"])
        self.network = Network(self.hosts["switch"])
        self.authority = Authority(self.folder)
        self.database = Database(self.hosts["db"], self.authority)
        self.base_url = f"http://{ADDRESSES['lb']}:{balancer.PORT}"
        self.commands = dict.fromkeys((*APIS, *RUNNERS), COMMAND)
        self.clients: list[Client] = []
        self.observer = Observer(lambda: [(name, self.hosts[name].group) for name in RUNNERS])

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Boot all hosts and start all services."""
        self.boot(*self.hosts.values())
        self.database.create()
        self.database.start()
        object_store.start(self.hosts["s3"])
        self.start_model()
        asyncio.run(self._fill_database())
        balancer.start(self.hosts["lb"], [self.hosts[name] for name in APIS])
        with self.network.entered():
            object_store.wait_ready(self.hosts["s3"])
            for name in APIS:
                self.start_api(name)
            for name in RUNNERS:
                self.start_runner(name)
            for name in (*APIS, *RUNNERS):
                self.wait_started(name)
            wait_until(lambda: answers(f"{self.base_url}/readyz"), "HAProxy finds no API")

    def boot(self, *hosts: Host) -> None:
        """Boot hosts and connect them."""
        names = "".join(f"{host.address} {host.name} {host.name}.internal\n" for host in self.hosts.values())
        names += f"{ADDRESSES['lb']} agents.example.com\n"
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost\n{names}")
        for host in hosts:
            host.boot()
        for host in hosts:
            host.wait_booted()
        switch = self.hosts["switch"]
        if switch in hosts:
            self.network.open()
        self.network.connect(*(host for host in hosts if host is not switch))

    def add_host(self, name: str) -> Host:
        """One more host, booted and connected."""
        host = self.hosts[name] = self._host(name)
        self.boot(host)
        return host

    def close(self) -> None:
        """End everything. Nothing is left of the lab."""
        for client in self.clients:
            client.close()
        self.observer.close()
        for host in self.hosts.values():
            host.power_off()
        self._reservation.release()

    @property
    def database_url(self) -> str:
        return self.database.url()

    def environment(self, name: str) -> dict[str, str]:
        """What every API and runner has, and this host's own."""
        model = f"http://{ADDRESSES['model']}:{MODEL_PORT}"
        temporary = self.hosts[name].folder / "tmp"
        temporary.mkdir(exist_ok=True)
        settings = {
            "data_dir": str(self.hosts[name].folder / "data"),
            "database_url": self.database_url,
            "storage_url": object_store.url(self.hosts["s3"]),
            "secret_key": "the-labs-secret-key-of-more-than-32-characters",
            "public_url": self.base_url,
            "anthropic_base_url": model,
            "openai_base_url": f"{model}/v1",
            "openrouter_base_url": f"{model}/api/v1",
            "sandbox_disk_bytes": str(256 * 1024**2),
            "sandbox_memory_bytes": str(512 * 1024**2),
            "sandbox_uid_base": str(self.first_uid(name)),
            "rate_limit_per_minute": "0",
        } | self._settings
        variables = {f"AGENTCONTAINER_{key.upper()}": value for key, value in settings.items()}
        return (
            variables
            | object_store.CREDENTIALS
            | {"LANG": "C.UTF-8", "HOME": "/root", "TMPDIR": str(temporary)}
        )

    def start_api(self, name: str, **variables: str) -> Service:
        """`variables`: of its environment, beside those that all have."""
        return self._start(name, "api", ("--host", "0.0.0.0"), variables)

    def start_runner(self, name: str, **variables: str) -> Service:
        options = ("--region", RUNNERS[name], "--capacity", str(CAPACITY))
        return self._start(name, "runner", options, variables)

    def wait_started(self, name: str) -> None:
        """Wait until an API answers, or a runner takes tasks."""
        service = self.service(name)
        if name in APIS:
            url = f"http://{ADDRESSES[name]}:8080/readyz"
            wait_until(lambda: answers(url) or not service.is_running(), service.log)
        else:
            wait_until(lambda: "capacity" in self._new_log(name) or not service.is_running(), service.log)
        assert service.is_running(), service.log()

    def service(self, name: str) -> Service:
        """The API or the runner of a host."""
        return self.hosts[name].services["api" if name in APIS else "runner"]

    def restart(self, name: str, *, variables: Mapping[str, str] | None = None) -> None:
        """End an API or a runner and start it again."""
        self.service(name).stop()
        (self.start_api if name in APIS else self.start_runner)(name, **(variables or {}))
        self.wait_started(name)

    def power_on(self, name: str) -> None:
        """Boot a host again after a power failure, and start its API or runner."""
        self.boot(self.hosts[name])
        (self.start_api if name in APIS else self.start_runner)(name)
        self.wait_started(name)

    def set_clock(self, name: str, seconds: float) -> None:
        """Set how far the clock of a process that has the variables `with_clock` is ahead."""
        (self.hosts[name].folder / "clock").write_text(f"{seconds:+}\n")

    def with_clock(self, name: str) -> dict[str, str]:
        """Variables of a process whose clock `set_clock` sets; monotonic clocks go on."""
        self.set_clock(name, 0)
        [library] = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self.hosts[name].folder / "clock"),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def account(self, credit: str = "100") -> Client:
        """An account with a key of a provider."""
        account_id, api_key = asyncio.run(self._make_account(round(float(credit) * 1_000_000)))
        client = Client(self.base_url, api_key, account_id)
        self.clients.append(client)
        client.once.provider_keys.set("anthropic", PROVIDER_KEY)
        return client

    def client_of(self, client: Client, api: str) -> Client:
        """The same account, through one of the APIs instead of HAProxy."""
        direct = Client(f"http://{ADDRESSES[api]}:8080", client.api_key, client.account_id)
        self.clients.append(direct)
        return direct

    def rows(self, query: str, *arguments: object) -> list[db.Record]:
        """What the database says, asked over its own socket."""
        return asyncio.run(self._rows(query, *arguments))

    def ledger_faults(self) -> list[str]:
        """Holds of ended tasks that were not released, and balances that are not the sums of their ledger entries."""
        return asyncio.run(self._ledger_faults())

    async def _rows(self, query: str, *arguments: object) -> list[db.Record]:
        connection = await db.connect(self.database.superuser_url)
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()

    async def _ledger_faults(self) -> list[str]:
        async with db.pool(self.database.superuser_url, max_size=1) as pool:
            holds, balances = await ledger.unreleased_holds(pool), await ledger.unbalanced(pool)
        return [*map(str, holds), *map(str, balances)]

    async def _make_account(self, credit_micro_usd: int) -> tuple[str, str]:
        async with db.pool(self.database.superuser_url, max_size=1) as pool:
            return await service.create_account(pool, name="Lab", credit_micro_usd=credit_micro_usd)

    async def _fill_database(self) -> None:
        await self.database.wait_ready()
        await self.database.make_database()
        await self.migrate()

    async def migrate(self) -> None:
        await migrate(self.database.owner_url)

    def start_model(self) -> None:
        """Start the offline model, which answers in a provider's place."""
        command = (sys.executable, "-m", "agentcontainer.gateway.scripted")
        where = ("--host", ADDRESSES["model"], "--port", str(MODEL_PORT))
        self.hosts["model"].start("model", *command, *where, environment={"LANG": "C.UTF-8"})

    def _start(self, name: str, part: str, options: tuple[str, ...], variables: dict[str, str]) -> Service:
        log = self.folder / f"{name}-{part}.log"
        self._log_starts[name] = log.stat().st_size if log.exists() else 0
        command = (*self.commands[name], part, *options)
        return self.hosts[name].start(part, *command, environment=self.environment(name) | variables)

    def _new_log(self, name: str) -> str:
        return self.service(name).log_path.read_bytes()[self._log_starts[name] :].decode(errors="replace")

    def _host(self, name: str) -> Host:
        return Host(name, ADDRESSES[name], self.folder, self.folder.name)

    def first_uid(self, name: str) -> int:
        """Of the uids of a host's sandboxes. A runner outside the lab would kill what runs under its own."""
        return FIRST_UID + (self._reservation.number * len(ADDRESSES) + list(ADDRESSES).index(name)) * 1000


def wait_until(
    is_so: Callable[[], bool], what: str | Callable[[], str], seconds: float = START_SECONDS
) -> None:
    """Wait for a condition; `what` is the error message if it does not come true."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, what if isinstance(what, str) else what()
        time.sleep(0.05)


def answers(url: str) -> bool:
    """Whether a server answers this request with 200."""
    try:
        return httpx2.get(url, trust_env=False, verify=False, timeout=3).status_code == 200
    except httpx2.HTTPError:
        return False
