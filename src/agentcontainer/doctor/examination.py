"""Runs the checks, fixes what they find if asked to, and records what could not be examined."""

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
    """A finding, the name of its check, and whether it was fixed."""

    check: str
    finding: Finding
    is_fixed: bool = False
    fault: str | None = None
    """Why it could not be fixed."""


@dataclass
class Examination:
    """The findings so far. `report` is called with each one at once."""

    is_fixing: bool
    report: Callable[[Found], None]
    found: list[Found] = field(default_factory=list[Found])
    not_examined: list[str] = field(default_factory=list[str])
    """Sentences that say what could not be examined, and why."""

    notices: list[Found] = field(default_factory=list[Found])
    """Findings that only affect some tasks."""

    notes: list[str] = field(default_factory=list[str])
    """Sentences that say what does not exist here, and so was not examined."""

    @property
    def is_healthy(self) -> bool:
        """Whether everything was examined and every finding was fixed."""
        return not self.not_examined and all(found.is_fixed for found in self.found)

    async def run(self, checks: Sequence[Check[Subject]], subject: Subject) -> None:
        """Run these checks on `subject`. A check that fails does not stop the others."""
        for check in checks:
            try:
                async for finding in check.find(subject):
                    self._add(await self._fixed(check.name, finding))
            except FAULTS as error:
                self.not_examined.append(f"{check.name}: {_sentence(error)}")

    def _add(self, found: Found) -> None:
        (self.notices if found.finding.is_notice else self.found).append(found)
        self.report(found)

    async def _fixed(self, name: str, finding: Finding) -> Found:
        if not self.is_fixing or finding.fix is None:
            return Found(name, finding)
        try:
            await finding.fix()
        except FAULTS as error:
            return Found(name, finding, fault=_sentence(error))
        return Found(name, finding, is_fixed=True)


def _sentence(error: BaseException) -> str:
    return str(error) or type(error).__name__
