"""Saves a whole workspace to the object store, and restores it.

GNU tar reads and writes files that a hostile agent made, so it runs in a helper sandbox (sandbox/contract.py)
with the workspace's uid. That sandbox sees the workspace only, and file modes do not restrict it: files that
the agent made unreadable are saved, too. The tar stream is compressed in this process, a chunk at a time.
"""

import asyncio
import contextlib
import hashlib
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import zstandard

from agentcontainer.domain.checkpoints.model import Checkpoint
from agentcontainer.domain.files.blobs import CHUNK_BYTES, Blob, Blobs
from agentcontainer.errors import NotFound, PayloadTooLarge, SandboxError, Unavailable
from agentcontainer.runner.services import Services
from agentcontainer.runner.workspace import folders
from agentcontainer.runner.workspace.tar_output import MAX_PATH_BYTES, TarOutput
from agentcontainer.sandbox import volume
from agentcontainer.sandbox.bubblewrap import Bubblewrap, Sandbox
from agentcontainer.sandbox.contract import INSIDE_WORKSPACE, Exit, Limits, Spec
from agentcontainer.sandbox.host_uids import UidLease
from agentcontainer.sandbox.volume import DiskFull, Volumes

LEVEL = 1
QUEUED_CHUNKS = 2
MAX_WINDOW_BYTES = 8 * 1024**2  # bounds the decompressor's memory; level 1 needs far less
STALL_SECONDS = 60.0  # without progress of the disk or the object store
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
COMMON = ("--file=-", f"--directory={INSIDE_WORKSPACE}", "--numeric-owner", "--quoting-style=escape")
CREATE = (
    *("tar", "--create", *COMMON, "--format=posix", "--sparse", "--sort=none", "--one-file-system"),
    *("--owner=0", "--group=0", "--pax-option=exthdr.name=x,delete=atime,delete=ctime"),
    *("--blocking-factor=64", "--verbose", "."),  # verbose: prints each name on stderr, where we count them
)
EXTRACT = (
    *("tar", "--extract", *COMMON, "--preserve-permissions", "--no-same-owner", "--delay-directory-restore"),
    *("--warning=no-timestamp", "--warning=no-unknown-keyword"),
)
WAIT = 'read -r _; exec "$@"'  # so that the sandbox is not frozen while the helper starts
TAR_CHANGED = 1  # exit code: a file changed while it was read
DISK_FAULTS = ("No space left on device", "Disk quota exceeded", "Input/output error")


class CheckpointFailed(Exception):
    """The workspace could not be saved. `str(error)` is a sentence for the task's owner."""


class HostCannotSave(CheckpointFailed):
    """The workspace could not be saved now, because this host or the object store failed."""


class CheckpointCorrupt(Exception):
    """The stored checkpoint is missing or damaged. `str(error)` is a sentence for the task's owner."""


@dataclass(frozen=True)
class Saved:
    """The result of a save. `paused_seconds`: how long the sandbox was frozen for it."""

    size_bytes: int
    sha256: str
    unpacked_bytes: int
    entries: int
    paused_seconds: float


@dataclass(frozen=True)
class CheckpointStore:
    """Saves and restores workspaces. `folder`: the runner's own; each helper sandbox gets a folder there, by
    which the cleanup finds it after a crash. `max_bytes` limits the blob, `max_unpacked_bytes` the tar in it.
    """

    sandboxes: Bubblewrap
    blobs: Blobs
    folder: Path
    limits: Limits
    max_bytes: int
    max_unpacked_bytes: int
    volumes: Volumes

    @classmethod
    def of(cls, services: Services) -> "CheckpointStore":
        settings = services.settings
        return cls(
            services.sandboxes, services.blobs, services.folder, services.limits,
            settings.max_checkpoint_bytes, settings.max_workspace_bytes, services.volumes,
        )  # fmt: skip

    async def save(self, sandbox: Sandbox, root: Path, name: str, blob_key: str) -> Saved:
        """Store the workspace of `root`. `sandbox`, which may be using it, is frozen meanwhile if the host
        can do that.
        `name`: the attempt's. The blob is read back and verified.

        Raises:
            CheckpointFailed: the workspace could not be saved. No blob stays, unless the store cannot be
            reached. HostCannotSave: the same, and a later try may succeed.
        """
        try:
            return await self._save(sandbox, root, f"{name}-save", blob_key)
        except PayloadTooLarge:
            raise _failed(f"compressed, it has more than {self.max_bytes} bytes") from None
        except (Unavailable, NotFound, SandboxError) as error:
            raise HostCannotSave(f"The workspace could not be saved. {error}") from error
        except OSError as error:
            raise _not_now(f"the runner's disk failed ({error.strerror})") from error

    async def restore(
        self, root: Path, name: str, checkpoint: Checkpoint, lease: UidLease | None = None
    ) -> None:
        """Make the folder `workspace` of `root`, which must not exist, as it was saved. After an error it
        does not exist. Start its sandbox with the same `lease` (from `Bubblewrap.lease`): giving the files to
        another uid would clear their setuid bits, and take time.

        Raises:
            CheckpointCorrupt: the blob is missing or damaged, or tar cannot read it.
            DiskFull: it is larger than a workspace may be.
            Unavailable: the object store cannot be reached. SandboxError: this host failed.
        """
        try:
            await self._restore(root, f"{name}-restore", checkpoint, lease)
        except OSError as error:
            raise SandboxError(f"A checkpoint could not be restored: {error.strerror}.") from error

    async def _save(self, sandbox: Sandbox, root: Path, helper_id: str, blob_key: str) -> Saved:
        argv = ("sh", "-euc", WAIT, "sh", *CREATE)
        async with (
            _scratch(self.folder / helper_id),
            self._helper(helper_id, root, argv, sandbox.lease, is_read_only=True) as helper,
        ):
            packing = _Packing(helper, sandbox, self.max_unpacked_bytes)
            blob = await packing.into(self.blobs, blob_key, self.max_bytes)
        stored = await self.blobs.digest(blob_key)
        if (stored.size_bytes, stored.sha256) != (blob.size_bytes, blob.sha256):
            await self.blobs.delete(blob_key)
            raise _not_now("the object store returned other bytes than were stored")
        return Saved(
            blob.size_bytes,
            blob.sha256,
            packing.unpacked_bytes,
            packing.output.entries,
            packing.paused_seconds,
        )

    async def _restore(
        self, root: Path, helper_id: str, checkpoint: Checkpoint, lease: UidLease | None
    ) -> None:
        async with _scratch(self.folder / helper_id) as scratch:
            await self._fetch(checkpoint, scratch / "archive")
            target = root / "workspace"
            await self.volumes.make(target, is_restored=True)
            try:
                await self._unpack(root, helper_id, scratch / "archive", checkpoint, lease)
            except BaseException:
                await folders.remove(target)
                raise

    async def _fetch(self, checkpoint: Checkpoint, archive: Path) -> None:
        """Write the blob to the file `archive`, and verify its digest before anything reads it."""
        digest, size = hashlib.sha256(), 0

        def write(chunk: bytes) -> None:
            digest.update(chunk)
            file.write(chunk)

        with archive.open("wb") as file, _corrupt_if_gone():
            async for chunk in self.blobs.stream(checkpoint.blob_key):
                size += len(chunk)
                if size > checkpoint.size_bytes:
                    break
                await asyncio.to_thread(write, chunk)
        if (size, digest.hexdigest()) != (checkpoint.size_bytes, checkpoint.sha256):
            raise _corrupt("the bytes in the object store are not those that were saved")

    async def _unpack(
        self, root: Path, helper_id: str, archive: Path, checkpoint: Checkpoint, lease: UidLease | None
    ) -> None:
        async with self._helper(helper_id, root, EXTRACT, lease, is_read_only=False) as helper:
            output = TarOutput()
            listening = asyncio.create_task(output.listen(helper.stderr))
            try:
                with archive.open("rb") as file:
                    fed = await _feed(helper, file, checkpoint.unpacked_bytes)
                async with asyncio.timeout(STALL_SECONDS):
                    ending = await helper.wait()
                await asyncio.wait([listening], timeout=1)
            except TimeoutError:
                raise SandboxError(
                    "A checkpoint could not be restored: the disk makes no progress."
                ) from None
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
        if ending.code != 0 and volume.is_full(root / "workspace"):
            raise DiskFull(f"The saved workspace cannot be restored: {self.volumes.room.fault}.")
        if ending.is_out_of_memory or any(fault in output.text for fault in DISK_FAULTS):
            raise SandboxError("A checkpoint could not be restored: this host has too little memory or disk.")
        if ending.code != 0:
            raise _corrupt(output.reason(ending.code))
        if fed != checkpoint.unpacked_bytes:
            raise _corrupt("it ends too early")

    def _helper(
        self, helper_id: str, root: Path, argv: Sequence[str], lease: UidLease | None, *, is_read_only: bool
    ) -> contextlib.AbstractAsyncContextManager[Sandbox]:
        spec = Spec(
            helper_id, root, root, self.limits, ENVIRONMENT, "/", is_helper=True, is_read_only=is_read_only
        )  # the runtime is not used: a helper sandbox does not see it
        return self.sandboxes.running(spec, argv, lease)


class _Packing:
    """One save: tar's output is read, compressed and given to the object store a chunk at a time."""

    def __init__(self, helper: Sandbox, sandbox: Sandbox, max_unpacked_bytes: int) -> None:
        self.unpacked_bytes = 0
        self.paused_seconds = 0.0
        self.output = TarOutput()
        self._helper = helper
        self._sandbox = sandbox
        self._max_unpacked_bytes = max_unpacked_bytes
        self._packed: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUED_CHUNKS)
        self._is_complete = False

    async def into(self, blobs: Blobs, key: str, max_bytes: int) -> Blob:
        """Run tar and store its output.

        Raises:
            CheckpointFailed: tar failed, or a limit was exceeded. As `Blobs.put`: the blob could not be
            stored.
        """
        packing = asyncio.create_task(self._pack())
        try:
            return await blobs.put(key, self._chunks(), max_bytes)
        except (PayloadTooLarge, Unavailable):
            if packing.done():
                packing.result()  # raises the original error
            raise
        finally:
            packing.cancel()
            await asyncio.gather(packing, return_exceptions=True)
            self._end_chunks()

    async def _chunks(self) -> AsyncIterator[bytes]:
        while (chunk := await self._packed.get()) is not None:
            yield chunk
        if not self._is_complete:
            raise Unavailable("The workspace was not read completely.")

    def _end_chunks(self) -> None:
        """Make `_chunks` end, although not all was read."""
        while not self._packed.empty():
            self._packed.get_nowait()
        self._packed.put_nowait(None)

    async def _pack(self) -> None:
        listening = asyncio.create_task(self.output.listen(self._helper.stderr))
        try:
            async with self._sandbox.frozen() as is_frozen:
                began_at = asyncio.get_running_loop().time()
                await self._compress()
                if is_frozen:
                    self.paused_seconds = asyncio.get_running_loop().time() - began_at
            ending = await self._helper.wait()
            await asyncio.wait([listening], timeout=1)
            self._check(ending)
            self._is_complete = True
            await self._packed.put(None)
        except TimeoutError:
            self._end_chunks()
            raise _not_now("it took too long to read or to store") from None
        except BaseException:
            self._end_chunks()
            raise
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _compress(self) -> None:
        compressor = zstandard.ZstdCompressor(LEVEL).compressobj()
        self._helper.stdin.write(b"\n")
        while chunk := await _next(self._helper.stdout):
            self.unpacked_bytes += len(chunk)
            if self.unpacked_bytes > self._max_unpacked_bytes:
                raise _failed(f"it has more than {self._max_unpacked_bytes} bytes")
            await self._enqueue(await asyncio.to_thread(compressor.compress, chunk))
            self._check_paths()
        await self._enqueue(compressor.flush())

    async def _enqueue(self, packed: bytes) -> None:
        if packed:
            async with asyncio.timeout(STALL_SECONDS):
                await self._packed.put(packed)

    def _check(self, ending: Exit) -> None:
        self._check_paths()
        if ending.is_out_of_memory:
            raise _failed("its list of files needs more memory than is available")
        if ending.code not in (0, TAR_CHANGED):
            raise _failed(self.output.reason(ending.code))

    def _check_paths(self) -> None:
        if self.output.has_long_path:
            raise _failed(f"it has folders in folders whose path has more than {MAX_PATH_BYTES} bytes")


async def _feed(helper: Sandbox, archive: IO[bytes], expected_bytes: int) -> int:
    """Decompress the archive into tar's input; returns the number of bytes.

    Raises:
        CheckpointCorrupt: it cannot be decompressed, or has more than `expected_bytes`.
    """
    reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).stream_reader(archive)
    fed = 0
    try:
        while chunk := await asyncio.to_thread(reader.read, CHUNK_BYTES):
            fed += len(chunk)
            if fed > expected_bytes:
                raise _corrupt("it unpacks to more than was saved")
            helper.stdin.write(chunk)
            async with asyncio.timeout(STALL_SECONDS):
                await helper.stdin.drain()
    except zstandard.ZstdError:
        raise _corrupt("it cannot be decompressed") from None
    except ConnectionError:  # tar ended early; its error message says why
        return fed
    helper.stdin.close()
    return fed


async def _next(stream: asyncio.StreamReader) -> bytes:
    """The next `CHUNK_BYTES`, or what is left at the end of the stream."""
    chunk = bytearray()
    async with asyncio.timeout(STALL_SECONDS):
        while len(chunk) < CHUNK_BYTES and (part := await stream.read(CHUNK_BYTES - len(chunk))):
            chunk += part
    return bytes(chunk)


@contextlib.asynccontextmanager
async def _scratch(folder: Path) -> AsyncGenerator[Path]:
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _corrupt_if_gone() -> Generator[None]:
    try:
        yield
    except NotFound:
        raise _corrupt("it is missing from the object store") from None


def _failed(why: str) -> CheckpointFailed:
    return CheckpointFailed(f"The workspace could not be saved: {why}.")


def _not_now(why: str) -> HostCannotSave:
    return HostCannotSave(f"The workspace could not be saved: {why}.")


def _corrupt(why: str) -> CheckpointCorrupt:
    return CheckpointCorrupt(f"The saved workspace cannot be restored: {why}.")
