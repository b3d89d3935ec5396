"""The tables of state.py are consistent, and the documented diagram matches them."""

from pathlib import Path

import pytest

from agentcontainer.domain.tasks.state import MEANING, TERMINAL, TRANSITIONS, EndReason, Status
from scripts.render_life_of_a_task import END, START, diagram

SEED_EDGES = [
    ("pending", "running"), ("running", "finished"), ("running", "failed"), ("running", "cancelled"),
    ("running", "hibernating"), ("hibernating", "pending"), ("running", "awaiting_input"),
    ("awaiting_input", "running"), ("awaiting_input", "finished"), ("awaiting_input", "failed"),
    ("awaiting_input", "cancelled"), ("awaiting_input", "expired"),
]  # fmt: skip


@pytest.mark.parametrize(("from_", "to"), SEED_EDGES)
def test_every_documented_status_change_is_allowed(from_: str, to: str) -> None:
    assert Status(to) in TRANSITIONS[Status(from_)]


def test_terminal_statuses_never_change() -> None:
    assert {status.value for status in TERMINAL} == {"finished", "failed", "cancelled", "expired"}


def test_cancelled_is_reachable_from_every_live_status() -> None:
    assert all(Status.CANCELLED in TRANSITIONS[status] for status in Status if status not in TERMINAL)


def test_finished_is_only_reached_through_finish_or_the_end_of_a_conversation() -> None:
    assert {status for status, to in TRANSITIONS.items() if Status.FINISHED in to} == {
        Status.PENDING,
        Status.RUNNING,
        Status.AWAITING_INPUT,
        Status.HIBERNATING,
    }
    assert {reason for reason, meaning in MEANING.items() if meaning.status is Status.FINISHED} == {
        EndReason.COMPLETE,
        EndReason.INCOMPLETE,
        EndReason.ENDED,
    }


@pytest.mark.parametrize("reason", EndReason)
def test_every_reason_leads_from_a_container_to_an_allowed_status(reason: EndReason) -> None:
    meaning = MEANING[reason]
    source = Status.AWAITING_INPUT if reason is EndReason.EXPIRED else Status.RUNNING
    assert meaning.status in TRANSITIONS[source]
    assert (meaning.error_code is not None) == (meaning.status is Status.FAILED or meaning.uses_a_try)


def test_the_diagram_in_the_docs_is_generated_from_the_table() -> None:
    text = (Path(__file__).parents[2] / "docs/life-of-a-task.md").read_text()
    assert text.split(START)[1].split(END)[0].strip() == diagram().strip(), "run `make docs`"
