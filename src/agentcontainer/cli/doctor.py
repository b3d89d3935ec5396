"""`agentcontainer doctor`: lists what a host lacks and what a crash left; with --fix, repairs it."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from agentcontainer.cli.error_lines import one_line
from agentcontainer.cli.options import DataDir, load
from agentcontainer.errors import SettingsError
from agentcontainer.settings import Settings

if TYPE_CHECKING:
    from agentcontainer.db import Pool
    from agentcontainer.doctor.examination import Examination, Found
    from agentcontainer.domain.accounts.vault import Vault
    from agentcontainer.domain.files.blobs import Blobs


def doctor(
    data_dir: DataDir = None,
    is_fixing: Annotated[
        bool, typer.Option("--fix", help="Fix what can be fixed without a decision of yours.")
    ] = False,
    is_any_age: Annotated[
        bool,
        typer.Option(
            "--all", help="Include blobs and checkpoints of any age. Use it only while nothing is running."
        ),
    ] = False,
    is_proving: Annotated[
        bool,
        typer.Option(
            "--prove", help="Only test the sandbox: try to escape from one as it is installed here."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """List what this host lacks, and what a crash left on it, in the database and in the object store.

    Exit code 0: all is well. 1: something is missing or left over.

    With --prove, 1: an escape succeeded. 2: an attempt was inconclusive.
    """
    if is_proving:
        from agentcontainer.cli.proof import prove
        from agentcontainer.sandbox import namespace

        if is_fixing or is_any_age:
            raise SettingsError("--prove cannot be combined with --fix or --all. Run it alone.")
        has_own_mounts = namespace.enter()  # must run before any thread is started
        chosen = load(data_dir=data_dir)
        raise typer.Exit(asyncio.run(prove(chosen, as_json, has_own_mounts=has_own_mounts)))
    from agentcontainer.doctor.examination import Examination

    chosen = load(data_dir=data_dir)
    examination = Examination(is_fixing, (lambda _: None) if as_json else print_finding)
    asyncio.run(_examine(chosen, examination, is_any_age))
    if as_json:
        typer.echo(
            json.dumps(asdict(_report(examination)))
        )  # in ASCII: a file name may contain terminal control characters
    else:
        _print_summary(examination)
    raise typer.Exit(0 if examination.is_healthy else 1)


async def _examine(chosen: Settings, examination: "Examination", is_any_age: bool) -> None:
    from agentcontainer import db
    from agentcontainer.doctor.belonging import BELONGING_CHECKS, Belonging
    from agentcontainer.doctor.connectivity import (
        KEY_CHECKS,
        PROVIDER_CHECKS,
        SERVER_CHECKS,
        Server,
        StoredKeys,
    )
    from agentcontainer.doctor.database import DATABASE_CHECKS, Database
    from agentcontainer.doctor.examination import FAULTS
    from agentcontainer.doctor.leftovers import HOST_CHECKS, Host
    from agentcontainer.doctor.processes import PROCESS_CHECKS
    from agentcontainer.doctor.requirements import MACHINE_CHECKS, Machine
    from agentcontainer.domain.tasks import runners
    from agentcontainer.sandbox.detect import detect

    if chosen.data_dir.exists() and chosen.data_dir.stat().st_uid != os.geteuid():
        raise SettingsError(
            f"AGENTCONTAINER_DATA_DIR {chosen.data_dir} belongs to another user. Run this command as that user."
        )
    hierarchy = detect()
    await examination.run(MACHINE_CHECKS, Machine(chosen.data_dir, hierarchy, os.geteuid() == 0))
    await examination.run(PROVIDER_CHECKS, chosen)
    host = Host(chosen.data_dir.resolve(), hierarchy)
    await examination.run(HOST_CHECKS, host)
    try:
        async with _database(chosen) as url:
            if url is None:
                examination.notes.append(
                    "Only this host was examined: no database is configured, and the data folder contains none."
                )
                return
            async with db.pool(url, max_size=4) as pool:
                if host.removed_runners:
                    await runners.stop(pool, host.removed_runners)
                await examination.run(SERVER_CHECKS, Server(pool))
                await examination.run(PROCESS_CHECKS, Database(pool, chosen))
                await examination.run(DATABASE_CHECKS, Database(pool, chosen))
                vault, blobs = _vault(chosen), _blobs(chosen)
                await examination.run(BELONGING_CHECKS, Belonging(pool, chosen, vault, blobs))
                if vault is not None:  # without it no key can be read; the API refuses to start
                    await examination.run(KEY_CHECKS, StoredKeys(pool, vault, chosen))
                await _examine_store(chosen, pool, blobs, examination, is_any_age)
    except FAULTS as error:
        examination.not_examined.append(
            f"The database could not be examined: {error or type(error).__name__}"
        )


def _vault(chosen: Settings) -> "Vault | None":
    from agentcontainer.cli.data_dir import read_secret_key
    from agentcontainer.domain.accounts.vault import Vault

    configured = chosen.secret_key
    key = read_secret_key(chosen.data_dir) if configured is None else configured.get_secret_value()
    return None if key is None else Vault(key)


def _blobs(chosen: Settings) -> "Blobs | None":
    from agentcontainer.domain.files.blobs import Blobs

    folder = chosen.data_dir / "blobs"
    if chosen.storage_url is None and not folder.is_dir():
        return None
    return Blobs(chosen.storage_url or folder.as_uri())


async def _examine_store(
    chosen: Settings, pool: "Pool", blobs: "Blobs | None", examination: "Examination", is_any_age: bool
) -> None:
    from agentcontainer.doctor.connectivity import STORAGE_CHECKS
    from agentcontainer.doctor.store import MIN_AGE, STORE_CHECKS, Store
    from agentcontainer.domain.files.installation import INSTALLATION_ID_KEY, has_our_installation_id
    from agentcontainer.errors import Unavailable

    if blobs is None:
        examination.not_examined.append(
            f"The object store could not be examined: AGENTCONTAINER_STORAGE_URL is not set, "
            f"and {chosen.data_dir / 'blobs'} does not exist."
        )
        return
    try:
        if not await has_our_installation_id(pool, blobs):  # every blob would seem to be without a row
            examination.not_examined.append(
                "The object store could not be compared: it does not carry this database's installation id (blob "
                f"`{INSTALLATION_ID_KEY}`, which the API writes when it starts)."
            )
            return
    except (Unavailable, OSError) as error:
        examination.not_examined.append(f"The object store could not be examined: {error}")
        return
    store = Store(pool, blobs, timedelta(0) if is_any_age else MIN_AGE)
    await examination.run(STORAGE_CHECKS, store)
    await examination.run(STORE_CHECKS, store)


@asynccontextmanager
async def _database(chosen: Settings) -> AsyncGenerator[str | None]:
    """The URL of the database: the configured one, that of a server running on the data folder, or that of a server
    started for this block. None: there is no database.

    Raises:
        AgentContainerError: it cannot be used; says why.
    """
    from agentcontainer.cli.data_dir import is_installation, is_up
    from agentcontainer.cli.resolve import reaching
    from agentcontainer.embedded.location import locate_url, service_uid
    from agentcontainer.embedded.postgres import running
    from agentcontainer.errors import Unavailable
    from agentcontainer.migrations import schema

    async def check(url: str) -> None:
        async with reaching():
            fault = await schema.fault(url)
        if fault is not None:
            raise SettingsError(fault)

    url = locate_url(chosen)
    if url is not None:
        await check(url)
        yield url
    elif is_up(chosen.data_dir):
        raise Unavailable(
            "`agentcontainer up` is running, but its PostgreSQL does not answer. If it uses another database, set "
            "AGENTCONTAINER_DATABASE_URL here too."
        )
    elif not is_installation(chosen.data_dir):
        yield None
    else:
        async with running(chosen.data_dir, service_uid=service_uid(chosen)) as url:
            await check(url)
            yield url


def print_finding(found: "Found") -> None:
    """Print a finding on one line."""
    finding = found.finding
    if found.is_fixed:
        line = f"fixed:  {finding.what}: {finding.where}"
    elif finding.is_notice:
        line = f"notice: {finding.what}: {finding.where}. To fix: {finding.how}"
    elif found.fault is not None:
        line = f"left:   {finding.what}: {finding.where}. It could not be fixed: {found.fault}"
    else:
        line = f"found:  {finding.what}: {finding.where}. To fix: {finding.how}"
    typer.echo(one_line(line))


def _print_summary(examination: "Examination") -> None:
    for sentence in examination.notes:
        typer.echo(one_line(sentence))
    for sentence in examination.not_examined:
        typer.echo(one_line(f"not examined: {sentence}"))
    remaining = [found for found in examination.found if not found.is_fixed]
    if examination.is_healthy and examination.found:
        typer.echo(f"All {len(examination.found)} findings were fixed.")
    elif examination.is_healthy:
        typer.echo("Nothing found.")
    elif any(found.finding.fix for found in remaining) and not examination.is_fixing:
        typer.echo(f"{len(remaining)} found. To fix what can be fixed, run: agentcontainer doctor --fix")


@dataclass(frozen=True)
class _Finding:
    """A finding in the JSON report; the attributes are the JSON names."""

    check: str
    what: str
    where: str
    how: str
    isMendable: bool  # noqa: N815 - the JSON name
    isMended: bool  # noqa: N815
    fault: str | None


@dataclass(frozen=True)
class _Notice:
    check: str
    what: str
    where: str
    how: str


@dataclass(frozen=True)
class _Report:
    """What `doctor --json` prints."""

    isWell: bool  # noqa: N815
    findings: list[_Finding]
    notExamined: list[str]  # noqa: N815
    notices: list[_Notice]
    notes: list[str]


def _report(examination: "Examination") -> _Report:
    return _Report(
        isWell=examination.is_healthy,
        findings=[_finding(found) for found in examination.found],
        notExamined=examination.not_examined,
        notices=[_notice(found) for found in examination.notices],
        notes=examination.notes,
    )


def _finding(found: "Found") -> _Finding:
    finding, is_fixable = found.finding, found.finding.fix is not None
    return _Finding(
        found.check, finding.what, finding.where, finding.how, is_fixable, found.is_fixed, found.fault
    )


def _notice(found: "Found") -> _Notice:
    return _Notice(found.check, found.finding.what, found.finding.where, found.finding.how)
