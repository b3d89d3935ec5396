"""The shapes: a check finds; a finding says what, where and how to mend it, and may mend itself."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Subject = TypeVar("Subject")


@dataclass(frozen=True)
class Finding:
    """Something that should not be there, or should."""

    what: str
    where: str
    how: str
    """How to mend it, for whoever does: `mend` does the same."""
    mend: Callable[[], Awaitable[None]] | None = None
    """None: only a person can judge what is right."""
    is_notice: bool = False
    """Worth knowing; the host is well nevertheless."""


@dataclass(frozen=True)
class Check(Generic[Subject]):
    """`find` yields what it finds as it goes; each finding may be mended before the next one is asked for."""

    name: str
    find: Callable[[Subject], AsyncGenerator[Finding]]
