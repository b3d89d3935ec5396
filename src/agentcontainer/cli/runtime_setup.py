"""Installs the agent runtime in a process of its own, which a signal can end at any time."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable

from agentcontainer.errors import SettingsError
from agentcontainer.runtime import install


async def install_if_missing(report: Callable[[str], None]) -> None:
    """Install the runtime of this version if it is not there. `report` gets a line for each step.

    Raises:
        SettingsError: it could not be installed; says why.
    """
    if install.is_installed():
        return
    report("installing the agent runtime, once for this version; this takes up to a minute")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "agentcontainer.runtime.install", "--progress"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        fault = asyncio.create_task(process.stderr.read())
        async for line in process.stdout:
            report(line.decode(errors="replace").rstrip())
        text = (await fault).decode(errors="replace").strip()
        if await process.wait() != 0:
            raise SettingsError(f"{text.removesuffix('.')}. To try again: {install.setup_command()}")
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # npm is a child of it
            await process.wait()
    report("the agent runtime is installed")
