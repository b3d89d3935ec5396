"""The object that the parts of one attempt share: its services, claim, task, log, mode and outcome."""

from dataclasses import dataclass
from pathlib import Path

from agentcontainer.domain.tasks.model import Claim, Task
from agentcontainer.runner.log import EventLog
from agentcontainer.runner.mode import Mode
from agentcontainer.runner.outcome import Outcome
from agentcontainer.runner.services import Services
from agentcontainer.runner.trace import AttemptTrace


@dataclass(frozen=True)
class AttemptContext:
    """One attempt: its runner's services, its claim and task, its event log, the agent's mode, how it ends, and its
    traces.

    `name` identifies the attempt's sandbox and folder on this host.
    """

    services: Services
    claim: Claim
    name: str
    task: Task
    log: EventLog
    mode: Mode
    outcome: Outcome
    trace: AttemptTrace

    @property
    def root(self) -> Path:
        """The attempt's folder on the host."""
        return self.services.folder / self.name

    @property
    def workspace(self) -> Path:
        """The agent's writable folder, as the host sees it."""
        return self.root / "workspace"
