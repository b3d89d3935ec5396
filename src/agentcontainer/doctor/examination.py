"""All checks, one after another: what they found, what was mended, and what could not be asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import asyncpg

from agentcontainer import db
from agentcontainer.doctor.finding import Check, Finding
from agentcontainer.errors import AgentContainerError

Subject = TypeVar("Subject")
FAULTS = (AgentContainerError, asyncpg.PostgresError, *db.UNREACHABLE)


@dataclass(frozen=True)
class Found:
    """A finding, the check it is of, and what became of it."""

    check: str
    finding: Finding
    is_mended: bool = False
    fault: str | None = None
    """Why it could not be mended."""


@dataclass
class Examination:
    """What has been found so far. `tell` hears of each finding at once."""

    is_mending: bool
    tell: Callable[[Found], None]
    found: list[Found] = field(default_factory=list[Found])
    unasked: list[str] = field(default_factory=list[str])
    """Sentences: what could not be examined, and why."""

    notices: list[Found] = field(default_factory=list[Found])
    """What only some tasks need."""

    notes: list[str] = field(default_factory=list[str])
    """Sentences: what there was not to examine."""

    @property
    def is_well(self) -> bool:
        """Whether everything was examined and nothing is left."""
        return not self.unasked and all(one.is_mended for one in self.found)

    async def make(self, checks: Sequence[Check[Subject]], subject: Subject) -> None:
        """Make these checks. One that fails does not keep the others from being made."""
        for check in checks:
            try:
                async for finding in check.find(subject):
                    self._add(await self._mended(check.name, finding))
            except FAULTS as error:
                self.unasked.append(f"{check.name}: {_sentence(error)}")

    def _add(self, found: Found) -> None:
        (self.notices if found.finding.is_notice else self.found).append(found)
        self.tell(found)

    async def _mended(self, name: str, finding: Finding) -> Found:
        if not self.is_mending or finding.mend is None:
            return Found(name, finding)
        try:
            await finding.mend()
        except FAULTS as error:
            return Found(name, finding, fault=_sentence(error))
        return Found(name, finding, is_mended=True)


def _sentence(error: BaseException) -> str:
    return str(error) or type(error).__name__
