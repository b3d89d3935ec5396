"""`agentcontainer setup`: installs the agent runtime, and prints what the host lacks with the command that adds it."""

import asyncio
import os

import typer

from agentcontainer.cli.options import DataDir, load
from agentcontainer.settings import Settings


def setup(data_dir: DataDir = None) -> None:
    """Install the agent runtime, and print what this host lacks, with the `apt` line that installs it.

    Exit code 0: tasks can run here. 1: something that every task needs is missing.
    """
    is_ready = asyncio.run(_setup(load(data_dir=data_dir)))
    if not is_ready:
        raise typer.Exit(1)
    typer.echo("This host can run tasks. To start: agentcontainer up")


async def _setup(chosen: Settings) -> bool:
    from agentcontainer.cli.doctor import print_finding
    from agentcontainer.cli.runtime_setup import install_if_missing
    from agentcontainer.doctor.examination import Examination
    from agentcontainer.doctor.requirements import MACHINE_CHECKS, Machine, missing_packages
    from agentcontainer.sandbox.detect import detect

    await install_if_missing(typer.echo)
    is_root = os.geteuid() == 0
    examination = Examination(is_fixing=False, report=print_finding)
    await examination.run(MACHINE_CHECKS, Machine(chosen.data_dir, detect(), is_root))
    if packages := missing_packages():
        sudo = "" if is_root else "sudo "
        typer.echo(
            f"To install what is missing: {sudo}apt install --no-install-recommends {' '.join(packages)}"
        )
    return examination.is_healthy
