"""Similar log lines are written once a minute, with the number of those left out."""

import logging

from agentcontainer.cli.log_lines import MAX_FROM_OUR_LINE, BoundedRate, once_a_minute
from agentcontainer.repetition import MAX_KEYS, Repetition


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def record(
    message: str, *arguments: object, name: str = "agentcontainer.x", level: int = logging.ERROR
) -> logging.LogRecord:
    return logging.LogRecord(name, level, "x.py", 1, message, arguments, None)


def test_the_first_of_a_kind_is_admitted_and_then_one_a_minute() -> None:
    clock = Clock()
    repetition = Repetition(60, clock)
    assert [repetition.admit("a") for _ in range(4)] == [0, None, None, None]
    assert repetition.admit("b") == 0
    clock.now = 61
    assert [repetition.admit("a") for _ in range(2)] == [3, None]


def test_the_memory_of_what_was_admitted_is_bounded() -> None:
    repetition = Repetition()
    assert [repetition.admit(number) for number in range(MAX_KEYS + 10)] == [0] * (MAX_KEYS + 10)
    assert repetition.admit(MAX_KEYS + 9) is None


def test_a_flood_of_one_message_is_one_line_a_minute() -> None:
    clock = Clock()
    bounded = BoundedRate(clock)
    assert [bounded(record("%s failed", "it")) for _ in range(1000)].count(True) == 1
    clock.now = 61
    again = record("%s failed", "it")
    assert bounded(again)
    assert again.getMessage() == "it failed (999 more like it since the last one)"


def test_different_messages_of_one_place_are_bounded_and_other_places_are_not_silenced() -> None:
    bounded = BoundedRate()
    flood = [bounded(record("%s failed", number)) for number in range(1000)]
    assert flood.count(True) == MAX_FROM_OUR_LINE
    assert [bounded(record("%s", number, name="asyncio")) for number in range(1000)].count(True) == 3
    assert bounded(record("other", name="agentcontainer.y"))
    assert all(bounded(record("GET /", level=logging.INFO)) for _ in range(1000))


def test_a_line_that_differs_in_numbers_only_is_said_once_a_minute() -> None:
    said: list[str] = []
    say = once_a_minute(said.append)
    for seconds in (0.2, 0.4, 5.0):
        say(f"api ended with exit code 1; restarting it in {seconds} s")
    say("runner ended with signal 9; restarting it in 0.2 s")
    assert len(said) == 2
