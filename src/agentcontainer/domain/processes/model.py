"""What an operator sees of an installation: its processes, its queue, and what holds it up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

API_LOST_AFTER_SECONDS = 30.0
REGIONS = ("eu", "any")


@dataclass(frozen=True)
class ApiProcess:
    """An API process. `silent_seconds`: the time since its last heartbeat."""

    id: str
    host: str
    port: int
    version: str
    silent_seconds: float

    @property
    def is_alive(self) -> bool:
        return self.silent_seconds < API_LOST_AFTER_SECONDS


@dataclass(frozen=True)
class Runner:
    """A runner that has not stopped. `claims`: how many tasks the database has for it. Runners of older
    versions have no `name` and no `version`."""

    id: str
    name: str | None
    host: str
    version: str | None
    region: str
    capacity: int
    claims: int
    silent_seconds: float
    clock_skew_seconds: float | None = None
    """The clock of its host minus that of the database's host, as it measured it last."""
    is_draining: bool = False
    """Whether the operator lets it take no task."""

    @property
    def label(self) -> str:
        """What it is called in metrics and in messages."""
        return self.name or self.host

    def is_alive(self, lost_after_seconds: float) -> bool:
        return self.silent_seconds < lost_after_seconds


@dataclass(frozen=True)
class RegionQueue:
    """The tasks of one region that wait for a runner."""

    region: str
    waiting: int
    oldest_seconds: float


@dataclass(frozen=True)
class AccountQueue:
    """The pending and running tasks of one account, and how many may run at a time; None: any number."""

    account_id: str
    waiting: int
    running: int
    max_running: int | None


@dataclass(frozen=True)
class OpenTransaction:
    """A database session whose transaction is idle for too long: it may hold locks that others wait for."""

    client: str
    application: str
    seconds: float


def serves(runner_region: str, task_region: str) -> bool:
    """Whether runners of this region take tasks of that region."""
    return runner_region in ("eu", task_region)


def regions_without_runner(
    queues: Iterable[RegionQueue], runners: Sequence[Runner], lost_after_seconds: float
) -> list[RegionQueue]:
    """The regions in which tasks wait although no living runner takes them."""
    regions = {runner.region for runner in runners if runner.is_alive(lost_after_seconds)}
    return [queue for queue in queues if not any(serves(region, queue.region) for region in regions)]
