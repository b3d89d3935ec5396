"""Every parser of hostile bytes, fuzzed briefly with the same inputs each time. `make fuzz` fuzzes for longer.

`REGRESSIONS` has the inputs that once failed.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import of_clients, of_gateway, of_images, of_runner
from tests.fuzz.mutation import inputs
from tests.fuzz.target import Target

TARGETS = {
    target.name: target
    for group in (of_runner, of_gateway, of_clients, of_images)
    for target in group.TARGETS
}
REGRESSIONS: list[tuple[str, bytes]] = [
    ("model-requests", b'{"model":"m","messages":[{"content":[{"type":[]}]}]}'),
    ("model-requests", b'{"model":"m","messages":[],"fallbacks":[{"model":{}}]}'),
    ("model-requests", b'{"model":"m","input":[{"type":{}}]}'),
    ("json-outputs", b'{"total":"\\ud800"}'),
    ("json-outputs", b'{"total":' + b"[" * 300 + b"]" * 300 + b"}"),
    ("opened-paths", b"task/file\0/../../secret"),
]


@pytest.mark.parametrize("examples", [30, pytest.param(1000, marks=pytest.mark.long)])
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_any_bytes_are_parsed_or_refused(target: Target, examples: int) -> None:
    @settings(
        max_examples=examples, derandomize=True, database=None, deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    @given(st.just(b"") | inputs(target))
    def fuzz(data: bytes) -> None:
        target.run(data)

    for seed in target.seeds:
        target.run(seed)
    fuzz()


@pytest.mark.parametrize(("name", "data"), REGRESSIONS, ids=range(len(REGRESSIONS)))
def test_inputs_that_once_failed_are_handled(name: str, data: bytes) -> None:
    TARGETS[name].run(data)
