"""Which principals each route takes, as the route declares it, and the one place that refuses the others.

A route without a declaration cannot be made. docs/reference/access.md lists all routes with it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from fastapi.routing import APIRoute

from agentcontainer.api.http.visibility import CHECKED_IDS
from agentcontainer.domain.accounts.principal import Principal
from agentcontainer.errors import Forbidden

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class Level(StrEnum):
    """What a principal needs to use a route."""

    PUBLIC = "public"  # no API key; perhaps a signature or a link
    READS = "reads"  # any key
    ACTS = "acts"  # a member's key
    ADMINISTERS = "administers"  # a member's key without `agentIds` and `limits`
    INSPECTS = "inspects"  # any key of an operator's account without `agentIds` and `limits`
    OPERATES = "operates"  # a member's key of an operator's account without `agentIds` and `limits`


class Agents(StrEnum):
    """How a route keeps a key with `agentIds` from what does not belong to these agents."""

    PATH = "path"  # an id in the path is checked before the endpoint runs
    FILTERED = "filtered"  # the endpoint leaves out the rest
    INDEPENDENT = "independent"  # it shows and changes nothing that belongs to an agent
    REFUSED = "refused"  # such keys cannot use it


@dataclass(frozen=True)
class Access:
    """The decision of a route."""

    level: Level
    agents: Agents
    has_trial: bool = False
    """Whether the route, which acts, only reads with `dryRun`."""


_WITHOUT_AGENTS = (Level.ADMINISTERS, Level.INSPECTS, Level.OPERATES)


def access(
    level: Level, agents: Agents | None = None, *, has_trial: bool = False
) -> Callable[[Endpoint], Endpoint]:
    """Declare who may use a route. Put it below the decorator that makes the route.

    `agents` is `PATH` for routes that read or act unless another one is given.
    """
    if agents is None:
        agents = {Level.READS: Agents.PATH, Level.ACTS: Agents.PATH, Level.PUBLIC: Agents.INDEPENDENT}.get(
            level, Agents.REFUSED
        )

    def declare(endpoint: Endpoint) -> Endpoint:
        vars(endpoint)["access"] = Access(level, agents, has_trial)
        return endpoint

    return declare


reads = access(Level.READS)
acts = access(Level.ACTS)
acts_or_tries = access(Level.ACTS, has_trial=True)
administers = access(Level.ADMINISTERS)
inspects = access(Level.INSPECTS)
operates = access(Level.OPERATES)
public = access(Level.PUBLIC)


def access_of(route: APIRoute) -> Access:
    """The declaration of the route.

    Raises:
        TypeError: it has none, or one that does not fit its path.
    """
    declared: Access | None = vars(route.endpoint).get("access")
    if declared is None:
        raise TypeError(f"{route.path}: {route.endpoint.__name__} declares no access; see api/http/access.py")
    if declared.agents is Agents.PATH and CHECKED_IDS.isdisjoint(route.param_convertors):
        raise TypeError(f"{route.path} has no id of {sorted(CHECKED_IDS)}, so `agents` must be decided")
    return declared


def check(declared: Access, principal: Principal, *, is_trial: bool = False) -> None:
    """Let the principal use a route with this declaration. `is_trial`: the request has `dryRun=true`.

    Raises:
        Forbidden: its key, or its account, may not.
    """
    level = Level.READS if is_trial and declared.has_trial else declared.level
    if level in (Level.ACTS, Level.ADMINISTERS, Level.OPERATES) and not principal.is_member:
        raise Forbidden("This key has the role viewer: it can read, but not change anything.")
    if level in _WITHOUT_AGENTS and principal.grant.is_restricted:
        raise Forbidden(
            "A key that is bound to agents or limits may not do this. Use a key of the account without them."
        )
    if declared.agents is Agents.REFUSED and principal.agent_ids is not None:
        raise Forbidden(
            "A key that is bound to agents may not do this. Use a key of the account without them."
        )
    if level in (Level.INSPECTS, Level.OPERATES) and not principal.is_operator:
        raise Forbidden("Only an account that operates this installation may do this.")
