"""The dataclasses of webhooks, and when a failed delivery is tried again."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from agentcontainer.domain.feed.model import FeedEntry

ALL_EVENTS = ("*",)
MAX_ENDPOINTS = 20  # of an account
MAX_PENDING = 100_000  # deliveries of an endpoint
MAX_RESENT = 10_000  # deliveries of one request
MAX_ANSWER_BYTES = 4096  # of an answer, that are kept
FAILING_DAYS = 5  # without a success, then the endpoint is disabled
# The pause after each try but the last, as in ten tries within about three days.
PAUSES = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
MAX_TRIES = len(PAUSES) + 1
MAX_RETRY_AFTER = timedelta(days=1)
JITTER = 0.1

DisabledReason = Literal["client", "gone", "failing", "backlog"]
DeliveryStatus = Literal["pending", "delivered", "failed"]
Outcome = Literal["delivered", "retried", "failed"]


@dataclass(frozen=True)
class Endpoint:
    """Where events are sent. `task_id`: it is the callback URL of this task, and gets the task's events only.

    `previous_until`: until then requests are signed with the previous secret, too.
    """

    id: str
    account_id: str
    task_id: str | None
    url: str
    events: Sequence[str]
    description: str | None
    created_at: datetime
    disabled_at: datetime | None
    disabled_reason: DisabledReason | None
    last_success_at: datetime | None
    failing_since: datetime | None
    previous_until: datetime | None


@dataclass(frozen=True)
class NewEndpoint:
    """An endpoint about to be inserted, with its encrypted secret."""

    id: str
    account_id: str
    url: str
    events: Sequence[str]
    description: str | None
    secret: bytes


@dataclass(frozen=True)
class CallbackSecret:
    """The secret that signs requests to the callback URLs of an account's tasks, encrypted."""

    secret: bytes = field(repr=False)
    previous_until: datetime | None
    created_at: datetime


@dataclass(frozen=True)
class Delivery:
    """One entry of the feed for one endpoint. `attempts`: how often it was sent."""

    id: str
    endpoint_id: str
    entry: FeedEntry
    status: DeliveryStatus
    attempts: int
    next_attempt_at: datetime | None
    created_at: datetime
    delivered_at: datetime | None


@dataclass(frozen=True)
class Attempt:
    """One request to an endpoint. `status` None: no answer came. `error` None: it succeeded."""

    started_at: datetime
    duration_ms: int
    status: int | None
    error: str | None
    answer: str
    """The beginning of the answer's body."""


@dataclass(frozen=True)
class Claimed:
    """A delivery that this process sends, until `leased_until`, with what signs it. `started_at`: by the database."""

    delivery: Delivery
    account_id: str
    url: str
    tries: int
    """Since it became pending, without this one."""
    is_callback: bool
    sealed_secrets: Sequence[bytes] = field(repr=False)
    started_at: datetime
    leased_until: datetime


@dataclass(frozen=True)
class Answered:
    """What came of a request. `retry_after`: how long the receiver asked to wait."""

    duration_ms: int
    status: int | None
    error: str | None
    answer: str = ""
    retry_after: timedelta | None = None

    @property
    def is_success(self) -> bool:
        return self.error is None

    @property
    def is_gone(self) -> bool:
        """Whether the receiver asked never to be called again."""
        return self.status == 410


@dataclass(frozen=True)
class Stats:
    """The attempts of the last 7 days, at most the latest 10,000. None: there is no attempt."""

    attempts: int
    success_share: float | None
    p95_ms: int | None


@dataclass(frozen=True)
class Resent:
    """How many deliveries became pending, and from which time on there are more."""

    count: int
    next_since: datetime | None


def pause_after(tries: int, retry_after: timedelta | None) -> timedelta | None:
    """How long to wait after so many tries; None: there is no further try. A receiver may ask for a longer pause."""
    if tries >= MAX_TRIES:
        return None
    pause = PAUSES[tries - 1] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
    return pause if retry_after is None else max(pause, min(retry_after, MAX_RETRY_AFTER))
