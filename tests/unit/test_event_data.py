"""The data of events: every type is stored as the API describes it."""

from datetime import UTC, datetime

from agentcontainer.domain.tasks import event_data
from agentcontainer.domain.tasks.event_data import EventData, TurnLabel, draft
from agentcontainer.domain.tasks.events import EVENT_TYPES
from agentcontainer.domain.tasks.state import Status


def classes(of: type[EventData] = EventData) -> list[type[EventData]]:
    return [class_ for sub in of.__subclasses__() for class_ in (sub, *classes(sub))]


def test_each_type_of_event_has_one_class() -> None:
    types = [class_.type for class_ in classes() if hasattr(class_, "type")]
    assert sorted(types) == sorted([*EVENT_TYPES, "message.delta"])


def test_fields_are_stored_in_camel_case_and_times_in_the_format_of_the_api() -> None:
    until = datetime(2026, 11, 24, 1, 2, 3, 456_789, UTC)
    stored = draft(
        event_data.TaskHibernated(Status.HIBERNATING, "Waiting for a reply.", until, "agent", True)
    )
    assert stored.type == "task.hibernated"
    assert stored.data == {
        "status": "hibernating", "message": "Waiting for a reply.",
        "hibernateUntilAt": "2026-11-24T01:02:03.456Z", "hibernationReason": "agent", "hasWakeLink": True,
    }  # fmt: skip


def test_events_within_a_turn_carry_its_number() -> None:
    assert draft(event_data.TurnStarted("msg_1"), TurnLabel(2, 1)).data == {
        "messageId": "msg_1", "turnNumber": 2, "attemptNumber": 1,
    }  # fmt: skip


def test_an_optional_field_without_a_value_is_left_out_and_others_are_null() -> None:
    assert draft(event_data.AgentReminded("budget")).data == {"reason": "budget"}
    assert draft(event_data.EgressRefused("example.com", None, "example.com")).data["port"] is None


def test_token_counts_keep_their_names() -> None:
    stored = draft(
        event_data.MessageCreated(
            "msg_1",
            "assistant",
            "created",
            "Hello",
            (),
            {"input_tokens": 1, "output_tokens": 2},
            0.5,
            datetime.now(UTC),
        )
    )
    assert stored.data["tokenUsage"] == {"input_tokens": 1, "output_tokens": 2}
    assert stored.data["files"] == []
