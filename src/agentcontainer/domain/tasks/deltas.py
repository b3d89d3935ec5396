"""Live text: pieces of what agents are saying, which runners send to the API processes whose streams follow the tasks.

An API process announces the tasks that its streams follow, and repeats that while they do. Runners remember it for
`FOLLOW_SECONDS`, and send nothing for other tasks: a notification that nobody wants still costs a commit, takes a lock
of the whole database cluster, and is parsed by every API process.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from agentcontainer.db import Connection, Pool
from agentcontainer.domain.tasks.event_data import MessageDelta, TurnLabel, draft
from agentcontainer.domain.tasks.model import Claim

CHANNEL = "agentcontainer_deltas"  # NOTIFY payload: a message.delta, as JSON
FOLLOW_CHANNEL = "agentcontainer_follows"  # NOTIFY payload: ids of followed tasks, separated by spaces
REQUEST_CHANNEL = "agentcontainer_follow_requests"  # NOTIFY without payload: a runner asks what is followed
FOLLOW_SECONDS = 30.0  # an announcement holds so long
RENEW_SECONDS = 10.0  # and is repeated so often
MAX_CHARACTERS = 1200  # in one notification, whose payload PostgreSQL limits to 8000 bytes
IDS_PER_NOTIFICATION = 200

# An attempt that has lost its claim notifies nobody.
_SEND = """
WITH piece AS MATERIALIZED (
    SELECT payload FROM unnest($1::text[], $2::int[], $3::text[]) WITH ORDINALITY
        AS sent (task_id, attempt, payload, number)
    JOIN tasks ON tasks.id = sent.task_id AND tasks.attempt = sent.attempt AND status = 'running'
    ORDER BY number
)
SELECT count(pg_notify($4, payload)) FROM piece
"""
_ANNOUNCE = "SELECT count(pg_notify($1, ids)) FROM unnest($2::text[]) AS ids"

_numbers = count()


@dataclass(frozen=True)
class Delta:
    """A piece of the agent's current message. `after`: the number of the last event before it."""

    claim: Claim
    after: int
    content: str
    turn: TurnLabel | None


async def send(connection: Connection | Pool, deltas: Sequence[Delta]) -> None:
    """Send live streams pieces of what agents are saying, each of at most `MAX_CHARACTERS`."""
    await connection.execute(
        _SEND,
        [delta.claim.task_id for delta in deltas],
        [delta.claim.attempt for delta in deltas],
        [_payload(delta) for delta in deltas],
        CHANNEL,
    )


def _payload(delta: Delta) -> str:
    # PostgreSQL delivers equal notifications of a transaction once; the number makes equal pieces differ.
    content = {
        "taskId": delta.claim.task_id,
        "after": delta.after,
        "n": next(_numbers),
        "data": draft(MessageDelta(delta.content), delta.turn).data,
    }
    return json.dumps(content, ensure_ascii=False)


async def announce(pool: Pool, task_ids: Sequence[str]) -> None:
    """Tell all runners that these tasks are followed for the next `FOLLOW_SECONDS`."""
    starts = range(0, len(task_ids), IDS_PER_NOTIFICATION)
    payloads = [" ".join(task_ids[start : start + IDS_PER_NOTIFICATION]) for start in starts]
    await pool.execute(_ANNOUNCE, FOLLOW_CHANNEL, payloads)


async def ask(pool: Pool) -> None:
    """Ask all API processes to announce what their streams follow."""
    await pool.execute("SELECT pg_notify($1, '')", REQUEST_CHANNEL)
