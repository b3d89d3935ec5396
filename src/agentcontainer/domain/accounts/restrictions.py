"""What a key that is bound to agents or limits may not ask for when it dispatches a task or changes its settings."""

from agentcontainer.db import Connection
from agentcontainer.domain.accounts.principal import Principal
from agentcontainer.domain.execution.model import AgentDefaults, Overrides
from agentcontainer.domain.unset import Unset
from agentcontainer.errors import Forbidden, ValidationError

_MAX_PRIORITY = "SELECT max_priority FROM accounts WHERE id = $1"


def check_overrides(
    caller: Principal | None, overrides: Overrides, defaults: AgentDefaults, path: str = "overrides"
) -> None:
    """Check the overrides of a request against what the caller's key may set.

    Raises:
        Forbidden: they give a task wider access than its agent's defaults.
        ValidationError: the priority is above that of the key; names the field.
    """
    if caller is None:
        return
    limit, priority = caller.limits.max_priority, overrides.effective_priority
    if limit is not None and priority > limit:
        raise ValidationError.at(f"{path}.priority", f"must be at most {limit} with this key")
    is_wider = overrides.internet_access is True or not isinstance(overrides.egress, Unset)
    if caller.grant.is_restricted and is_wider and not defaults.internet_access:
        raise Forbidden(
            f"{path}: a key that is bound to agents or limits may not give a task internet access "
            "which its agent does not have."
        )


async def check_priority(connection: Connection, account_id: str, overrides: Overrides) -> None:
    """Read the greatest priority that the account allows, and check the priority against it. Raises as
    `check_account_priority` does."""
    if overrides.effective_priority > 0:
        check_account_priority(await connection.fetchval(_MAX_PRIORITY, account_id), overrides)


def check_account_priority(limit: int | None, overrides: Overrides) -> None:
    """Check the priority against the greatest one that the account allows. None: any.

    Raises:
        ValidationError: it is above 0 and above the limit; names the field.
    """
    priority = overrides.effective_priority
    if priority > 0 and limit is not None and priority > limit:
        raise ValidationError.at("overrides.priority", f"must be at most {limit} in this account")
