"""The dataclasses of batches: tasks of one dispatch."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from agentcontainer.domain.tasks.state import Status

MAX_TASKS = 1000


@dataclass(frozen=True)
class Batch:
    """A batch, and how many of its tasks have each status. Deleted tasks are not counted."""

    id: str
    agent_id: str
    created_at: datetime
    counts: Mapping[Status, int]
