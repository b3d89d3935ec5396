"""The types: an attempt, its outcome, and the exit code of a run."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from agentcontainer.prove.payload import Payload
    from agentcontainer.prove.trial import Trial

PrepareTarget = Callable[["Trial"], Awaitable[Sequence[str]]]
"""Creates what the payload tries to reach; returns the payload's arguments."""
Place = Callable[["Trial", "Payload", Sequence[str]], Awaitable[str]]
"""Runs a payload with its arguments; returns what it obtained.

Raises:
    Untried: the payload did not run.
"""
Judge = Callable[["Trial", str], bool]
"""Whether the payload got through, judged by what the place returned and by the state of the target."""


class Untried(Exception):
    """A payload did not run; the message says why."""


def says_nonce(trial: "Trial", output: str) -> bool:
    """Whether the output contains the trial's nonce, which the payload either had to obtain or prints on success."""
    return trial.nonce in output


@dataclass(frozen=True)
class Attempt:
    """One way to escape. `tries` describes it in a sentence; in `control` the same payload must succeed."""

    name: str
    tries: str
    payload: "Payload"
    prepare: PrepareTarget
    attack: Place
    control: Place
    has_got_through: Judge = says_nonce
    is_for_root: bool = False
    """Only root may do it on the host, so the control needs root."""
    controller: str | None = None
    """The cgroup controller that stops it, or "disk" for a workspace volume. Not every host has them."""


@dataclass(frozen=True)
class Group:
    """Attempts of one kind."""

    name: str
    attempts: tuple[Attempt, ...]


Verdict = Literal["blocked", "got through", "inconclusive", "unprotected", "not offered"]


@dataclass(frozen=True)
class Outcome:
    """The outcome of an attempt.

    `unprotected`: it got through because this host lacks the limit that would stop it, which the notice of weak limits
    names. `inconclusive`: the attack or its control could not be run, or the control failed. `not offered`: this host
    cannot give a sandbox the feature that the attempt is about.
    """

    group: str
    attempt: Attempt
    verdict: Verdict
    detail: str = ""


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0: everything was blocked, except what the notice of weak limits names. 1: an attempt got through. 2: none did,
    but at least one was inconclusive."""
    verdicts = {outcome.verdict for outcome in outcomes}
    if "got through" in verdicts:
        return 1
    return 2 if "inconclusive" in verdicts or not outcomes else 0
