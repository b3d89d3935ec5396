"""Stores the files that an agent declared as outputs.

Nothing outside of its workspace is opened (safe_open.py). Each check is made on the open descriptor, so the
agent cannot exchange the file between the check and the read. Files with hard links are accepted: the workspace is a
mount, and the kernel makes no hard link from one mount to another.
"""

import asyncio
import contextlib
import errno
import os
import posixpath
import stat
import sys
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path

from agentcontainer.domain.execution.model import NamedOutput, OutputPolicy
from agentcontainer.domain.files.blobs import CHUNK_BYTES, Blobs
from agentcontainer.domain.files.recorded import RecordedBlobs
from agentcontainer.domain.tasks.model import Output
from agentcontainer.domain.tasks.output_policy import Declared, content_fault
from agentcontainer.errors import PayloadTooLarge, Unavailable
from agentcontainer.filenames import filename_fault
from agentcontainer.ids import new_id
from agentcontainer.runner.agent import launch
from agentcontainer.runner.workspace import json_check
from agentcontainer.runner.workspace.content_types import content_type_of
from agentcontainer.runner.workspace.safe_open import open_safely
from agentcontainer.sandbox.contract import INSIDE_WORKSPACE
from agentcontainer.telemetry import metrics

MAX_JSON_BYTES = 16 * 1024**2
MAX_JSON_STRUCTURE = 1_000_000  # commas and brackets: bounds the memory of the parsed document
_OPEN_FAULTS = {
    errno.ENOENT: "does not exist",
    errno.ENOTDIR: "does not exist",
    errno.ELOOP: "is a symbolic link, or lies behind one; declare the file itself",
    errno.EXDEV: "lies outside the workspace",
    errno.EACCES: "cannot be read; give it ordinary permissions",
    errno.ENAMETOOLONG: "does not exist",
    errno.ENXIO: "is not a regular file",
}


class Refused(Exception):
    """A declared file cannot be stored. The message names the file and says how to fix it."""


async def collect(
    workspace: Path,
    cwd: str,
    declared: list[Declared],
    policy: OutputPolicy,
    blobs: Blobs | RecordedBlobs,
    task_id: str,
    max_bytes: int,
    max_total_bytes: int = sys.maxsize,
) -> list[Output]:
    """Store each declared file as a blob: at most `max_bytes` each, and `max_total_bytes` together. The
    caller inserts the rows. On an error, no blob stays.

    Raises:
        Refused: a file cannot be stored. Unavailable: the object store cannot be reached.
    """
    rules = {output.name: output for output in policy.files}
    outputs: list[Output] = []
    paths: set[str] = set()
    left = max_total_bytes
    try:
        for entry in declared:
            inside = path_inside(entry.path, cwd)
            if inside in paths:
                raise Refused(f"{entry.path}: declared twice.")
            paths.add(inside)
            output = await _store(
                workspace, inside, entry, rules.get(entry.name or ""), blobs, task_id, max_bytes, left
            )
            outputs.append(output)
            left -= output.size_bytes
    except (Refused, Unavailable):
        # The cleanup does not remove blobs of a live task, and the agent may try again any number of times.
        with contextlib.suppress(Unavailable):
            for output in outputs:
                await blobs.delete(output.blob_key)
        raise
    return outputs


def path_inside(path: str, cwd: str) -> str:
    """The declared path relative to the workspace.

    Raises:
        Refused: it is not inside the workspace.
    """
    absolute = posixpath.normpath(posixpath.join("/", cwd, path))
    if not absolute.startswith(INSIDE_WORKSPACE + "/") or "\0" in absolute:
        raise Refused(f"{path}: output files must lie within {INSIDE_WORKSPACE}; copy it there first.")
    return absolute[len(INSIDE_WORKSPACE) + 1 :]


def public_path(inside: str) -> str:
    """The path as clients see it: relative to the agent's home, or `workspace/…` for a file elsewhere. It is never
    absolute, has no `..`, and has only parts that are good file names (else it is the name alone), so that a client
    can create the file below a folder of its own."""
    home = f"{launch.TASK_FOLDER}/"
    path = inside.removeprefix(home) if inside.startswith(home) else f"{INSIDE_WORKSPACE[1:]}/{inside}"
    is_good = not any(filename_fault(part) for part in path.split("/"))
    return path if is_good else posixpath.basename(inside)


async def _store(
    workspace: Path,
    inside: str,
    entry: Declared,
    rule: NamedOutput | None,
    blobs: Blobs | RecordedBlobs,
    task_id: str,
    max_bytes: int,
    left: int,
) -> Output:
    filename = posixpath.basename(inside)
    if fault := filename_fault(filename):
        raise Refused(f"{entry.path}: the file name {fault}; rename it.")
    content_type = content_type_of(filename)
    limit = min(max_bytes, rule.max_bytes) if rule and rule.max_bytes is not None else max_bytes
    descriptor = _open_regular(workspace, inside, entry.path)
    try:
        size = os.fstat(descriptor).st_size
        if rule and (fault := content_fault(rule, content_type, size)):
            raise Refused(f"{entry.path}: {fault}.")
        if size > limit:
            raise Refused(f"{entry.path}: is larger than {limit} bytes.")
        if size > left:  # sparse files can be larger than their disk
            raise Refused(f"{entry.path}: with it, the files are larger than a workspace may be.")
        chunks = _chunks(descriptor)
        if rule and rule.json_schema is not None:
            chunks = _once(await _checked_json(descriptor, entry.path, rule))
        output_id = new_id("file")
        blob = await blobs.put(f"outputs/{task_id}/{output_id}", chunks, min(limit, left))
    except PayloadTooLarge:  # it grew while it was read
        raise Refused(f"{entry.path}: is larger than {limit} bytes.") from None
    finally:
        os.close(descriptor)
    metrics.FILE_BYTES.labels("output").observe(blob.size_bytes)
    return Output(
        output_id, filename, content_type, blob.size_bytes, blob.sha256, blob.key, entry.name, public_path(inside)
    )  # fmt: skip


def _open_regular(workspace: Path, inside: str, printable_path: str) -> int:
    folder = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        descriptor = _open_either_spelling(folder, inside)
    except OSError as error:
        raise Refused(
            f"{printable_path}: {_OPEN_FAULTS.get(error.errno or 0, 'cannot be opened')}."
        ) from None
    finally:
        os.close(folder)
    status = os.fstat(descriptor)
    fault = None
    if stat.S_ISDIR(status.st_mode):
        fault = "is a folder; declare its files, or pack it into an archive"
    elif not stat.S_ISREG(status.st_mode):
        fault = "is not a regular file"
    if fault:
        os.close(descriptor)
        raise Refused(f"{printable_path}: {fault}.")
    return descriptor


def _open_either_spelling(folder: int, inside: str) -> int:
    """Open the file, whose name may be stored decomposed (NFD, as archives from a Mac have it), while models write it
    composed (NFC)."""
    spellings = dict.fromkeys((inside, *(unicodedata.normalize(form, inside) for form in ("NFC", "NFD"))))
    *others, last = spellings
    for spelling in others:
        with contextlib.suppress(FileNotFoundError):
            return open_safely(folder, spelling)
    return open_safely(folder, last)


async def _checked_json(descriptor: int, printable_path: str, rule: NamedOutput) -> bytes:
    """The content of the file, if it matches the JSON Schema. The caller stores what was checked: the agent
    may change the file meanwhile."""
    assert rule.json_schema is not None
    text = await asyncio.to_thread(os.pread, descriptor, MAX_JSON_BYTES + 1, 0)
    if len(text) > MAX_JSON_BYTES:
        raise Refused(f"{printable_path}: is too large to be checked against the JSON Schema of {rule.name}.")
    if sum(text.count(mark) for mark in (b",", b"[", b"{")) > MAX_JSON_STRUCTURE:
        raise Refused(
            f"{printable_path}: holds too many values to be checked against the JSON Schema of {rule.name}."
        )
    try:
        faults = await json_check.faults(rule.json_schema, text)
    except json_check.NotJson as error:
        raise Refused(
            f"{printable_path}: is not valid JSON, which the output {rule.name} must be: {error}."
        ) from None
    except json_check.TooCostly:
        raise Refused(
            f"{printable_path}: takes too long to be checked against the JSON Schema of {rule.name}."
        ) from None
    if faults:
        raise Refused(
            f"{printable_path}: does not match the JSON Schema of {rule.name}: {'; '.join(faults)}."
        )
    return text


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _chunks(descriptor: int) -> AsyncIterator[bytes]:
    offset = 0
    while chunk := await asyncio.to_thread(os.pread, descriptor, CHUNK_BYTES, offset):
        offset += len(chunk)
        yield chunk
