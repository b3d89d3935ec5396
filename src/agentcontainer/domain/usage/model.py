"""The dataclasses of usage: what an account's tasks used in a period, by day, agent, model and others."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

METADATA_PREFIX = "metadata."
DIMENSIONS = ("day", "agent", "agentVersion", "model", "key")
MAX_DIMENSIONS = 2
MAX_DAYS = 366
MAX_ROWS = 1000
MAX_METADATA_KEYS = 5


@dataclass(frozen=True)
class UsageFilter:
    """Which use is summed. `by`: entries of `DIMENSIONS`, or `metadata.` and a key. `agent_ids` None: of all agents."""

    account_id: str
    first_day: date
    last_day: date
    by: Sequence[str]
    agent_ids: Collection[str] | None = None


@dataclass(frozen=True)
class UsageRow:
    """What was used together. `values`: of each of `by`, in their order, empty where a task has none. `digest`: of the
    values.

    `live`: tasks that were dispatched in the period and have not ended; other counts are of tasks that ended in it.
    """

    values: tuple[str, ...]
    digest: str
    finished: int
    failed: int
    cancelled: int
    expired: int
    live: int
    container_micro_seconds: int
    cost_micro_usd: int
    model_cost_micro_usd: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
