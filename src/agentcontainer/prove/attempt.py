"""The shapes: an attempt, what became of it, and what counts as proven."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from agentcontainer.prove.payload import Payload
    from agentcontainer.prove.trial import Trial

PrepareTarget = Callable[["Trial"], Awaitable[Sequence[str]]]
"""Puts in its place what the payload is after; returns the payload's arguments."""
Place = Callable[["Trial", "Payload", Sequence[str]], Awaitable[str]]
"""Runs a payload with its arguments; returns what it got. Raises: Untried."""
Judge = Callable[["Trial", str], bool]
"""Whether it got through, from what the place returned and what became of the bait."""


class Untried(Exception):
    """A payload could not even begin; the message says why."""


def says_nonce(trial: "Trial", got: str) -> bool:
    """It got hold of the run's nonce, which stands where it must not reach, or which it says when it succeeds."""
    return trial.nonce in got


@dataclass(frozen=True)
class Attempt:
    """One way to get through. `tries` says which in a sentence; `control` is where the same must succeed."""

    name: str
    tries: str
    payload: "Payload"
    prepare: PrepareTarget
    attack: Place
    control: Place
    has_got_through: Judge = says_nonce
    is_for_root: bool = False
    """An ordinary user of the host may not do it either, so that there is no control without root."""
    controller: str | None = None
    """The control group it is stopped by, or "disk": a workspace with a file system of its own. Not every host gives
    us one."""


@dataclass(frozen=True)
class Group:
    """Attempts at one kind of thing."""

    name: str
    attempts: tuple[Attempt, ...]


Verdict = Literal["blocked", "got through", "inconclusive", "unprotected", "not offered"]


@dataclass(frozen=True)
class Outcome:
    """What became of an attempt. `unprotected` is what weak limits name; `inconclusive` shows nothing either way; what
    this host cannot give to any sandbox is `not offered`."""

    group: str
    attempt: Attempt
    verdict: Verdict
    detail: str = ""


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0: everything was blocked, but for what the notice of weak limits names. 1: something got through. 2: nothing
    did, but something could not be shown."""
    verdicts = {outcome.verdict for outcome in outcomes}
    if "got through" in verdicts:
        return 1
    return 2 if "inconclusive" in verdicts or not outcomes else 0
