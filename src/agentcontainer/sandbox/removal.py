"""Removes a folder that a sandbox could write to."""

import asyncio
import os
from pathlib import Path

from agentcontainer.cancellation import to_its_end
from agentcontainer.sandbox import volume


async def remove(root: Path) -> None:
    """Remove an attempt's folder, or a workspace, with everything in it, also if cancelled meanwhile.

    It runs `chmod` and `rm`, which neither follow links nor recurse: no depth and no name can stop or mislead
    them.
    """
    await to_its_end(_remove(root))


async def _remove(root: Path) -> None:
    for folder in (root / "workspace", root):
        await volume.unmount(folder)
    if os.geteuid() != 0:  # without root, folders that the agent made inaccessible must be opened first
        await _run("chmod", "-R", "u+rwx", "--", str(root))
    await _run("rm", "-rf", "--one-file-system", "--", str(root))


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    await process.wait()
