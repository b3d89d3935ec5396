"""`agentcontainer api`, `runner` and `migrate`: the parts of `up`, for running them apart.

Each imports what it runs only then: `--help` and the other commands need none of it.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from agentcontainer import settings
from agentcontainer.cli.log_lines import LogLines, without_stack
from agentcontainer.settings import Settings

DataDir = Annotated[Path | None, typer.Option(help="Folder that holds everything.")]


def api(
    data_dir: DataDir = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> None:
    """Serve the HTTP API."""
    from agentcontainer.api.serve import serve

    asyncio.run(_serve(serve, settings.load(data_dir=data_dir, host=host, port=port)))


def runner(
    data_dir: DataDir = None,
    region: Annotated[str | None, typer.Option(metavar="eu|any", help="Whose tasks to take.")] = None,
    capacity: Annotated[int | None, typer.Option(help="Sandboxes at a time.")] = None,
) -> None:
    """Take tasks and run them in sandboxes on this machine."""
    from agentcontainer.sandbox import namespace

    has_own_mounts = namespace.enter()  # before anything may start a thread
    from agentcontainer.runner.serve import serve

    given = settings.load(data_dir=data_dir, region=region, capacity=capacity)
    asyncio.run(_serve(partial(serve, has_own_mounts=has_own_mounts), given))


def migrate(data_dir: DataDir = None) -> None:
    """Bring the database to this version's schema."""
    asyncio.run(_migrate(settings.load(data_dir=data_dir)))
    typer.echo("The database has the current schema.")


async def _serve(serve: Callable[[Settings], Awaitable[None]], given: Settings) -> None:
    import asyncpg

    from agentcontainer.cli.data_dir import prepare
    from agentcontainer.cli.resolve import reaching, resolve

    os.umask(0o077)  # what is stored is nobody else's, whatever folder was given
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogLines())
    logging.basicConfig(level=given.log_level.upper(), handlers=[handler])
    logging.getLogger("pgqueuer").addFilter(without_stack)  # one for each try while the database is away
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # it writes a stack for each bad request
    complete = resolve(given)
    prepare(complete.data_dir)
    async with reaching():
        connection = await asyncpg.connect(complete.database_url, timeout=10)
        await connection.close()
    await serve(complete)


async def _migrate(given: Settings) -> None:
    from agentcontainer.cli.database import database, migrated

    if given.database_url is not None:
        await migrated(given.database_url)
        return
    async with database(given):  # which has the current schema by its promise
        pass
