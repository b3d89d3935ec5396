"""How long a request waits for an overloaded provider."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from agentcontainer.gateway.patience import MAX_RETRY_AFTER_SECONDS, Patience, retry_after
from agentcontainer.runner.provider_outage import wait_before


async def test_the_backoff_grows_and_an_answer_starts_it_over() -> None:
    patience = Patience(100)
    waits = [patience.wait_seconds(0) or 0 for _ in range(4)]
    assert all(2**n / 2 <= wait <= 2**n for n, wait in enumerate(waits)), waits
    patience.start_over()
    assert 0.5 <= (patience.wait_seconds(0) or 0) <= 1


async def test_the_providers_wait_is_kept_or_waited_for_without_a_container() -> None:
    assert Patience(100).wait_seconds(20) == 20
    assert Patience(100).wait_seconds(101) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"Retry-After": "20"}, 20),
        ({"Retry-After-Ms": "1500", "Retry-After": "9"}, 1.5),
        ({"Retry-After": "-3"}, 0),
        ({"Retry-After": "nan"}, 0),
        ({"Retry-After": "1e99"}, MAX_RETRY_AFTER_SECONDS),
        ({"Retry-After": "soon"}, 0),
    ],
)
def test_retry_after_is_read_and_bounded(headers: dict[str, str], seconds: float) -> None:
    assert retry_after(headers) == seconds


def test_retry_after_may_be_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 55 < retry_after({"Retry-After": date}) <= 60


def test_a_task_is_woken_ever_later_and_never_before_the_provider_allows_it() -> None:
    minutes = [wait_before(failures, 0) / timedelta(minutes=1) for failures in range(6)]
    assert minutes == [1, 5, 15, 30, 30, 30]
    assert wait_before(0, 3600) == timedelta(hours=1)
