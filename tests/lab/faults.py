"""The faults that a lab can have, each as a block during which it lasts."""

import signal
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from . import object_store
from .lab import APIS, RUNNERS, Lab
from .slow_link import slow_link

Begin = Callable[[Lab, str], AbstractContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """`begin(lab, victim)` lasts for `seconds`; `victim` is a runner with agents that write.

    `loses_runner`: others take over the victim's tasks. `hibernates`: the victim's tasks hibernate until their provider
    may be back, and go on in another container. `tolerated_overlap`: for so many seconds an agent may write
    beside the next one, because nothing on its host could stop it in time. `is_unseen`: every request of a client is
    answered with 200 meanwhile.
    """

    name: str
    begin: Begin
    seconds: float
    loses_runner: bool = False
    hibernates: bool = False
    tolerated_overlap: float = 0.0
    is_unseen: bool = True


@contextmanager
def kill_host(lab: Lab, victim: str) -> Generator[None]:
    """Every process at once; the network stays, so that its connections are closed."""
    lab.hosts[victim].power_off()
    try:
        yield
    finally:
        lab.power_on(victim)


@contextmanager
def power_off(lab: Lab, victim: str) -> Generator[None]:
    lab.network.power_off(lab.hosts[victim])
    try:
        yield
    finally:
        lab.power_on(victim)


@contextmanager
def unplug(lab: Lab, victim: str) -> Generator[None]:
    lab.network.unplug(lab.hosts[victim])
    try:
        yield
    finally:
        lab.network.plug(lab.hosts[victim])


@contextmanager
def pause_host(lab: Lab, victim: str) -> Generator[None]:
    lab.hosts[victim].group.freeze()
    try:
        yield
    finally:
        lab.hosts[victim].group.thaw()


@contextmanager
def stop_process(lab: Lab, victim: str) -> Generator[None]:
    """Only the runner's own process; its sandboxes go on."""
    lab.service(victim).send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        lab.service(victim).send_signal(signal.SIGCONT)


def cut_from(server: str) -> Begin:
    """Drop the packets between the runner and another host."""

    def begin(lab: Lab, victim: str) -> AbstractContextManager[None]:
        return lab.network.cut((lab.hosts[victim], lab.hosts[server]))

    return begin


def slow(server: str, port: int, seconds: float) -> Begin:
    """Every byte to and from a server is late, for all runners and APIs."""

    def begin(lab: Lab, _victim: str) -> AbstractContextManager[None]:
        clients = [lab.hosts[name] for name in (*RUNNERS, *APIS)]
        return slow_link(lab.network, lab.hosts["switch"], lab.hosts[server], port, clients, seconds)

    return begin


@contextmanager
def store_away(lab: Lab, _victim: str) -> Generator[None]:
    """The S3 server's process is killed, and started again."""
    host = lab.hosts["s3"]
    host.services["weed"].stop(signal.SIGKILL)
    try:
        yield
    finally:
        object_store.start(host)
        object_store.wait_ready(host)


@contextmanager
def api_off(lab: Lab, _victim: str) -> Generator[None]:
    lab.network.power_off(lab.hosts["api1"])
    try:
        yield
    finally:
        lab.power_on("api1")


@contextmanager
def clock_ahead(lab: Lab, victim: str) -> Generator[None]:
    """The clock of the runner's process, which `with_clock` can set."""
    lab.set_clock(victim, 60)
    try:
        yield
    finally:
        lab.set_clock(victim, 0)


MINUTES_3 = 180.0
FAULTS = [
    Fault("host killed", kill_host, 15, loses_runner=True),
    Fault("host without power", power_off, 15, loses_runner=True),
    Fault("host unplugged for 30 s", unplug, 30, loses_runner=True),
    Fault("runner cut off from the database for 5 s", cut_from("db"), 5),
    Fault("runner cut off from the database for 30 s", cut_from("db"), 30, loses_runner=True),
    Fault("runner cut off from the database for 3 min", cut_from("db"), MINUTES_3, loses_runner=True),
    Fault("runner cut off from the store for 5 s", cut_from("s3"), 5),
    Fault("runner cut off from the store for 30 s", cut_from("s3"), 30),
    Fault("runner cut off from the store for 3 min", cut_from("s3"), MINUTES_3),
    Fault("runner cut off from the provider for 5 s", cut_from("model"), 5),
    Fault("runner cut off from the provider for 30 s", cut_from("model"), 30),
    Fault("runner cut off from the provider for 3 min", cut_from("model"), MINUTES_3, hibernates=True),
    Fault("host paused for 30 s", pause_host, 30, loses_runner=True, tolerated_overlap=0.5),
    Fault("runner's process stopped for 30 s", stop_process, 30, loses_runner=True),
    Fault("database slow, 200 ms each way", slow("db", 5432, 0.2), 30),
    Fault("store slow, 500 ms each way", slow("s3", object_store.PORT, 0.5), 30),
    Fault("store away for 1 min", store_away, 60),
    Fault("API host without power", api_off, 15, is_unseen=False),
]
CLOCK_AHEAD = Fault("clock of a runner a minute ahead", clock_ahead, 30)
