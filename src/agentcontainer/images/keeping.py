"""The cache of this host's images.

Each is fetched and checked once, and shared by all sandboxes that use it.

    DATA_DIR/images/
        locks/<digest>    locked shared while the image is used, exclusively while it is made or removed
        <digest>/         appears complete, by one rename
            image.json    size, environment, result of the check; modified at each use
            root/         the image's files, read-only in every sandbox

Several runners may share the folder; they coordinate by these locks alone. An incomplete image is in the
folder of the runner that makes it, where the cleanup of dead runners finds it.
"""

import asyncio
import contextlib
import json
import os
import secrets
import subprocess
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

from agentcontainer import file_lock
from agentcontainer.images.access import Access
from agentcontainer.images.faults import ImageRefused
from agentcontainer.images.fetch import Fetch
from agentcontainer.images.reference import Reference, parse
from agentcontainer.images.starting import Image, check
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import Limits
from agentcontainer.sandbox.removal import remove

FAULT_SECONDS = 3600.0  # then a broken image is tried again: this host may have been at fault
RECORD = "image.json"
ROOT = "root"
LOCKS = "locks"


@dataclass(frozen=True)
class Record:
    """What image.json holds. `runtimes`: the versions of our runtime that start in the image. `fault`: why
    none starts; then the image's files were removed."""

    size_bytes: int
    variables: dict[str, str]
    runtimes: list[str]
    fault: str | None


_RECORD = TypeAdapter(Record)


@dataclass(frozen=True)
class Images:
    """The cache in `folder`, shared by the runners of this host. `scratch`: this runner's own folder. `env`:
    our variables in every agent's sandbox."""

    sandboxes: Bubblewrap
    access: Access
    folder: Path
    scratch: Path
    runtime: Path
    limits: Limits
    env: Mapping[str, str]
    max_bytes: int

    @contextlib.asynccontextmanager
    async def use(self, name: str) -> AsyncGenerator[Image]:
        """The image of this pinned name. It is not removed during the block.

        Raises:
            ImageFault: it cannot be fetched, or no agent can run in it. SandboxError: this host failed.
        """
        reference = parse(name)
        self.access.check(reference)
        if reference.digest is None:
            raise ImageRefused("is not pinned to a digest: make a new version of the agent")
        key = reference.digest.removeprefix("sha256:")
        (self.folder / LOCKS).mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = file_lock.open_lock_file(self.folder / LOCKS / key)
        try:
            yield await self._locked(descriptor, key, reference)
        finally:
            os.close(descriptor)

    async def _locked(self, descriptor: int, key: str, reference: Reference) -> Image:
        """The image, made if necessary. On return the lock is held shared."""
        image_folder = self.folder / key
        while True:
            await file_lock.lock(descriptor, is_shared=True)
            record = self._valid_record(image_folder)
            if record is not None:
                return await self._checked(image_folder, record)
            file_lock.unlock(descriptor)
            await file_lock.lock(descriptor)
            if self._valid_record(image_folder) is None:  # of several waiters, the first makes it
                await self._make(image_folder, key, reference)
            file_lock.unlock(descriptor)

    async def _checked(self, image_folder: Path, record: Record) -> Image:
        """The image in `image_folder`. Checks first that our runtime starts in it, if this version was not checked
        before."""
        image = Image(image_folder / ROOT, record.variables)
        if record.fault is not None:
            raise ImageRefused(record.fault)
        if self.runtime.name not in record.runtimes:  # made by another version, which may be using it
            await self._check(image)
            _write(image_folder, replace(record, runtimes=[*record.runtimes, self.runtime.name]))
        os.utime(image_folder / RECORD)
        return image

    def _valid_record(self, image_folder: Path) -> Record | None:
        """The record; None if there is none, or it has a fault that is old or was found with another runtime."""
        record = read_record(image_folder)
        if record is None or record.fault is None:
            return record
        is_recent = used_at(image_folder) > time.time() - FAULT_SECONDS
        return record if is_recent and self.runtime.name in record.runtimes else None

    async def _make(self, image_folder: Path, key: str, reference: Reference) -> None:
        """Fetch and check the image. Needs the exclusive lock."""
        scratch = self.scratch / f"image-{key[:12]}-{secrets.token_hex(6)}"
        new = scratch / "new"
        try:
            fetched = await Fetch(self.sandboxes, self.access, scratch.name, scratch, self.max_bytes).run(
                reference
            )
            new.mkdir(mode=0o755)
            fetched.root.rename(new / ROOT)
            size, fault = fetched.size_bytes, None
            try:
                await self._check(Image(new / ROOT, fetched.variables))
            except ImageRefused as refused:
                size, fault = 0, str(refused)
                await remove(new / ROOT)
            _write(new, Record(size, fetched.variables, [self.runtime.name], fault))
            await asyncio.to_thread(_sync, new)
            await discard(image_folder)
            new.rename(image_folder)
        finally:
            await remove(scratch)

    async def _check(self, image: Image) -> None:
        await check(self.sandboxes, image, self.runtime, self.limits, self.scratch, self.env)


def read_record(image_folder: Path) -> Record | None:
    """The record of the image in `image_folder`; None: there is no complete image."""
    try:
        return _RECORD.validate_json((image_folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return None


def used_at(image_folder: Path) -> float:
    """When the image in the folder `image_folder` was last used; 0: it is not complete."""
    try:
        return (image_folder / RECORD).stat().st_mtime
    except OSError:
        return 0.0


def _write(image_folder: Path, record: Record) -> None:
    """Replace the record atomically, because others read it meanwhile."""
    new = image_folder / f"{RECORD}.{secrets.token_hex(4)}"
    new.write_text(json.dumps(asdict(record)))
    new.rename(image_folder / RECORD)


async def discard(image_folder: Path) -> None:
    """Remove an image. Needs the exclusive lock. The record goes first, so that a half-removed image is not
    used."""
    (image_folder / RECORD).unlink(missing_ok=True)
    await remove(image_folder)


def _sync(folder: Path) -> None:
    """Write the files to the disk before the rename, so that a power cut leaves no incomplete image."""
    subprocess.run(["sync", "--file-system", str(folder)], check=False)
