"""Which failures are worth another try, and how long to wait before it."""

import random

RETRIES = 4
FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 8.0
MAX_RETRY_AFTER_SECONDS = 60.0

_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})


def is_transient(status: int, retry_after: str | None) -> bool:
    """Whether the same request may succeed later. 409 with `Retry-After`: the first request is being processed."""
    return status in _TRANSIENT or (status == 409 and retry_after is not None)


def seconds_of(retry_after: str | None) -> float | None:
    """The value of the header `Retry-After`. A date is not understood: the API sends seconds."""
    try:
        return max(0.0, float(retry_after or ""))
    except ValueError:
        return None


def pause(retry: int, retry_after: float | None = None, first: float = FIRST_PAUSE_SECONDS) -> float:
    """Seconds before this retry (0, 1, …): what the server asks for, else exponential backoff with full jitter."""
    if retry_after is not None:
        return min(retry_after, MAX_RETRY_AFTER_SECONDS)
    limit = min(MAX_PAUSE_SECONDS, first * 2**retry)
    return random.uniform(0, limit)  # noqa: S311  (jitter, no secret)
