"""The Prometheus metrics: their names, labels and buckets.

Names are a promise; docs/operations/monitoring.md lists them, and a test compares both. A label has few values: never
an id, a title or a path, and nothing that a client or an agent can invent.
"""

import time
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from agentcontainer import __version__

disable_created_metrics()  # otherwise each counter and histogram has a second series with the time of its creation

_HTTP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_TASK_SECONDS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600)
_QUEUE_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
_WEBHOOK_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15)
_MODEL_SECONDS = tuple(0.01 * 2**exponent for exponent in range(14))  # 0.01 to 81.92
_SIZES = tuple(1024 * 8**exponent for exponent in range(9))  # 1 KiB to 16 GiB


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"agentcontainer_{name}", text, labels, registry=None)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"agentcontainer_{name}", text, labels, registry=None)


def _histogram(name: str, text: str, buckets: Iterable[float], *labels: str) -> Histogram:
    return Histogram(f"agentcontainer_{name}", text, labels, registry=None, buckets=tuple(buckets))


# ---- every process

BUILD_INFO = _gauge("build_info", "1; the label is the version of this process.", "version")
TASKS_ENDED = _counter(
    "tasks_ended", "Tasks that this process ended.", "mode", "status", "completion", "error_code"
)
TASK_SECONDS = _histogram(
    "task_duration_seconds", "From the dispatch of a task to its end.", _TASK_SECONDS, "mode", "status"
)
ATTEMPTS_LOST = _counter("attempts_lost", "Attempts that ended so that their task runs again.", "reason")
STORE_SECONDS = _histogram(
    "store_request_duration_seconds",
    "Requests to the object store. `get`: until the first bytes.",
    _HTTP_SECONDS,
    "operation",
)
POOL_CONNECTIONS = _gauge("db_pool_connections", "Connections of the database pool.", "state")
FILE_BYTES = _histogram("file_bytes", "Sizes of the files that were stored.", _SIZES, "kind")
OPEN_FILES = _gauge("process_open_files", "File descriptors that this process has open.")
LEADER = _gauge("leader", "1 in the process that does the housekeeping of the installation, 0 in all others.")
PURGED_ROWS = _counter("purged_rows", "Rows that this process purged because of their age.", "class")

TRACE_SPANS = _counter(
    "trace_spans",
    "Spans: `exported` to the collector, `failed` there, or `dropped` from a full queue.",
    "outcome",
)

# ---- API processes

HTTP_REQUESTS = _counter("http_requests", "HTTP requests.", "method", "route", "status")
HTTP_SECONDS = _histogram(
    "http_request_duration_seconds",
    "HTTP requests, without event streams.",
    _HTTP_SECONDS,
    "method",
    "route",
)
EVENT_STREAMS = _gauge("event_streams", "Event streams that are open.")
TASKS_CREATED = _counter("tasks_created", "Tasks that were dispatched.", "mode")
WEBHOOK_DELIVERIES = _counter(
    "webhook_deliveries", "Attempts of deliveries to webhooks, by what followed from them.", "outcome"
)
WEBHOOK_SECONDS = _histogram(
    "webhook_delivery_duration_seconds", "Requests to the receivers of webhooks.", _WEBHOOK_SECONDS
)
LOGINS = _counter(
    "logins", "Logins of browsers, by `api_key` or `code`: `succeeded` or `failed`.", "method", "outcome"
)

# ---- the whole installation, as the database has it: the same in every API process

TASKS = _gauge("tasks", "Tasks that have not ended.", "status")
QUEUE_DEPTH = _gauge("queue_depth", "Tasks that wait for a runner.", "region")
QUEUE_OLDEST = _gauge(
    "queue_oldest_age_seconds", "How long the task that waits longest for a runner has waited.", "region"
)
RUNNER_HEARTBEAT = _gauge(
    "runner_last_heartbeat_timestamp_seconds", "When each runner sent its last heartbeat.", "runner"
)
CLOCK_SKEW = _gauge(
    "clock_skew_seconds", "The clock of each runner's host minus that of the database's host.", "runner"
)
FEED_LAG = _gauge(
    "feed_lag_seconds",
    "Age of the oldest event that has no position in its account's feed yet; 0: all have one.",
)
WEBHOOK_PENDING = _gauge(
    "webhook_pending", "Deliveries to webhooks that are pending, counted up to 100,000 of them."
)
REGIONS_WITHOUT_RUNNER = _gauge(
    "regions_without_runner", "Regions with tasks that wait and no living runner."
)

# ---- runners

QUEUE_WAIT = _histogram(
    "task_queue_wait_seconds", "How long tasks waited for a runner.", _QUEUE_SECONDS, "region"
)
ATTEMPTS_STARTED = _counter("attempts_started", "Attempts whose container started.")
ATTEMPT_START_SECONDS = _histogram(
    "attempt_start_duration_seconds", "The phases of an attempt's start.", _QUEUE_SECONDS, "phase"
)
TURN_SECONDS = _histogram(
    "turn_duration_seconds", "Turns of conversations, with their checkpoint.", _TASK_SECONDS, "status"
)
RUNNER_SLOTS = _gauge("runner_slots", "Slots of this runner.", "state")
OOM_KILLS = _counter("sandbox_oom_kills", "Containers that used more memory than they may.")
DISK_FREE = _gauge("workspace_disk_free_bytes", "Free space on the disk that holds the workspaces.")
MODEL_REQUESTS = _counter("model_requests", "Requests to model providers.", "provider", "model", "outcome")
MODEL_SECONDS = _histogram(
    "model_request_duration_seconds",
    "Requests to model providers, to the end of the answer.",
    _MODEL_SECONDS,
    "provider",
    "model",
)
MODEL_FIRST_TOKEN = _histogram(
    "model_time_to_first_token_seconds",
    "From a model request to the first bytes of its answer that the agent gets.",
    _MODEL_SECONDS,
    "provider",
    "model",
)
MODEL_TOKENS = _counter("model_tokens", "Tokens that providers reported.", "provider", "model", "type")
MODEL_COST = _counter("model_cost_usd", "Cost of model requests, by the price list.", "provider", "model")
CONTAINER_SECONDS = _counter("container_seconds", "Time during which containers were up.")
TOOL_CALLS = _counter("tool_calls", "Tool calls of agents.", "tool", "outcome")
TOOL_SECONDS = _histogram("tool_duration_seconds", "Tool calls of agents.", _QUEUE_SECONDS, "tool")
CHECKPOINT_SECONDS = _histogram(
    "checkpoint_duration_seconds", "Saving and restoring checkpoints.", _QUEUE_SECONDS, "kind"
)
CHECKPOINT_BYTES = _histogram("checkpoint_size_bytes", "Sizes of saved checkpoints.", _SIZES)
EGRESS_REFUSED = _counter("egress_refused", "Destinations that allow-lists refused, as logged.")
BUDGET_EXCEEDED = _counter("budget_exceeded", "Tasks and turns that ended because their budget was used up.")

Metric = Counter | Gauge | Histogram
EVERYWHERE: tuple[Metric, ...] = (
    BUILD_INFO, TASKS_ENDED, TASK_SECONDS, ATTEMPTS_LOST, STORE_SECONDS, POOL_CONNECTIONS, FILE_BYTES, OPEN_FILES,
    LEADER, PURGED_ROWS, TRACE_SPANS,
)  # fmt: skip
OF_API: tuple[Metric, ...] = (
    HTTP_REQUESTS,
    HTTP_SECONDS,
    EVENT_STREAMS,
    TASKS_CREATED,
    WEBHOOK_DELIVERIES,
    WEBHOOK_SECONDS,
    LOGINS,
)
OF_INSTALLATION: tuple[Gauge, ...] = (
    TASKS,
    QUEUE_DEPTH,
    QUEUE_OLDEST,
    RUNNER_HEARTBEAT,
    CLOCK_SKEW,
    REGIONS_WITHOUT_RUNNER,
    FEED_LAG,
    WEBHOOK_PENDING,
)
OF_RUNNER: tuple[Metric, ...] = (
    QUEUE_WAIT, ATTEMPTS_STARTED, ATTEMPT_START_SECONDS, TURN_SECONDS, RUNNER_SLOTS, OOM_KILLS, DISK_FREE,
    MODEL_REQUESTS, MODEL_SECONDS, MODEL_FIRST_TOKEN, MODEL_TOKENS, MODEL_COST, CONTAINER_SECONDS, TOOL_CALLS,
    TOOL_SECONDS, CHECKPOINT_SECONDS, CHECKPOINT_BYTES, EGRESS_REFUSED, BUDGET_EXCEEDED,
)  # fmt: skip


def registry_of(*groups: Iterable[Metric]) -> CollectorRegistry:
    """A registry with the metrics of these groups and those of every process."""
    registry = CollectorRegistry()
    for group in (EVERYWHERE, *groups):
        for metric in group:
            registry.register(metric)
    BUILD_INFO.labels(__version__).set(1)
    return registry


class ContainerTime:
    """Counts the seconds during which containers are up, also while they still run."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._running = 0
        self._counted_at = clock()

    def change(self, difference: int) -> None:
        """Record that so many containers started, or stopped if it is negative."""
        self.count()
        self._running += difference

    def count(self) -> None:
        """Count the time until now."""
        now = self._clock()
        CONTAINER_SECONDS.inc(self._running * (now - self._counted_at))
        self._counted_at = now


CONTAINER_TIME = ContainerTime()
