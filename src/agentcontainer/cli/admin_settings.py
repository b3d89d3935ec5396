"""`agentcontainer admin adopt-settings` and `rotate-secret-key`: change what all processes have in common."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from agentcontainer.cli.options import DataDir, load
from agentcontainer.errors import SettingsError
from agentcontainer.settings import Settings

if TYPE_CHECKING:
    from agentcontainer.domain.installation.rotation import Rotated


def adopt_settings(
    data_dir: DataDir = None,
    are_all: Annotated[
        bool, typer.Option("--all", help="Also the settings that are not set here, with their defaults.")
    ] = False,
    has_new_key: Annotated[
        bool,
        typer.Option(
            "--new-secret-key", help="Make this secret key the installation's: the old one is lost."
        ),
    ] = False,
    has_new_store: Annotated[
        bool,
        typer.Option("--new-store", help="Make this object store the installation's: it was moved or lost."),
    ] = False,
) -> None:
    """Make the shared settings of this environment those of the installation."""
    for line in asyncio.run(_adopt(load(data_dir=data_dir), are_all, has_new_key, has_new_store)):
        typer.echo(line)


async def _adopt(chosen: Settings, are_all: bool, has_new_key: bool, has_new_store: bool) -> list[str]:
    from agentcontainer import db
    from agentcontainer.cli.database import database
    from agentcontainer.domain.accounts.vault import Vault
    from agentcontainer.domain.files.blobs import Blobs
    from agentcontainer.domain.installation import service

    async with database(chosen) as url, db.pool(url, max_size=2) as pool:
        changes = await service.adopt_settings(pool, chosen, are_all=are_all)
        lines = [change.sentence for change in changes]
        if has_new_key:
            await service.adopt_secret_key(pool, Vault(_secret_key(chosen)))
            lines.append("AGENTCONTAINER_SECRET_KEY of this installation: the one that is set here")
        if has_new_store:
            blobs = Blobs(chosen.storage_url or (chosen.data_dir / "blobs").as_uri())
            await service.adopt_store(pool, blobs)
            lines.append("AGENTCONTAINER_STORAGE_URL of this installation: the store that is set here")
    return lines or ["Nothing changed: the installation has these settings already."]


def rotate_secret_key(data_dir: DataDir = None) -> None:
    """Encrypt all stored secrets with the first of the secret keys, so that the others can be removed.

    It may run while the platform works, and be run again. Exit code 1: some secrets cannot be opened with any key.
    """
    rotated = asyncio.run(_rotate(load(data_dir=data_dir)))
    typer.echo(f"{rotated.count} secrets were encrypted with the first secret key.")
    for name in rotated.unreadable:
        typer.echo(f"none of the secret keys opens {name}")
    raise typer.Exit(1 if rotated.unreadable else 0)


async def _rotate(chosen: Settings) -> "Rotated":
    from agentcontainer import db
    from agentcontainer.cli.database import database
    from agentcontainer.domain.accounts.vault import Vault
    from agentcontainer.domain.installation.rotation import rotate

    async with database(chosen) as url, db.pool(url, max_size=2) as pool:
        return await rotate(pool, Vault(_secret_key(chosen)))


def _secret_key(chosen: Settings) -> str:
    from agentcontainer.cli.data_dir import read_secret_key

    key = chosen.secret_key.get_secret_value() if chosen.secret_key else read_secret_key(chosen.data_dir)
    if key is None:
        raise SettingsError("There is no secret key here. Set AGENTCONTAINER_SECRET_KEY.")
    return key
