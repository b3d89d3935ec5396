"""Places skills in a workspace.

Their archives are hostile: a helper sandbox unpacks each (skill_archive.py), and what it leaves behind is checked.
"""

import asyncio
import errno
import os
import secrets
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentcontainer import filenames
from agentcontainer.child_output import Tail, keep_start
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.files.model import File
from agentcontainer.errors import SandboxError
from agentcontainer.gateway.json_object import JsonObject
from agentcontainer.printable import printable
from agentcontainer.runner.workspace import folders, skill_archive
from agentcontainer.runner.workspace.inputs import InputUnavailable
from agentcontainer.runner.workspace.skill_archive import MAX_ENTRIES, MAX_UNPACKED_BYTES, SKILL, BadArchive
from agentcontainer.sandbox.bubblewrap import Bubblewrap, Sandbox
from agentcontainer.sandbox.contract import INSIDE_GIVEN, INSIDE_WORKSPACE, Limits, Spec

MAX_ARCHIVE_BYTES = 50 * 1024**2
SECONDS = 300.0
ANSWER_BYTES = 64 * 1024
STDERR_BYTES = 4096
MAX_FAULT_CHARACTERS = 300
CODE = "code"


@dataclass(frozen=True)
class Unpacking:
    """What a helper sandbox is started with. `folder`: this runner's; `name`: the attempt's."""

    sandboxes: Bubblewrap
    limits: Limits
    folder: Path
    name: str


async def place(unpacking: Unpacking, files: Sequence[File], blobs: Blobs, target: Path) -> None:
    """Unpack skills into `target`, each in a folder of its own.

    Raises:
        InputUnavailable: a file is not the archive of a skill. SandboxError: this host failed.
        OSError: the disk is full.
    """
    target.mkdir(parents=True, exist_ok=True)
    for file in files:
        try:
            if file.size_bytes > MAX_ARCHIVE_BYTES:
                raise BadArchive(f"has more than {MAX_ARCHIVE_BYTES} bytes")
            await _place(unpacking, file, blobs, target)
        except BadArchive as error:
            raise InputUnavailable(f"The skill {file.filename} ({file.id}) {error}.") from None


async def _place(unpacking: Unpacking, file: File, blobs: Blobs, target: Path) -> None:
    scratch = target.with_name(f".skill-{secrets.token_hex(8)}")  # on the same file system, for the rename
    root = unpacking.folder / f"{unpacking.name}-skill"
    try:
        scratch.mkdir()
        root.mkdir()
        with (scratch / "archive").open("wb") as stream:
            async for chunk in blobs.stream(file.blob_key):
                await asyncio.to_thread(stream.write, chunk)
        await asyncio.to_thread(_copy_code, scratch / CODE)
        answer = await _run(unpacking, root, scratch, file.filename)
        await asyncio.to_thread(adopt, answer, scratch / "skills", target)
    finally:
        await folders.remove(scratch)
        await folders.remove(root)


def _copy_code(folder: Path) -> None:
    package = folder / "agentcontainer"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for module, path in ((filenames, package / "filenames.py"), (skill_archive, folder / "skill_archive.py")):
        path.write_text(Path(module.__file__ or "").read_text())


async def _run(unpacking: Unpacking, root: Path, scratch: Path, filename: str) -> bytes:
    """What `skill_archive.main` printed at its end; empty if it exceeded a limit."""
    prefix = Path(sys.base_prefix).resolve()
    given = None if prefix.is_relative_to("/usr") else prefix
    inside = Path(INSIDE_GIVEN) if given else prefix
    python = str(inside / f"bin/python{sys.version_info.major}.{sys.version_info.minor}")
    env = {"LC_ALL": "C.UTF-8", **({"LD_LIBRARY_PATH": f"{inside}/lib"} if given else {})}
    spec = Spec(
        root.name, root, root, unpacking.limits, env, "/", is_helper=True, elsewhere=scratch, given=given
    )
    code = f"{INSIDE_WORKSPACE}/{CODE}/skill_archive.py"
    argv = [python, "-BsS", code, INSIDE_WORKSPACE, filename]
    async with unpacking.sandboxes.running(spec, argv) as sandbox:
        return await _answer(sandbox)


async def _answer(sandbox: Sandbox) -> bytes:
    sandbox.stdin.close()
    complaints = Tail(STDERR_BYTES)
    try:
        async with asyncio.timeout(SECONDS):
            output, _, ending = await asyncio.gather(
                keep_start(sandbox.stdout, ANSWER_BYTES), complaints.read(sandbox.stderr), sandbox.wait()
            )
    except TimeoutError:
        return b""
    if ending.code == skill_archive.NO_SPACE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    ready, _, answer = output.partition(b"\n")
    if ready != skill_archive.READY.encode():
        raise SandboxError(f"Python does not start in a helper sandbox: {printable(complaints.text)[-300:]}")
    return answer


def adopt(answer: bytes, unpacked: Path, target: Path) -> None:
    """Move what was unpacked to `target`, if it is what the archive of a skill may hold.

    Raises:
        BadArchive: it is not, or `answer` says so.
    """
    name = _name(answer)
    _check(unpacked / name)
    existing = [entry.name for entry in target.iterdir()]
    (unpacked / name).rename(target / folders.distinct_names([*existing, name])[-1])


def _name(answer: bytes) -> str:
    """The skill's name in the answer of the sandbox."""
    fields = JsonObject.parse(answer)
    if fields is None:
        raise BadArchive("takes too much time or memory to unpack")
    if fault := fields.text("fault"):
        raise BadArchive(printable(fault)[:MAX_FAULT_CHARACTERS])
    name = fields.text("name")
    if name is None or filenames.filename_fault(name):
        raise BadArchive("is broken")
    return name


def _check(folder: Path) -> None:
    """Return if the tree holds plain files and folders only, and no more than it may."""
    size, paths = 0, [folder]
    for path in paths:
        status = path.lstat()
        is_folder = stat.S_ISDIR(status.st_mode)
        if not is_folder and (not stat.S_ISREG(status.st_mode) or status.st_nlink > 1):
            raise BadArchive("is broken")
        size += status.st_size if not is_folder else 0
        paths += path.iterdir() if is_folder else ()
        if len(paths) > MAX_ENTRIES * 33 or size > MAX_UNPACKED_BYTES:
            raise BadArchive("is broken")
    if not (folder / SKILL).is_file():
        raise BadArchive("is broken")
