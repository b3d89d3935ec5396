"""`agentcontainer api`, `runner` and `migrate`: run the parts of `up` as separate processes.

Each command imports what it runs when it is called, so that `--help` and the other commands start quickly.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

import typer

from agentcontainer.cli.log_lines import log_to_stderr
from agentcontainer.cli.options import DataDir, load
from agentcontainer.cli.quick_import import quick_import
from agentcontainer.settings import Settings


def api(
    data_dir: DataDir = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> None:
    """Serve the HTTP API."""
    with quick_import():
        from agentcontainer.api.serve import serve

    asyncio.run(_serve(serve, load(data_dir=data_dir, host=host, port=port)))


def runner(
    data_dir: DataDir = None,
    region: Annotated[str | None, typer.Option(metavar="eu|any", help="Region whose tasks it runs.")] = None,
    capacity: Annotated[int | None, typer.Option(help="Sandboxes that run at the same time.")] = None,
) -> None:
    """Run tasks in sandboxes on this machine."""
    from agentcontainer.sandbox import namespace

    host_mounts = namespace.current()
    has_own_mounts = namespace.enter()  # must run before any thread is started
    with quick_import():
        from agentcontainer.runner.serve import serve

    chosen = load(data_dir=data_dir, region=region, capacity=capacity)
    asyncio.run(_serve(partial(serve, host_mounts=host_mounts if has_own_mounts else None), chosen))


def migrate(
    data_dir: DataDir = None,
    is_forced: Annotated[
        bool,
        typer.Option(
            "--force", help="Also if runners and APIs run that cannot use the new schema: they stop."
        ),
    ] = False,
) -> None:
    """Migrate the database to this version's schema."""
    asyncio.run(_migrate(load(data_dir=data_dir), is_forced=is_forced))
    typer.echo("The database has the current schema.")


async def _serve(serve: Callable[[Settings], Awaitable[None]], chosen: Settings) -> None:
    from agentcontainer import pooler
    from agentcontainer.cli.data_dir import prepare
    from agentcontainer.cli.resolve import reaching, resolve

    os.umask(0o077)  # stored files are private, also in a folder that others can read
    log_to_stderr(chosen, chosen.log_level)
    logging.getLogger("aiohttp.server").setLevel(
        logging.CRITICAL
    )  # it logs a stack trace for each malformed request
    complete = resolve(chosen)
    prepare(complete.data_dir)
    async with reaching():
        await pooler.check(complete)
    await serve(complete)


async def _migrate(chosen: Settings, *, is_forced: bool) -> None:
    from agentcontainer.cli.database import database, migrated

    if chosen.session_url is not None:
        await migrated(chosen.session_url, stops_others=is_forced, report=partial(typer.echo, err=True))
        return
    async with database(chosen):  # migrates on entry
        pass
