"""Makes an attempt's folder on the host before its sandbox starts.

It is removed after the sandbox is destroyed.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.files.model import File
from agentcontainer.filenames import composed
from agentcontainer.runner.agent import launch
from agentcontainer.runner.workspace.safe_open import names_like
from agentcontainer.sandbox.removal import remove as remove


async def prepare(
    root: Path, texts: Mapping[str, str], inputs: list[File], references: list[File], blobs: Blobs
) -> None:
    """Fill `workspace/`, which may exist, and make `sockets/` below `root`.

    `texts`: path in the workspace → content. Inputs and reference files keep their names, made distinct.
    """
    workspace = root / "workspace"
    task = workspace / launch.TASK_FOLDER
    (root / "sockets").mkdir(parents=True, exist_ok=True)
    for folder in (task / "task_files", task / "reference_files"):
        folder.mkdir(parents=True)
    for path, text in texts.items():
        target = workspace / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", errors="replace")
    await _place(task / "task_files", inputs, blobs)
    await _place(task / "reference_files", references, blobs)


def distinct_names(names: list[str]) -> list[str]:
    """The names as the agent sees them, made distinct: a second `data.csv` becomes `data (2).csv`."""
    names = [composed(name) for name in names]
    original = set(names)
    distinct: dict[str, None] = {}
    for name in names:
        free = (
            candidate
            for candidate in names_like(name)
            if candidate not in distinct and (candidate == name or candidate not in original)
        )
        distinct[next(free)] = None
    return list(distinct)


async def _place(folder: Path, files: list[File], blobs: Blobs) -> None:
    for name, file in zip(distinct_names([file.filename for file in files]), files, strict=True):
        with (folder / name).open("xb") as target:
            async for chunk in blobs.stream(file.blob_key):
                await asyncio.to_thread(target.write, chunk)
