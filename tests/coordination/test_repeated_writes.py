"""Writes of an attempt that are repeated when the database fails at their COMMIT have one effect.

No agent runs here: each row prepares a task as an attempt would find it, and makes one write through the proxy. The
writes that a running agent causes are in test_lost_replies.py.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.checkpoints import service as checkpoints
from agentcontainer.domain.conversations import store as conversations
from agentcontainer.domain.conversations import turns
from agentcontainer.domain.tasks import service
from agentcontainer.domain.tasks.model import Claim, Output
from agentcontainer.domain.tasks.state import EndReason
from tests import claims
from tests.coordination.bed import Bed
from tests.coordination.proxy import Failure, TransactionPattern

FAILURES: tuple[Failure, ...] = ("reply lost", "cut before")


@dataclass(frozen=True)
class Row:
    """One kind of write. `effect`: SQL that shows what it did to task $1, and what it must show."""

    name: str
    prepare: Callable[[Bed], Awaitable[Claim]]
    write: Callable[[Pool, Claim], Awaitable[object]]
    pattern: TransactionPattern
    effect: str
    expected: tuple[object, ...]


async def claimed(bed: Bed, task_id: str) -> Claim:
    async with db.transaction(bed.pool) as connection:
        claim = await claims.claim(connection, task_id, "rnr_test")
    assert claim is not None
    return claim


async def running(bed: Bed) -> Claim:
    return await claimed(bed, await bed.dispatch({"bash": "true"}))


async def with_second_message(bed: Bed) -> Claim:
    """A conversation whose container is up, and whose next turn has not begun."""
    claim = await claimed(bed, await bed.converse({"say": "One."}))
    turn = await turns.begin(bed.pool, claim)
    assert turn is not None
    ended = await turns.end(
        bed.pool, bed.settings, claim, turn, checkpoint_id=None, reply="One.", file_ids=[]
    )
    assert ended == "idle"
    await bed.send(claim.task_id, {"say": "Two."})
    return claim


async def crashed(bed: Bed) -> Claim:
    claim = await running(bed)
    async with db.transaction(bed.pool) as connection:
        assert await service.end(
            connection, bed.settings, claim.task_id, EndReason.AGENT_CRASHED, attempt=claim.attempt
        )
    return claim


async def steered(bed: Bed) -> Claim:
    """A task whose agent got a message that no checkpoint holds."""
    claim = await running(bed)
    await bed.steer(claim.task_id, "Mind the gap.")
    [(message_id, _)] = await conversations.queued_steering(bed.pool, claim.task_id)
    assert await turns.deliver_steering(bed.pool, claim, message_id)
    return claim


def output_of(claim: Claim) -> Output:
    ident = claim.task_id.removeprefix("tsk_")
    return Output(f"file_{ident}", "out.txt", "text/plain", 2, "0" * 64, f"outputs/{ident}")


ROWS = (
    Row(
        "restart in another container",
        with_second_message,
        lambda pool, claim: turns.restart(pool, claim, 2),
        TransactionPattern("UPDATE tasks SET status = $2", ("pending",)),
        "SELECT t.status, turn_number, turn_status, q.queued = (SELECT count(*) FROM tasks WHERE status = 'pending') "
        "FROM tasks t JOIN account_queues q USING (account_id) WHERE t.id = $1",
        ("pending", 2, "queued", True),
    ),
    Row(
        "partial outputs",
        crashed,
        lambda pool, claim: service.add_partial_outputs(pool, claim, [output_of(claim)]),
        TransactionPattern("UPDATE tasks SET remains_at"),
        "SELECT count(*), bool_and(is_partial) FROM files WHERE task_id = $1",
        (1, True),
    ),
    Row(
        "steering queued again",
        steered,
        conversations.requeue_steering,
        TransactionPattern("UPDATE messages m SET status = 'queued'"),
        "SELECT count(*), min(status) FROM messages WHERE task_id = $1 AND is_steering",
        (1, "queued"),
    ),
    Row(
        "new checkpoint",
        running,
        lambda pool, claim: checkpoints.create(pool, claim.task_id, f"ckp_{claim.task_id}"),
        TransactionPattern("INSERT INTO checkpoints"),
        "SELECT count(*) FROM checkpoints WHERE task_id = $1",
        (1,),
    ),
)


async def test_a_repeated_write_has_one_effect(bed: Bed) -> None:
    async with bed.behind_proxy() as (proxy, pool, _):
        for row in ROWS:
            for failure in FAILURES:
                claim = await row.prepare(bed)
                before = await bed.event_types(claim.task_id)
                trap = proxy.trap(row.pattern, failure)
                await db.retry_while_unavailable(lambda row=row, claim=claim: row.write(pool, claim))
                case = f"{row.name}, {failure}"
                assert trap.sprung.is_set(), case
                seen = await bed.pool.fetchrow(row.effect, claim.task_id)
                assert seen is not None and tuple(seen) == row.expected, case
                assert await bed.event_types(claim.task_id) == before, case
