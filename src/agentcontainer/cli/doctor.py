"""`agentcontainer doctor`: what the host lacks and what a crash left; with --fix the latter mended, with --prove the
sandbox tried."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentcontainer import settings
from agentcontainer.cli.error_lines import one_line
from agentcontainer.errors import SettingsError
from agentcontainer.settings import Settings

if TYPE_CHECKING:
    from agentcontainer.db import Pool
    from agentcontainer.doctor.examination import Examination, Found


def doctor(
    data_dir: Annotated[Path | None, typer.Option(help="Folder that holds everything.")] = None,
    is_mending: Annotated[bool, typer.Option("--fix", help="Mend what is found.")] = False,
    is_any_age: Annotated[
        bool, typer.Option("--all", help="Blobs and checkpoints of any age; only while nothing runs.")
    ] = False,
    is_proving: Annotated[
        bool,
        typer.Option("--prove", help="Try to get out of a sandbox as it is installed here, and no more."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """List what this host lacks, and what a crash left on it, in the database and in the store.

    Exit code 1: something is lacking or left; with --prove, something got through (2: or could not be shown).
    """
    if is_proving:
        from agentcontainer.cli.proof import prove
        from agentcontainer.sandbox import namespace

        if is_mending or is_any_age:
            raise SettingsError("--prove goes alone: it mends nothing.")
        has_own_mounts = namespace.enter()  # before anything may start a thread
        chosen = settings.load(data_dir=data_dir)
        raise typer.Exit(asyncio.run(prove(chosen, as_json, has_own_mounts=has_own_mounts)))
    from agentcontainer.doctor.examination import Examination

    chosen = settings.load(data_dir=data_dir)
    examination = Examination(is_mending, (lambda _: None) if as_json else _tell)
    asyncio.run(_examine(chosen, examination, is_any_age))
    if as_json:
        typer.echo(json.dumps(_answer(examination)))  # in ASCII: names of files may steer a terminal
    else:
        _sum_up(examination)
    raise typer.Exit(0 if examination.is_well else 1)


async def _examine(chosen: Settings, examination: "Examination", is_any_age: bool) -> None:
    from agentcontainer import db
    from agentcontainer.doctor.connectivity import PROVIDER_CHECKS, SERVER_CHECKS, Server
    from agentcontainer.doctor.database import DATABASE_CHECKS, Database
    from agentcontainer.doctor.examination import FAULTS
    from agentcontainer.doctor.leftovers import HOST_CHECKS, Host
    from agentcontainer.doctor.requirements import MACHINE_CHECKS, Machine
    from agentcontainer.domain.tasks import runners
    from agentcontainer.sandbox.detect import detect

    if chosen.data_dir.exists() and chosen.data_dir.stat().st_uid != os.geteuid():
        raise SettingsError(
            f"AGENTCONTAINER_DATA_DIR {chosen.data_dir} belongs to another user; run as that one."
        )
    hierarchy = detect()
    await examination.make(MACHINE_CHECKS, Machine(chosen.data_dir, hierarchy, os.geteuid() == 0))
    await examination.make(PROVIDER_CHECKS, chosen)
    host = Host(chosen.data_dir.resolve(), hierarchy)
    await examination.make(HOST_CHECKS, host)
    try:
        async with _database(chosen) as url:
            if url is None:
                examination.notes.append("Only this host was examined: no database is set, and none is here.")
                return
            async with db.pool(url, max_size=4) as pool:
                if host.swept:
                    await runners.stop(pool, host.swept)
                await examination.make(SERVER_CHECKS, Server(pool))
                await examination.make(DATABASE_CHECKS, Database(pool, chosen))
                await _examine_store(chosen, pool, examination, is_any_age)
    except FAULTS as error:
        examination.unasked.append(f"The database could not be asked: {error or type(error).__name__}")


async def _examine_store(
    chosen: Settings, pool: "Pool", examination: "Examination", is_any_age: bool
) -> None:
    from agentcontainer.doctor.connectivity import STORAGE_CHECKS
    from agentcontainer.doctor.store import MIN_AGE, STORE_CHECKS, Store
    from agentcontainer.domain.files.blobs import Blobs
    from agentcontainer.domain.files.installation import INSTALLATION_ID_KEY, has_our_installation_id
    from agentcontainer.errors import Unavailable

    folder = chosen.data_dir / "blobs"
    if chosen.storage_url is None and not folder.is_dir():
        examination.unasked.append(
            f"The object store could not be asked: AGENTCONTAINER_STORAGE_URL is not set, and there is no {folder}."
        )
        return
    try:
        blobs = Blobs(chosen.storage_url or folder.as_uri())
        if not await has_our_installation_id(pool, blobs):  # every blob would seem to be without a row
            examination.unasked.append(
                "The object store could not be compared: it does not bear this database's mark (blob "
                f"`{INSTALLATION_ID_KEY}`, which an API writes when it starts)."
            )
            return
    except (Unavailable, OSError) as error:
        examination.unasked.append(f"The object store could not be asked: {error}")
        return
    store = Store(pool, blobs, timedelta(0) if is_any_age else MIN_AGE)
    await examination.make(STORAGE_CHECKS, store)
    await examination.make(STORE_CHECKS, store)


@asynccontextmanager
async def _database(chosen: Settings) -> AsyncGenerator[str | None]:
    """The URL of the database: the configured one, that of a server that runs on the data folder, or one started for
    this block alone. None: there never was any.

    Raises:
        AgentContainerError: it cannot be used; says why.
    """
    from agentcontainer.cli.data_dir import is_up
    from agentcontainer.cli.resolve import reaching
    from agentcontainer.embedded.location import locate_url, service_uid
    from agentcontainer.embedded.postgres import running
    from agentcontainer.errors import Unavailable
    from agentcontainer.migrations.schema import is_current

    async def check(url: str) -> None:
        async with reaching():
            is_ours = await is_current(url)
        if not is_ours:
            raise SettingsError("it has not this version's schema; run `agentcontainer migrate`.")

    url = locate_url(chosen)
    if url is not None:
        await check(url)
        yield url
    elif is_up(chosen.data_dir):
        raise Unavailable(
            "`agentcontainer up` runs, but its PostgreSQL does not answer. If it uses another one, set "
            "AGENTCONTAINER_DATABASE_URL here too."
        )
    elif not (chosen.data_dir / "postgres/data/PG_VERSION").exists():
        yield None
    else:
        async with running(chosen.data_dir, service_uid=service_uid(chosen)) as url:
            await check(url)
            yield url


def _tell(found: "Found") -> None:
    finding = found.finding
    if found.is_mended:
        line = f"mended: {finding.what}: {finding.where}"
    elif finding.is_notice:
        line = f"notice: {finding.what}: {finding.where}. To mend: {finding.how}"
    elif found.fault is not None:
        line = f"left:   {finding.what}: {finding.where}. It could not be mended: {found.fault}"
    else:
        line = f"found:  {finding.what}: {finding.where}. To mend: {finding.how}"
    typer.echo(one_line(line))


def _sum_up(examination: "Examination") -> None:
    for sentence in examination.notes:
        typer.echo(one_line(sentence))
    for sentence in examination.unasked:
        typer.echo(one_line(f"not examined: {sentence}"))
    left = [one for one in examination.found if not one.is_mended]
    if examination.is_well:
        typer.echo(
            f"Nothing is left; {len(examination.found)} mended." if examination.found else "Nothing found."
        )
    elif any(one.finding.mend for one in left) and not examination.is_mending:
        typer.echo(f"{len(left)} found. Mend what can be mended: agentcontainer doctor --fix")


def _answer(examination: "Examination") -> dict[str, Any]:
    findings = [
        {
            "check": one.check,
            "what": one.finding.what,
            "where": one.finding.where,
            "how": one.finding.how,
            "isMendable": one.finding.mend is not None,
            "isMended": one.is_mended,
            "fault": one.fault,
        }
        for one in examination.found
    ]
    return {
        "isWell": examination.is_well,
        "findings": findings,
        "notExamined": examination.unasked,
        "notices": [
            {"check": one.check, "what": one.finding.what, "where": one.finding.where, "how": one.finding.how}
            for one in examination.notices
        ],
        "notes": examination.notes,
    }
