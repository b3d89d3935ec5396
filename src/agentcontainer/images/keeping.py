"""The images of this host: each fetched once, checked once, shared by all sandboxes that name it, removed by age.

    DATA_DIR/images/
        locks/<digest>    held shared by whoever uses the image, alone by who makes or removes it
        <digest>/         shows up whole, by one rename
            image.json    size, environment, and what the check found; its time is that of the last use
            root/         the image's files, read-only in every sandbox

Several runners may share the folder: the kernel's file locks, which end with their process, are all that says who does
what. What is half-made lies in the runner's own folder, where its sweep finds it.
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
from typing import Any

from agentcontainer import file_lock
from agentcontainer.images.access import Access
from agentcontainer.images.faults import ImageRefused
from agentcontainer.images.fetch import Fetch
from agentcontainer.images.reference import Reference, parse
from agentcontainer.images.starting import Image, check
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import Limits
from agentcontainer.sandbox.removal import remove

FAULT_SECONDS = 3600.0  # how long an image is not tried again: the fault may have been this host's
RECORD = "image.json"
ROOT = "root"
LOCKS = "locks"


@dataclass(frozen=True)
class Record:
    """What is known of an image. `runtimes`: the versions of ours it was checked with. `fault`: why none runs in it;
    then its files are gone."""

    size_bytes: int
    variables: dict[str, str]
    runtimes: list[str]
    fault: str | None


@dataclass(frozen=True)
class Images:
    """What images need. `folder` holds those of this host, `scratch` is the runner's own; `env`: ours, in every
    sandbox of an agent."""

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
        """The image of this pinned name, which stays for as long as the block lasts.

        Raises:
            ImageFault: it cannot be had, or no agent can run in it. SandboxError: this host cannot do it now.
        """
        reference = parse(name)
        self.access.check(reference)
        if reference.digest is None:
            raise ImageRefused("is not pinned to a digest: make a new version of the agent")
        key = reference.digest.removeprefix("sha256:")
        (self.folder / LOCKS).mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = file_lock.open_lock_file(self.folder / LOCKS / key)
        try:
            yield await self._held(descriptor, key, reference)
        finally:
            os.close(descriptor)

    async def _held(self, descriptor: int, key: str, reference: Reference) -> Image:
        """The image, with the lock held shared."""
        place = self.folder / key
        while True:
            await file_lock.lock(descriptor, is_shared=True)
            record = self._valid_record(place)
            if record is not None:
                return await self._checked(place, record)
            file_lock.unlock(descriptor)
            await file_lock.lock(descriptor)
            if self._valid_record(place) is None:  # of several that waited, the first makes it
                await self._make(place, key, reference)
            file_lock.unlock(descriptor)

    async def _checked(self, place: Path, record: Record) -> Image:
        """The image that is there, once it is known that our runtime runs in it."""
        image = Image(place / ROOT, record.variables)
        if record.fault is not None:
            raise ImageRefused(record.fault)
        if self.runtime.name not in record.runtimes:  # another version of ours made it, and may be using it
            await self._check(image)
            _write(place, replace(record, runtimes=[*record.runtimes, self.runtime.name]))
        os.utime(place / RECORD)
        return image

    def _valid_record(self, place: Path) -> Record | None:
        """What is known, but for a fault that was found long ago or by another runtime: that is tried again."""
        record = read_record(place)
        if record is None or record.fault is None:
            return record
        is_recent = used_at(place) > time.time() - FAULT_SECONDS
        return record if is_recent and self.runtime.name in record.runtimes else None

    async def _make(self, place: Path, key: str, reference: Reference) -> None:
        """Have the image fetched and checked; the lock is held alone."""
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
            await discard(place)
            new.rename(place)
        finally:
            await remove(scratch)

    async def _check(self, image: Image) -> None:
        await check(self.sandboxes, image, self.runtime, self.limits, self.scratch, self.env)


def read_record(place: Path) -> Record | None:
    """What is known of the image in this folder; None: it is not there, or not whole."""
    try:
        document: dict[str, Any] = json.loads((place / RECORD).read_text())
        return Record(**document)
    except (OSError, ValueError, TypeError):
        return None


def used_at(place: Path) -> float:
    """When the image in this folder was last used; 0: it is not whole."""
    try:
        return (place / RECORD).stat().st_mtime
    except OSError:
        return 0.0


def _write(place: Path, record: Record) -> None:
    """At once, as others read it."""
    new = place / f"{RECORD}.{secrets.token_hex(4)}"
    new.write_text(json.dumps(asdict(record)))
    new.rename(place / RECORD)


async def discard(place: Path) -> None:
    """Remove an image's folder; the lock is held alone. Its record goes first: nobody takes what is left of it."""
    (place / RECORD).unlink(missing_ok=True)
    await remove(place)


def _sync(folder: Path) -> None:
    """What is on the disk is all of it, before its name is."""
    subprocess.run(["sync", "--file-system", str(folder)], check=False)
