"""What the recorder logs of an agent's tool calls, and which of its text is the reply of a turn."""

import time
from typing import cast

import pytest

from agentcontainer.domain.tasks import event_data
from agentcontainer.runner.agent.pi_events import MessageCompleted, PiEvent, ToolCompleted, ToolStarted
from agentcontainer.runner.agent.recorder import MAX_REPLY_CHARACTERS, Recorder
from agentcontainer.runner.log import EventLog


class Log:
    """A log that keeps the added events in memory."""

    def __init__(self) -> None:
        self.events: list[event_data.EventData] = []

    def add(self, event: event_data.EventData) -> None:
        self.events.append(event)


def test_the_oldest_running_call_counts() -> None:
    recorder = Recorder(cast(EventLog, Log()))
    recorder.record(ToolStarted("call_1", "bash", {"command": "sleep 9"}))
    time.sleep(0.02)
    recorder.record(ToolStarted("call_2", "bash", {"command": "true"}))
    recorder.record(ToolCompleted("call_2", "bash", is_error=False, output=""))
    assert recorder.longest_call_seconds >= 0.02
    recorder.record(ToolCompleted("call_1", "bash", is_error=False, output=""))
    assert recorder.longest_call_seconds == 0


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


def said(text: str, stop_reason: str = "stop") -> MessageCompleted:
    return MessageCompleted("assistant", text, stop_reason, "")


CALL = (ToolStarted("call_1", "bash", {}), ToolCompleted("call_1", "bash", is_error=False, output="ok"))


@pytest.mark.parametrize(
    ("events", "reply"),
    [
        ([said("One."), said("Two.")], "One.\n\nTwo."),
        ([said("Let me look.", "toolUse"), *CALL, said("North.")], "North."),
        (
            [said("I look.", "toolUse"), *CALL, said("And again.", "toolUse"), *CALL, said("A."), said("B.")],
            "A.\n\nB.",
        ),
        (
            [said("I share it.", "toolUse"), *CALL, said("Here it is.", "toolUse"), *CALL, said("")],
            "I share it.\n\nHere it is.",
        ),
        ([*CALL, said("")], ""),
        ([said("x" * MAX_REPLY_CHARACTERS, "toolUse"), *CALL, said("Done.")], "Done."),
    ],
)
def test_a_reply_is_what_the_agent_said_after_its_last_tool_call(events: list[PiEvent], reply: str) -> None:
    log = Log()
    recorder = Recorder(cast(EventLog, log))
    recorder.record(said("Of the turn before."))
    recorder.begin_reply()
    for event in events:
        recorder.record(event)
    assert recorder.reply == reply
    logged = [event.content for event in log.events if isinstance(event, event_data.MessageCompleted)]
    assert logged[1:] == [
        event.text for event in events if isinstance(event, MessageCompleted) and event.text
    ]
