"""`agentcontainer status`: prints the state of the whole installation, from any host that reaches its database."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic.alias_generators import to_camel

from agentcontainer import __version__
from agentcontainer.cli.error_lines import one_line
from agentcontainer.cli.options import DataDir, load
from agentcontainer.errors import SettingsError
from agentcontainer.settings import Settings

if TYPE_CHECKING:
    from agentcontainer.db import Pool
    from agentcontainer.domain.processes.service import State

STORE_SECONDS = 5.0


@dataclass(frozen=True)
class Report:
    """What `--json` prints."""

    version: str
    state: "State"
    store: str
    problems: list[str]


def status(
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Show the API processes, runners and queue of the installation, and what needs attention.

    It needs AGENTCONTAINER_DATABASE_URL, or a running `agentcontainer up` on the data folder.
    """
    chosen = load(data_dir=data_dir)
    report = asyncio.run(_read(chosen))
    if as_json:
        typer.echo(
            json.dumps(
                asdict(report, dict_factory=lambda items: {to_camel(name): value for name, value in items})
            )
        )
    else:
        typer.echo("\n".join(_lines(report, chosen.runner_lost_after_seconds)))


async def _read(chosen: Settings) -> Report:
    from agentcontainer import db
    from agentcontainer.cli.resolve import reaching
    from agentcontainer.domain.processes import service
    from agentcontainer.embedded.location import locate_url
    from agentcontainer.migrations import schema

    url = locate_url(chosen)
    if url is None:
        raise SettingsError(
            f"No database: AGENTCONTAINER_DATABASE_URL is not set, and no `agentcontainer up` is running on "
            f"{chosen.data_dir}. Set the variable, or name the folder of a running `up` with --data-dir."
        )
    async with reaching():
        if (fault := await schema.fault(url)) is not None:
            raise SettingsError(fault)
        async with db.pool(url, max_size=1) as pool:
            state = await service.read(pool)
            store = await _store(chosen, pool)
    return Report(__version__, state, store, state.problems(chosen.runner_lost_after_seconds))


async def _store(chosen: Settings, pool: "Pool") -> str:
    """Whether this host reaches the installation's object store, in words."""
    from agentcontainer.domain.files.blobs import Blobs
    from agentcontainer.domain.files.installation import has_our_installation_id
    from agentcontainer.errors import Unavailable

    folder = chosen.data_dir / "blobs"
    if chosen.storage_url is None and not folder.is_dir():
        return "not checked: AGENTCONTAINER_STORAGE_URL is not set here"
    try:
        async with asyncio.timeout(STORE_SECONDS):
            is_ours = await has_our_installation_id(pool, Blobs(chosen.storage_url or folder.as_uri()))
    except (Unavailable, OSError, TimeoutError) as error:
        return f"cannot be reached from here: {str(error) or 'no answer'}"
    return "reached from here" if is_ours else "does not belong to this database (another installation id)"


def _lines(report: Report, lost_after_seconds: float) -> Iterable[str]:
    state = report.state
    yield f"agentcontainer {report.version}, schema {state.schema}"
    yield f"database: PostgreSQL {state.postgres}, {state.connections} of {state.max_connections} connections"
    yield f"store: {report.store}"
    yield "tasks: " + (
        ", ".join(f"{count} {name}" for name, count in sorted(state.tasks.items())) or "none live"
    )
    yield from _table(
        ("API", "PORT", "VERSION", "LAST BEAT"),
        [
            (process.host, str(process.port), process.version, _age(process.silent_seconds, process.is_alive))
            for process in state.api_processes
        ],
    )
    yield from _table(
        ("RUNNER", "HOST", "VERSION", "REGION", "USED", "SLOTS", "LAST BEAT"),
        [
            (
                runner.name or runner.id, runner.host, runner.version or "-", runner.region, str(runner.claims),
                str(runner.capacity), _age(runner.silent_seconds, runner.is_alive(lost_after_seconds)),
            )
            for runner in state.runners
        ],
    )  # fmt: skip
    yield from _table(
        ("QUEUE", "WAITING", "OLDEST"),
        [(queue.region, str(queue.waiting), _seconds(queue.oldest_seconds)) for queue in state.queues],
    )
    yield from _table(
        ("ACCOUNT", "WAITING", "RUNNING", "LIMIT"),
        [
            (
                account.account_id, str(account.waiting), str(account.running),
                "none" if account.max_running is None else str(account.max_running),
            )
            for account in state.accounts
        ],
    )  # fmt: skip
    yield ""
    yield from report.problems or ["No problems were found."]


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Aligned lines, after an empty one. An empty table is its titles and `none`."""
    cells = [titles, *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(titles))]
    yield ""
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    if not rows:
        yield "none"


def _age(seconds: float, is_alive: bool) -> str:
    return _seconds(seconds) + ("" if is_alive else " (dead)")


def _seconds(seconds: float) -> str:
    seconds = max(0.0, seconds)
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
