"""The types: a check yields findings; a finding says what is wrong, where, and how to fix it."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Subject = TypeVar("Subject")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    what: str
    where: str
    how: str
    """What an operator should do; `fix` does the same."""
    fix: Callable[[], Awaitable[None]] | None = None
    """None: a person has to decide what is right."""
    is_notice: bool = False
    """Whether only some tasks are affected, so that the host still counts as healthy."""


@dataclass(frozen=True)
class Check(Generic[Subject]):
    """A named check. `find` yields findings one by one; each may be fixed before the next one is requested."""

    name: str
    find: Callable[[Subject], AsyncGenerator[Finding]]
