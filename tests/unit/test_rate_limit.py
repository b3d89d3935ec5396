"""The token bucket: burst, refill rate, and how many keys it remembers."""

import pytest

from agentcontainer.api.http.rate_limit import MAX_BUCKETS, RateLimit
from agentcontainer.errors import RateLimited


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def allowed(limit: RateLimit, key_id: str, tries: int) -> int:
    count = 0
    for _ in range(tries):
        try:
            limit.take(key_id)
        except RateLimited:
            continue
        count += 1
    return count


def test_a_burst_of_one_minute_is_allowed_then_a_steady_rate() -> None:
    clock = Clock()
    limit = RateLimit(120, clock)
    assert allowed(limit, "key_a", 200) == 120
    clock.now += 0.5
    assert allowed(limit, "key_a", 2) == 1
    clock.now += 3600
    assert allowed(limit, "key_a", 200) == 120


def test_each_key_has_its_own_limit() -> None:
    limit = RateLimit(3, Clock())
    assert [allowed(limit, key_id, 5) for key_id in ("key_a", "key_b", "key_a")] == [3, 3, 0]


@pytest.mark.parametrize(("per_minute", "seconds"), [(1, 60), (6, 10), (60, 1), (6000, 1)])
def test_a_refusal_says_after_how_many_seconds_to_retry(per_minute: int, seconds: int) -> None:
    clock = Clock()
    limit = RateLimit(per_minute, clock)
    allowed(limit, "key_a", per_minute)
    with pytest.raises(RateLimited) as caught:
        limit.take("key_a")
    assert caught.value.retry_after_seconds == seconds
    clock.now += seconds
    limit.take("key_a")


def test_a_limit_of_zero_means_no_limit() -> None:
    assert allowed(RateLimit(0, Clock()), "key_a", 10_000) == 10_000


def test_only_the_latest_keys_are_remembered() -> None:
    limit = RateLimit(1, Clock())
    for number in range(MAX_BUCKETS + 500):
        assert allowed(limit, f"key_{number}", 1) == 1
    assert len(limit._buckets) == MAX_BUCKETS
    assert allowed(limit, f"key_{MAX_BUCKETS + 499}", 1) == 0
    assert allowed(limit, "key_0", 1) == 1
