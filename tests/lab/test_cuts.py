"""Two agents of a task never write at once, however long a runner is cut off. `python -m tests.lab.cuts` cuts more."""

import pytest

from .cuts import rounds
from .lab import Lab

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.mark.parametrize(("count", "minimum", "maximum"), [(8, 5, 40), (2, 180, 180)])
def test_two_agents_never_write_at_once(lab: Lab, count: int, minimum: float, maximum: float) -> None:
    done = list(rounds(lab, count, minimum, maximum, seed=1))
    assert [text for each in done for text in each.verdict.duplicated] == []
    assert [text for each in done for text in (*each.verdict.lost, *each.verdict.ledger)] == []
