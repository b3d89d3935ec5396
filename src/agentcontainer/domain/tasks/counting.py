"""Counts what happens to tasks in the metrics, by the events that are appended to their logs."""

from collections.abc import Sequence

from agentcontainer.domain.tasks.event_data import Draft
from agentcontainer.telemetry import metrics

# The agent's own tools. A model can call tools by any name, so others count as one.
TOOLS = frozenset({"bash", "read", "edit", "write", "grep", "find", "ls"})
NONE = ""


def count(drafts: Sequence[Draft], mode: str, age_seconds: float) -> None:
    """Count these events of a task of this mode, which was dispatched so many seconds ago."""
    for event in drafts:
        match event.type:
            case "task.created":
                metrics.TASKS_CREATED.labels(mode).inc()
            case "task.started":
                metrics.ATTEMPTS_STARTED.inc()
            case "task.finished" | "task.failed" | "task.cancelled" | "task.expired":
                _count_end(event, mode, age_seconds)
            case "turn.failed":
                _count_failure(event.data.get("errorCode", NONE))
            case "tool.completed":
                tool = name if (name := event.data.get("tool")) in TOOLS else "other"
                metrics.TOOL_CALLS.labels(tool, "error" if event.data.get("isError") else "ok").inc()
                metrics.TOOL_SECONDS.labels(tool).observe(event.data.get("durationMs", 0) / 1000)
            case "egress.refused":
                metrics.EGRESS_REFUSED.inc()
            case _:
                pass


def _count_end(event: Draft, mode: str, age_seconds: float) -> None:
    status, error_code = str(event.data.get("status", NONE)), event.data.get("errorCode") or NONE
    metrics.TASKS_ENDED.labels(mode, status, event.data.get("completion") or NONE, error_code).inc()
    metrics.TASK_SECONDS.labels(mode, status).observe(age_seconds)
    _count_failure(error_code)


def _count_failure(error_code: str) -> None:
    if error_code == "budget_exceeded":
        metrics.BUDGET_EXCEEDED.inc()
    elif error_code == "out_of_memory":
        metrics.OOM_KILLS.inc()
