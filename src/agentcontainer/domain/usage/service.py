"""Checks what use may be summed by."""

from agentcontainer.db import Pool
from agentcontainer.domain.accounts import store as accounts
from agentcontainer.domain.usage.model import (
    DIMENSIONS,
    MAX_DAYS,
    MAX_DIMENSIONS,
    METADATA_PREFIX,
    UsageFilter,
)
from agentcontainer.errors import ValidationError


async def check(pool: Pool, usage: UsageFilter) -> None:
    """Check the period, and what the use is summed by.

    Raises:
        ValidationError: it names the parameter.
    """
    if usage.last_day < usage.first_day:
        raise ValidationError.at("from", "must not be after `to`")
    if (usage.last_day - usage.first_day).days >= MAX_DAYS:
        raise ValidationError.at("from", f"must be at most {MAX_DAYS - 1} days before `to`")
    if len(usage.by) > MAX_DIMENSIONS or len(set(usage.by)) < len(usage.by):
        raise ValidationError.at("by", f"must have at most {MAX_DIMENSIONS} different values")
    keys = {
        name.removeprefix(METADATA_PREFIX)
        for name in usage.by
        if name.startswith(METADATA_PREFIX) and name != METADATA_PREFIX
    }
    for name in usage.by:
        if name not in DIMENSIONS and name.removeprefix(METADATA_PREFIX) not in keys:
            raise ValidationError.at("by", f"must hold {', '.join(DIMENSIONS)} or metadata.<key>")
    if keys:
        account = await accounts.get(pool, usage.account_id)
        listed = account.usage_metadata_keys if account else []
        for key in sorted(keys.difference(listed)):
            message = f"metadata.{key} is not counted: add the key to the account's usageMetadataKeys first"
            raise ValidationError.at("by", message)
