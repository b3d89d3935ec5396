"""`agentcontainer doctor --prove`: attempts to get out of a sandbox as it is installed here."""

import json
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import typer

from agentcontainer.cli import data_dir as data_folder
from agentcontainer.cli.error_lines import one_line
from agentcontainer.settings import Settings

if TYPE_CHECKING:
    from agentcontainer.prove.attempt import Outcome
    from agentcontainer.sandbox.bubblewrap import Bubblewrap

MEANINGS = {
    "blocked": "blocked",
    "got through": "got through",
    "inconclusive": "could not be shown",
    "unprotected": "not protected here",
    "not offered": "not offered here",
}


async def prove(
    chosen: Settings, as_json: bool, sandboxes: "Bubblewrap | None" = None, has_own_mounts: bool = False
) -> int:
    """Make every attempt, print its outcome; the exit code. `sandboxes`: what is to be proven, if not what a runner
    would use here; `has_own_mounts`: this process has entered a mount namespace, as a runner does.

    Raises:
        SettingsError: the data folder cannot be used, or the runtime is not installed.
    """
    from agentcontainer.prove.attempt import exit_code
    from agentcontainer.prove.suite import prove as attempts
    from agentcontainer.runtime import install
    from agentcontainer.sandbox.detect import weak_limits_reason
    from agentcontainer.sandbox.host_uids import LOCKS

    install.check()
    data_folder.prepare(chosen.data_dir)
    logging.getLogger().addHandler(logging.NullHandler())  # what the attempts upset is no news
    outcomes: list[Outcome] = []
    running = attempts(
        chosen.data_dir,
        chosen.sandbox_uid_base,
        LOCKS,
        install.runtime_dir(),
        sandboxes,
        is_online=chosen.internet_access,
        has_own_mounts=has_own_mounts,
    )
    async with aclosing(running):
        async for outcome in running:
            outcomes.append(outcome)
            if not as_json:
                typer.echo(_line(outcome))
    code, weak = exit_code(outcomes), weak_limits_reason()
    if as_json:
        answer = {"isProven": code == 0, "weakLimits": weak, "attempts": [_entry(one) for one in outcomes]}
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        _sum_up(outcomes, weak)
    return code


def _line(outcome: "Outcome") -> str:
    attempt = outcome.attempt
    detail = f" ({outcome.detail})" if outcome.detail else ""
    text = one_line(f"{outcome.group}: {attempt.name}: {attempt.tries}{detail}")
    return f"{MEANINGS[outcome.verdict]:<19} {text}"


def _sum_up(outcomes: "list[Outcome]", weak: str | None) -> None:
    counts = {
        meaning: sum(outcome.verdict == verdict for outcome in outcomes)
        for verdict, meaning in MEANINGS.items()
    }
    parts = [f"{count} {meaning}" for meaning, count in counts.items() if count or meaning == "blocked"]
    typer.echo(f"{len(outcomes)} attempts: {', '.join(parts)}.")
    if counts["not protected here"] and weak is not None:
        typer.echo(one_line(weak))


def _entry(outcome: "Outcome") -> dict[str, Any]:
    attempt = outcome.attempt
    return {
        "group": outcome.group,
        "name": attempt.name,
        "tries": attempt.tries,
        "verdict": outcome.verdict,
        "detail": outcome.detail,
    }
