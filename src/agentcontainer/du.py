"""Measures what a folder holds with `du`, which neither follows links nor recurses.

So no depth or name that a hostile program chose can stop or mislead the measurement.
"""

import asyncio
import contextlib
from pathlib import Path

_COMMAND = ("du", "--summarize", "--one-file-system")


async def apparent_bytes(folder: Path) -> int:
    """The sum of the lengths of all files: holes in sparse files count.

    Raises:
        OSError: `du` printed no number.
    """
    return await _measure("--bytes", folder)


async def entries(folder: Path) -> int:
    """The number of files and folders, the folder itself included.

    Raises:
        OSError: `du` printed no number.
    """
    return await _measure("--inodes", folder)


def shell(option: str, path: str) -> str:
    """A shell command, for a sandbox's script, that prints the same number for `path`; nothing if it cannot."""
    return f"{' '.join(_COMMAND)} {option} {path} 2>/dev/null | cut -f1"


async def _measure(option: str, folder: Path) -> int:
    process = await asyncio.create_subprocess_exec(
        *(*_COMMAND, option, "--", str(folder)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # complaints about files that vanished meanwhile
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    number = output.partition(b"\t")[0]
    if not number.isdigit():
        raise OSError(f"du printed no number for {folder.name}")
    return int(number)
