"""`agentcontainer doctor --prove`: runs the escape suite and prints its outcomes."""

import json
import logging
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

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
    """Run every attempt and print its outcome; return the exit code.

    `sandboxes`: the sandboxes to test, by default those that a runner would use here. `has_own_mounts`: whether this
    process has entered a mount namespace, as a runner does.

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
    logging.getLogger().addHandler(
        logging.NullHandler()
    )  # the attempts provoke warnings that mean nothing here
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
        attempts_made = [asdict(_entry(outcome)) for outcome in outcomes]
        report = {"isProven": code == 0, "weakLimits": weak, "attempts": attempts_made}
        typer.echo(json.dumps(report, ensure_ascii=False))
    else:
        _print_summary(outcomes, weak)
    return code


def _line(outcome: "Outcome") -> str:
    attempt = outcome.attempt
    detail = f" ({outcome.detail})" if outcome.detail else ""
    text = one_line(f"{outcome.group}: {attempt.name}: {attempt.tries}{detail}")
    return f"{MEANINGS[outcome.verdict]:<19} {text}"


def _print_summary(outcomes: "list[Outcome]", weak: str | None) -> None:
    counts = {
        meaning: sum(outcome.verdict == verdict for outcome in outcomes)
        for verdict, meaning in MEANINGS.items()
    }
    parts = [f"{count} {meaning}" for meaning, count in counts.items() if count or meaning == "blocked"]
    typer.echo(f"{len(outcomes)} attempts: {', '.join(parts)}.")
    if counts["not protected here"] and weak is not None:
        typer.echo(one_line(weak))


@dataclass(frozen=True)
class _Entry:
    """An outcome in the JSON report."""

    group: str
    name: str
    tries: str
    verdict: str
    detail: str


def _entry(outcome: "Outcome") -> _Entry:
    attempt = outcome.attempt
    return _Entry(outcome.group, attempt.name, attempt.tries, outcome.verdict, outcome.detail)
