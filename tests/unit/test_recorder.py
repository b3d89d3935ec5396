"""What the recorder logs of an agent's tool calls."""

from typing import cast

from agentcontainer.domain.tasks import event_data
from agentcontainer.runner.agent.pi_events import ToolCompleted, ToolStarted
from agentcontainer.runner.agent.recorder import Recorder
from agentcontainer.runner.log import EventLog


class Log:
    """A log that keeps the added events in memory."""

    def __init__(self) -> None:
        self.events: list[event_data.EventData] = []

    def add(self, event: event_data.EventData) -> None:
        self.events.append(event)


def test_calls_that_run_at_an_accepted_end_are_logged_as_completed_once() -> None:
    log = Log()
    recorder = Recorder(cast(EventLog, log))
    recorder.record(ToolStarted("call_1", "read", {}))
    recorder.record(ToolStarted("call_2", "bash", {"command": "finish"}))
    recorder.record(ToolCompleted("call_1", "read", is_error=True, output="no such file"))
    for _ in range(2):
        recorder.complete_calls("accepted")
    completed = [event for event in log.events if isinstance(event, event_data.ToolCompleted)]
    assert [(event.call_id, event.tool, event.is_error, event.output) for event in completed] == [
        ("call_1", "read", True, "no such file"),
        ("call_2", "bash", False, "accepted"),
    ]
