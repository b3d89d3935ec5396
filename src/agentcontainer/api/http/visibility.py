"""Checks the ids in a path for keys that are bound to agents: what belongs to other agents does not exist for them."""

from collections.abc import Mapping

from agentcontainer.db import Pool
from agentcontainer.domain.accounts import visible
from agentcontainer.domain.accounts.principal import Principal
from agentcontainer.errors import NotFound

# Path parameters that decide whether an object belongs to an agent of the key: the noun of the refusal.
_NOUNS = {"agentId": "Agent", "taskId": "Task", "batchId": "Batch", "fileId": "File"}
CHECKED_IDS = frozenset(_NOUNS)


async def check_path(pool: Pool, principal: Principal, path_params: Mapping[str, str]) -> None:
    """Refuse a path that names an object of an agent which the key is not bound to, as if it did not exist.

    Raises:
        NotFound: there is no such object for this principal.
    """
    if principal.agent_ids is None:
        return
    for name, noun in _NOUNS.items():
        id_ = path_params.get(name)
        if id_ is not None and not await _is_visible(pool, principal, name, id_):
            raise NotFound(f"{noun} {id_} does not exist.")


async def _is_visible(pool: Pool, principal: Principal, name: str, id_: str) -> bool:
    if name == "agentId":
        return principal.sees_agent(id_)
    if name == "taskId":
        return id_ in await visible.visible_tasks(pool, principal, [id_])
    if name == "batchId":
        return await visible.is_batch_visible(pool, principal, id_)
    return id_ in await visible.visible_files(pool, principal, [id_])
