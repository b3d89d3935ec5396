"""How a folder goes that a sandbox had as its own."""

import asyncio
import os
from pathlib import Path

from agentcontainer.sandbox import volume


async def remove(root: Path) -> None:
    """Remove an attempt's folder, or a workspace, whatever the agent made of it.

    By `chmod` and `rm`: they neither follow links nor recurse, so no depth or name can stop or mislead them.
    """
    for folder in (root / "workspace", root):
        await volume.unmount(folder)
    if os.geteuid() != 0:  # what the agent closed to itself must be opened first, from the top down
        await _run("chmod", "-R", "u+rwx", "--", str(root))
    await _run("rm", "-rf", "--one-file-system", "--", str(root))


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    await process.wait()
