"""The message about a Pi that ended by itself names the cause, not what Pi printed before."""

import pytest

from agentcontainer.runner.agent.pi_crash import crash_message

WARNING = "Warning: No project session found with id 'tsk_1'; creating a new session with that id.\n"


@pytest.mark.parametrize(("code", "name"), [(137, "SIGKILL"), (143, "SIGTERM")])
def test_a_signal_is_named_with_the_command_that_was_running(code: int, name: str) -> None:
    assert crash_message(code, WARNING, "kill -9\n -1") == (
        f"Pi was ended by {name}, which a process in the container sent, not the platform. "
        "The agent's last command was: kill -9 -1"
    )


def test_a_long_command_is_cut() -> None:
    message = crash_message(137, "", "x" * 5000)
    assert len(message) < 400
    assert message.endswith("…")


def test_a_fault_of_pi_is_shown_without_its_harmless_first_line() -> None:
    assert crash_message(1, f"{WARNING}Error: out of cheese\n", "true") == (
        "Pi ended unexpectedly with exit code 1. Error: out of cheese"
    )
    assert crash_message(1, WARNING, None) == "Pi ended unexpectedly with exit code 1."
