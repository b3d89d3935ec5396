"""The tables of a task's life: its statuses, which status may follow which, and what each end reason leads to.

docs/life-of-a-task.md is generated from these tables (`make docs`). This module imports nothing of ours.
"""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """The status of a task."""

    PENDING = "pending"  # waits for a container; → running | failed | cancelled | finished (`end`)
    RUNNING = "running"  # an attempt owns it; → any but expired
    AWAITING_INPUT = "awaiting_input"  # a conversation between turns
    HIBERNATING = "hibernating"  # has a checkpoint and no container; a conversation may be ended from here
    FINISHED = "finished"  # the agent's `finish` was accepted, or the user ended the conversation
    FAILED = "failed"  # `error_code` says why
    CANCELLED = "cancelled"  # by the client
    EXPIRED = "expired"  # a conversation that got no message in time


S = Status

TRANSITIONS: dict[Status, frozenset[Status]] = {
    S.PENDING: frozenset({S.RUNNING, S.FINISHED, S.CANCELLED, S.FAILED}),
    S.RUNNING: frozenset({S.AWAITING_INPUT, S.HIBERNATING, S.PENDING, S.FINISHED, S.FAILED, S.CANCELLED}),
    S.AWAITING_INPUT: frozenset({S.RUNNING, S.PENDING, S.FINISHED, S.EXPIRED, S.CANCELLED, S.FAILED}),
    S.HIBERNATING: frozenset({S.PENDING, S.FINISHED, S.CANCELLED, S.FAILED}),
    S.FINISHED: frozenset(),
    S.FAILED: frozenset(),
    S.CANCELLED: frozenset(),
    S.EXPIRED: frozenset(),
}
TERMINAL = frozenset(status for status, following in TRANSITIONS.items() if not following)


def sources(to: Status) -> list[str]:
    """The statuses from which a task may move to `to`."""
    return [status.value for status, following in TRANSITIONS.items() if to in following]


class EndReason(StrEnum):
    """Why an attempt ended, or a task that had none. `MEANING` says which status it leads to."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    CANCELLED = "cancelled"
    ENDED = "ended"
    EXPIRED = "expired"
    AGENT_STOPPED = "agent_stopped"
    AGENT_CRASHED = "agent_crashed"
    OUT_OF_MEMORY = "out_of_memory"
    TOO_MANY_PROCESSES = "too_many_processes"
    DISK_FULL = "disk_full"
    EVENT_LOG_FULL = "event_log_full"
    PROVIDER_ERROR = "provider_error"
    PROVIDER_KEY_MISSING = "provider_key_missing"
    INPUT_UNAVAILABLE = "input_unavailable"
    IMAGE_UNAVAILABLE = "image_unavailable"
    CHECKPOINT_FAILED = "checkpoint_failed"
    CHECKPOINT_CORRUPT = "checkpoint_corrupt"
    MAX_RUNTIME_EXCEEDED = "max_runtime_exceeded"
    BUDGET_EXCEEDED = "budget_exceeded"
    INTERRUPTED = "interrupted"  # of a turn only, by the user
    HIBERNATED = "hibernated"
    DRAINED = "drained"
    RUNNER_LOST = "runner_lost"
    PLATFORM_FAULT = "platform_fault"
    HOST_FAULT = "host_fault"


@dataclass(frozen=True)
class Meaning:
    """What an end reason leads to: the task's next status (`PENDING`: another attempt), and who pays for this one."""

    status: Status
    error_code: str | None = None
    is_charged: bool = True  # for the attempt's container time since its last checkpoint or turn
    is_platforms_fault: bool = False  # if so, the whole task is not charged
    uses_a_try: bool = False  # counts towards MAX_TRIES, after which the task fails


R = EndReason
INFRASTRUCTURE_ERROR = "infrastructure_error"
MAX_TRIES = 3  # attempts that the platform itself may lose before the task fails

MEANING: dict[EndReason, Meaning] = {
    R.COMPLETE: Meaning(S.FINISHED),
    R.INCOMPLETE: Meaning(S.FINISHED),
    R.CANCELLED: Meaning(S.CANCELLED),
    R.ENDED: Meaning(S.FINISHED),
    R.EXPIRED: Meaning(S.EXPIRED),
    R.AGENT_STOPPED: Meaning(S.FAILED, "agent_stopped"),
    R.AGENT_CRASHED: Meaning(S.FAILED, "agent_crashed"),
    R.OUT_OF_MEMORY: Meaning(S.FAILED, "out_of_memory"),
    R.TOO_MANY_PROCESSES: Meaning(S.FAILED, "too_many_processes"),
    R.DISK_FULL: Meaning(S.FAILED, "disk_full"),
    R.EVENT_LOG_FULL: Meaning(S.FAILED, "event_log_full"),
    R.PROVIDER_ERROR: Meaning(S.FAILED, "provider_error"),
    R.PROVIDER_KEY_MISSING: Meaning(S.FAILED, "provider_key_missing", is_charged=False),
    R.INPUT_UNAVAILABLE: Meaning(S.FAILED, "input_unavailable", is_charged=False),
    R.IMAGE_UNAVAILABLE: Meaning(S.FAILED, "image_unavailable", is_charged=False),
    R.CHECKPOINT_FAILED: Meaning(S.FAILED, "checkpoint_failed"),
    R.CHECKPOINT_CORRUPT: Meaning(S.FAILED, "checkpoint_corrupt", is_charged=False, is_platforms_fault=True),
    R.MAX_RUNTIME_EXCEEDED: Meaning(S.FAILED, "max_runtime_exceeded"),
    R.BUDGET_EXCEEDED: Meaning(S.FAILED, "budget_exceeded"),
    R.INTERRUPTED: Meaning(S.FAILED, "interrupted"),
    R.HIBERNATED: Meaning(S.HIBERNATING),
    R.DRAINED: Meaning(S.PENDING, is_charged=False),
    R.RUNNER_LOST: Meaning(S.PENDING, INFRASTRUCTURE_ERROR, is_charged=False, uses_a_try=True),
    R.PLATFORM_FAULT: Meaning(S.PENDING, INFRASTRUCTURE_ERROR, is_charged=False, uses_a_try=True),
    R.HOST_FAULT: Meaning(S.PENDING, is_charged=False),
}
