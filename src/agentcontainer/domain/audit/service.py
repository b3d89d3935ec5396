"""Records who changed what, in the transaction that changes it."""

from agentcontainer.db import Connection
from agentcontainer.domain.audit import store
from agentcontainer.domain.audit.actions import Action
from agentcontainer.domain.audit.model import Actor


async def record(
    connection: Connection, actor: Actor, action: Action, target: str | None, *, account_id: str | None = None
) -> None:
    """Record that `actor` does `action` to `target`, which is an id and never a value.

    Call it inside the transaction that does it. `account_id`: the account that it concerns, if it is not the actor's.
    """
    await store.insert(connection, account_id or actor.account_id, actor, action, target)
